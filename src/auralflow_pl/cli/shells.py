"""Completion scripts for bash, zsh and fish."""

from __future__ import annotations

BASH_SCRIPT = r"""# bash: eval "$(auralflow completion bash)"
_auralflow() {
    local line=${COMP_LINE:0:COMP_POINT} ask=("$1") word start candidate
    COMPREPLY=()
    if [[ ${1##*/} == python* ]]; then
        if ! [[ $line =~ ^[^\ ]+\ +([^\ ]*/)?(DOORS)\.py\  ]]; then
            start=_auralflow_before_${1##*/}
            [[ -z ${!start} ]] || "${!start}" "$@"
            return
        fi
        compopt -o nospace 2>/dev/null
        ask=("$1" -m auralflow_pl)
    fi
    word=${line##*[[:space:]]}
    while IFS= read -r candidate; do
        [[ -n $candidate ]] || continue
        if [[ $word == [\'\"]* ]]; then
            COMPREPLY+=("$candidate")
            continue
        fi
        printf -v candidate '%q' "$candidate"
        candidate=${candidate//\\=/=} candidate=${candidate//\\[/[} candidate=${candidate//\\,/,}
        candidate=${candidate/#\\~/\~} candidate=${candidate/=\\~/=\~}
        if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then
            candidate=${candidate#*=}
            if [[ $COMP_WORDBREAKS == *:* ]]; then
                start=${word#*=} start=${start%"${start##*:}"}
                candidate=${candidate#"$start"}
            fi
        fi
        [[ $candidate == *[=./] ]] || candidate+=' '
        COMPREPLY+=("$candidate")
    done < <("${ask[@]}" completion line "$line" 2>/dev/null)
}
complete -o nospace -F _auralflow auralflow
_auralflow_python() {  # python NAME.py, and for the rest the function that was there
    local before theirs
    _completion_loader "$1" 2>/dev/null || _comp_load "$1" 2>/dev/null
    before=$(complete -p "$1" 2>/dev/null)
    if [[ -z $before ]]; then
        complete -o nospace -o bashdefault -o default -F _auralflow "$1"
    elif [[ $before =~ \ -F\ ([^\ ]+)\  && ${BASH_REMATCH[1]} != _auralflow ]]; then
        theirs=${BASH_REMATCH[1]}
        printf -v "_auralflow_before_$1" %s "$theirs"
        eval "${before/ -F $theirs / -F _auralflow }"
    fi
}
_auralflow_python python
_auralflow_python python3
"""

ZSH_SCRIPT = r"""# zsh: source <(auralflow completion zsh), after compinit
_auralflow() {
    local -a ask asked found open
    ask=(${words[1]}) asked=(${words[2,CURRENT]})
    if [[ ${words[1]:t} == python* ]]; then
        if [[ ${words[2]:t} != (DOORS).py || CURRENT -lt 3 ]]; then
            ${=_auralflow_before[${words[1]:t}]:-_default}
            return
        fi
        ask+=(-m auralflow_pl) asked=(${words[2]:t:r} "${(@)words[3,CURRENT]}")
    else
        asked=("${(@)words[2,CURRENT]}")
    fi
    asked[-1]=${asked[-1]%%$SUFFIX}
    found=("${(@f)$($ask completion query "${(@Q)asked}" 2>/dev/null)}")
    found=("${(@)found:#}")
    open=("${(@M)found:#*[=./]}") found=("${(@)found:#*[=./]}")
    (( $#open )) && compadd -S '' -a open
    (( $#found )) && compadd -a found
}
typeset -gA _auralflow_before
() {
    local name
    for name in python python3; do
        [[ ${_comps[$name]} == _auralflow ]] || _auralflow_before[$name]=${_comps[$name]}
    done
}
compdef _auralflow auralflow python python3
"""

FISH_SCRIPT = r"""# fish: auralflow completion fish | source
function __auralflow_ask
    set -l words (commandline -opc) (commandline -ct)
    if string match -qr 'python[0-9.]*$' -- $words[1]
        set -l door (path change-extension '' (path basename $words[2]))
        $words[1] -m auralflow_pl completion query $door $words[3..] 2>/dev/null
    else
        $words[1] completion query $words[2..] 2>/dev/null
    end
end
function __auralflow_door
    set -l words (commandline -opc)
    test (count $words) -ge 2; and string match -qr '(^|/)(DOORS)\.py$' -- $words[2]
end
complete -c auralflow -f -a '(__auralflow_ask)'
for name in python python3
    complete -c $name -n __auralflow_door -f -a '(__auralflow_ask)'
end
"""

SHELL_SCRIPTS = {"bash": BASH_SCRIPT, "zsh": ZSH_SCRIPT, "fish": FISH_SCRIPT}
