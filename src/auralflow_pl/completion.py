"""Completion of the command line in bash, zsh and fish.

The scripts of the shells only ask: `auralflow completion query <word> ... <word>` prints what the
last word can become, one candidate a line. One that ends with `=`, `.` or `/` goes on.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.errors import HydraException

from auralflow_pl.config import config_dir
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.options import composed, options
from auralflow_pl.registry import PREFIX, read_registries

FLAGS = ("--help", "--cfg", "--multirun")
DOORS = ("train", "evaluate", "separate", "export")  # scripts at the top of the repository


@dataclass(frozen=True)
class Grammar:
    """What the command line knows."""

    commands: Mapping[str, str]  # and the key of a word that stands alone, or ""
    tools: Sequence[str]
    lists: Sequence[str]  # groups of which several options may be chosen
    paths: Sequence[str]  # keys that hold paths


def completion(arguments: Sequence[str], grammar: Grammar) -> None:
    """Print the script of a shell, or answer a query of one.

    Raises:
        InputError: neither.
    """
    kind, *words = arguments or [""]
    if kind == "query":
        print("\n".join(candidates(words or [""], grammar)))
    elif kind == "line":
        print("\n".join(candidates(split(words[0]), grammar)))
    elif kind in SCRIPTS:
        print(SCRIPTS[kind].replace("DOORS", "|".join(DOORS)))
    else:
        raise InputError(f"completion {kind}: {did_you_mean(kind, SCRIPTS)}")


def split(line: str) -> list[str]:
    """The words of a line after its program, as a shell sees them; the last one may be unfinished.

    `python train.py ...` is `auralflow train ...`.
    """
    for end in ("", "'", '"'):
        try:
            words = shlex.split(line + end)
            break
        except ValueError:
            words = line.split()
    if line[-1:].isspace():
        words.append("")
    program, *rest = words
    if Path(program).name.startswith("python") and rest:
        return [Path(rest[0]).stem, *rest[1:]]
    return rest


def candidates(words: Sequence[str], grammar: Grammar) -> list[str]:
    """What the last of the words after `auralflow` can become, sorted."""
    *before, word = words
    if not before:
        return matching(word, [*grammar.commands, *grammar.tools, "--help"])
    command, *chosen = before
    if command == "completion":
        return matching(word, SCRIPTS) if not chosen else []
    extra: list[str] = []
    if command == "config":
        command = chosen[0] if chosen and chosen[0] in grammar.commands else "train"
        extra = [name for name in grammar.commands if not chosen]
    if command not in grammar.commands:
        return []
    if "=" not in word and not word.startswith("-"):
        extra += alone(command, word, chosen, grammar)
    key, equals, value = word.partition("=")
    if equals:
        return sorted(set(values(command, key, value, chosen, grammar)))
    if word.startswith("-"):
        return matching(word, FLAGS)
    return matching(word, [*extra, *keys(command, word, chosen)])


def alone(command: str, word: str, chosen: Sequence[str], grammar: Grammar) -> Iterator[str]:
    """What a word without a key can become."""
    key = grammar.commands[command]
    if command == "compare" or (key in grammar.paths and not chosen):
        yield from files(word, "")
    elif key == "name" and not chosen:
        yield from models()


def models() -> list[str]:
    """Names of the models in registries; none if one of them is wrong."""
    try:
        return [*read_registries()]
    except InputError:
        return []


def matching(word: str, names: Iterable[str]) -> list[str]:
    """The names that begin with a word, sorted."""
    return sorted({name for name in names if name.startswith(word)})


def keys(command: str, word: str, chosen: Sequence[str]) -> Iterator[str]:
    """Keys and groups down to the depth of a word."""
    node, groups = composition(command, chosen)
    where = word[: word.rfind(".") + 1]
    for name in where.split(".")[:-1]:
        node = node.get(name)
        if not isinstance(node, dict):
            return
    if not where:
        yield from (f"{group}=" for group in groups)
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield f"{where}{key}."
        elif not key.startswith("_"):
            yield f"{where}{key}="


def values(
    command: str, key: str, value: str, chosen: Sequence[str], grammar: Grammar
) -> Iterator[str]:
    """What can stand behind `key=`."""
    if key == "remove" or (key == "ckpt" and value.startswith(PREFIX)):
        start = PREFIX if key == "ckpt" else ""
        yield from (f"{key}={n}" for n in matching(value, [f"{start}{m}" for m in models()]))
        return
    if key in grammar.paths or key.startswith("paths."):
        yield from files(value, f"{key}=")
        return
    node, groups = composition(command, chosen)
    if key in groups:
        start = max(value.rfind(sign) for sign in "[,") + 1
        if start and key not in grammar.lists and not {"-m", "--multirun"} & set(chosen):
            return
        for name in matching(value[start:], options(key)):
            yield f"{key}={value[:start]}{name}"
        return
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, bool):
        yield from (f"{key}={name}" for name in matching(value, ("true", "false")))


def composition(command: str, chosen: Sequence[str]) -> tuple[dict, list[str]]:
    """The configuration with the groups that were chosen, and the names of all its groups."""
    picked = [word for word in chosen if (config_dir() / word.partition("=")[0]).is_dir()]
    try:
        content, groups, _ = composed(command, [word for word in picked if "=" in word])
    except HydraException:
        content, groups, _ = composed(command, [])
    return content, list(groups)


def files(word: str, prefix: str) -> Iterator[str]:
    """Files and folders whose path begins with a word; hidden ones if the word asks for them."""
    name = word.rpartition("/")[2]
    folder = word.removesuffix(name)
    try:
        found = sorted(os.scandir(Path(folder or ".").expanduser()), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in found:
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            yield f"{prefix}{folder}{entry.name}{'/' if entry.is_dir() else ''}"


BASH = r"""# bash: eval "$(auralflow completion bash)"
_auralflow() {
    local line=${COMP_LINE:0:COMP_POINT} ask=("$1") word start candidate
    COMPREPLY=()
    if [[ ${1##*/} == python* ]]; then
        [[ $line =~ ^[^\ ]+\ +([^\ ]*/)?(DOORS)\.py\  ]] || return
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
complete -o nospace -o bashdefault -o default -F _auralflow python python3
"""

ZSH = r"""# zsh: source <(auralflow completion zsh), after compinit
_auralflow() {
    local -a ask asked found open
    ask=(${words[1]}) asked=(${words[2,CURRENT]})
    if [[ ${words[1]:t} == python* ]]; then
        if [[ ${words[2]:t} != (DOORS).py || CURRENT -lt 3 ]]; then
            (( $+functions[_python] )) && _python || _default
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
compdef _auralflow auralflow python python3
"""

FISH = r"""# fish: auralflow completion fish | source
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

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
