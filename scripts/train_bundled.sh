#!/bin/bash
# Train the vocal network that ships with the package.
#
#   scripts/train_bundled.sh SONGS WORK [key=value ...]
#
# SONGS holds <song>/{vocals,drums,bass,other}.<format>; every fourth one by name is held out and
# validates. WORK takes everything else, about 6 GB. Further keys go to train.py; with
# `resume=auto` an interrupted training goes on. Runs on Debian: sources of sound are unpacked
# from its packages, not installed. Their licences are in the model card. Needs the extra `render`,
# which builds a library: `apt install gcc python3-dev portaudio19-dev`.
set -euo pipefail
songs=$(realpath "$1") work=$(realpath -m "$2")
shift 2
here=$(dirname "$(realpath "$0")")
mkdir -p "$work"/{packages,voices,music,songs/train,songs/valid}

unpack() {  # package: its files under $work/packages/<package>
    [ -d "$work/packages/$1" ] && return
    (cd "$work" && apt-get download --quiet "$1" && dpkg -x "$1"_*.deb "packages/.$1" && rm "$1"_*.deb)
    mv "$work/packages/.$1" "$work/packages/$1"
}

voice() {  # speaker, then files: links to them under $work/voices/<speaker>
    local folder=$work/voices/$1 number=0 file
    shift
    mkdir -p "$folder"
    for file in "$@"; do
        ln -sf "$file" "$folder/$((number += 1)).${file##*.}"
    done
}

number=0
for song in "$songs"/*/; do
    split=$([ $((number % 4)) = 3 ] && echo valid || echo train)
    ln -sfn "$song" "$work/songs/$split/$(basename "$song")"
    number=$((number + 1))
done

for package in asterisk-core-sounds-{en,es,fr,it,ru}-g722 gcin-voice tuxpaint-stamps-default \
    flite libflite1 fluid-soundfont-gm \
    wesnoth-1.16-music asc-music hyperrogue-music singularity-music warzone2100-music; do
    unpack "$package"
done

mapfile -t english < <(find "$work/packages/asterisk-core-sounds-en-g722" -name '*.g722' | sort)
voice en "${english[@]}"
for language in es fr it ru; do
    mapfile -t files < <(
        find "$work/packages/asterisk-core-sounds-$language-g722" -name '*.g722' | sort
    )
    voice "$language" "${files[@]}"
done
for speaker in 3 5; do
    mapfile -t files < <(find "$work/packages/gcin-voice" -name "$speaker.ogg" | sort)
    voice "gcin$speaker" "${files[@]}"
done
for language in be bg ca da el es fr lt nl ro ru; do
    mapfile -t files < <(
        find "$work/packages/tuxpaint-stamps-default" -name "*_desc_$language.ogg" | sort
    )
    voice "tux_$language" "${files[@]}"
done
text=$(sed -n 20,60p "$work/packages/flite/usr/share/doc/flite/examples/alice" | tr '\n"' '  ')
libraries=$(dirname "$(find "$work/packages/libflite1" -name libflite.so.1 | head -n 1)")
for speaker in awb kal16 rms slt; do
    mkdir -p "$work/voices/flite_$speaker"
    LD_LIBRARY_PATH=$libraries "$work/packages/flite/usr/bin/flite" -voice "$speaker" \
        -t "${text:0:1800}" -o "$work/voices/flite_$speaker/1.wav"
done

for package in wesnoth-1.16 asc hyperrogue singularity warzone2100; do
    find "$work/packages/$package-music" -type f ! -name '*nunc_dimittis*' \
        -exec ln -sf -t "$work/music" {} +
done

python "$here/render_songs.py" out="$work/rendered" voices="$work/voices" music="$work/music" \
    font="$work/packages/fluid-soundfont-gm/usr/share/sounds/sf2/FluidR3_GM.sf2" songs=79
python "$here/make_synthetic.py" out="$work/synthetic" tracks=37 seconds=20 seed=77
mkdir -p "$work/parametric"
ln -sfn "$work/synthetic/train" "$work/parametric/train"

python "$here/../train.py" experiment=bundled data=stem_folder \
    "data.roots=[$work/songs,$work/rendered,$work/parametric]" data.weights=[0.45,0.45,0.1] \
    paths.run_dir="$work/run" paths.data_dir="$work" logger=csv "$@"
