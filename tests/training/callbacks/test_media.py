"""What the loggers hold and what lies in the run folder, read back with other people's code."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from pytorch_lightning import Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2

from auralflow_pl.report.figures import (
    figure_pixels,
    level_map,
    spectrogram_comparison,
    sweep_plot,
    waveform_comparison,
)
from auralflow_pl.training.callbacks.log_weights import LogWeights
from auralflow_pl.training.callbacks.media import LogAudio, ValidationExcerpt
from support import TINY

SOUNDS = ("mixture", "target", "estimate", "residual")


@pytest.fixture(scope="module")
def events(watched):
    sizes = {"scalars": 0, "images": 0, "audio": 0, "histograms": 0}
    return EventAccumulator(str(watched.folder / "tensorboard"), sizes).Reload()


def log_records(content):
    """Records of W&B's file: 7 bytes, then a LevelDB log in blocks of 32 KiB."""
    assert content[:4] == b":W&B"
    place, parts = 7, []
    while place + 7 <= len(content):
        left = 2**15 - place % 2**15
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        parts.append(content[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


@pytest.fixture(scope="module")
def history(watched):
    """The rows of the offline W&B run."""
    (path,) = (watched.folder / "wandb").glob("offline-run-*/run-*.wandb")
    rows = []
    for data in log_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            rows.append({})
            for item in record.history.item:
                *outer, name = item.nested_key or [item.key]
                node = rows[-1].setdefault(outer[0], {}) if outer else rows[-1]
                node[name] = json.loads(item.value_json)
    return rows


def test_nothing_warns(watched):
    assert "arning" not in watched.done.err + watched.done.out, watched.done


def test_sounds_are_those_of_validation(watched):
    folder = watched.folder / "audio" / "song000-vocals"
    names = {kind: kind for kind in SOUNDS[:2]} | {k: f"epoch-0002-{k}" for k in SOUNDS[2:]}
    assert sorted(p.stem for p in folder.iterdir()) == sorted(names.values())
    sound = {kind: soundfile.read(folder / f"{name}.wav") for kind, name in names.items()}
    assert {rate for _, rate in sound.values()} == {44100}
    mixture, target, estimate, residual = (sound[kind][0] for kind in SOUNDS)
    assert np.abs(mixture - estimate - residual).max() <= 2 * 2**-15
    assert len(mixture) == 6 * 44100
    assert np.abs(target).max() > 0.05
    assert 0 < np.std(estimate) < np.std(mixture)


def test_pictures_are_kept_as_files(watched):
    for kind, epochs in (("spectrogram", 2), ("waveform", 1)):
        paths = sorted((watched.folder / kind / "song000-vocals").iterdir())
        assert [p.name for p in paths] == [f"epoch-000{e}.png" for e in range(3 - epochs, 3)]
        with Image.open(paths[-1]) as picture:
            assert picture.size[0] > 700
            assert len(picture.getcolors(2**20)) > 20


def test_tensorboard_holds_pictures_and_sounds(watched, events):
    tags = events.Tags()
    assert set(tags["images"]) == {"spectrogram/song000-vocals", "waveform/song000-vocals"}
    assert set(tags["audio"]) == {f"audio/song000-vocals/{kind}" for kind in SOUNDS}
    shown = events.Images("spectrogram/song000-vocals")
    assert [image.step for image in shown] == [2, 5]
    path = watched.folder / "spectrogram" / "song000-vocals" / "epoch-0002.png"
    with Image.open(io.BytesIO(shown[1].encoded_image_string)) as one, Image.open(path) as two:
        assert np.array_equal(np.asarray(one), np.asarray(two))
    heard = soundfile.read(
        io.BytesIO(events.Audio("audio/song000-vocals/estimate")[0].encoded_audio_string)
    )[0]
    kept = soundfile.read(watched.folder / "audio" / "song000-vocals" / "epoch-0002-estimate.wav")[
        0
    ]
    assert np.abs(heard - kept).max() < 2**-13


def test_wandb_holds_the_same(watched, events, history):
    merged: dict = {}
    for row in history:
        merged |= row
    for tag in (*events.Tags()["images"], *events.Tags()["audio"]):
        assert merged[tag]["path"], tag
    assert merged["gradients/encoder.levels.0.conv.weight"]["_type"] == "histogram"
    for tag in ("val/si_sdr", "train/loss_epoch"):
        seen = [row[tag] for row in history if tag in row]
        assert seen == pytest.approx([event.value for event in events.Scalars(tag)])


def test_histograms_of_weights_and_gradients(events):
    tags = events.Tags()["histograms"]
    layers = {tag.partition("/")[2] for tag in tags}
    assert "encoder.levels.0.conv.weight" in layers
    assert {f"{kind}/{layer}" for kind in ("weights", "gradients") for layer in layers} == set(tags)
    shown = events.Histograms("weights/encoder.levels.0.conv.weight")
    assert [h.step for h in shown] == [2, 5]
    assert shown[0].histogram_value.num == 2 * 25


def test_norms_are_logged_beside_histograms(events):
    assert set(events.Tags()["histograms"]) <= set(events.Tags()["scalars"])


def test_without_histograms_unless_wanted():
    assert LogWeights(norm=False).histogram
    assert not LogWeights().histogram
    assert not LogWeights(norm=False, histogram=False).histogram


@pytest.mark.parametrize("estimate", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_estimates_and_residuals_are_logged_separately(tmp_path, estimate, residual):
    sounds = torch.rand(3, 1, 80)
    excerpt = ValidationExcerpt("song", "vocals", 0.0, 8000, *sounds)
    callback = LogAudio(tmp_path, estimate=estimate, residual=residual)
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    callback.show(excerpt, trainer, tmp_path)
    expected = {"mixture.wav", "target.wav"}
    expected |= {"epoch-0001-estimate.wav"} if estimate else set()
    expected |= {"epoch-0001-residual.wav"} if residual else set()
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_throughput_and_preflight(watched, events):
    for name in ("steps_per_second", "chunks_per_second", "memory_gb", "remaining_minutes"):
        assert all(event.value > 0 for event in events.Scalars(f"throughput/{name}")[:-1]), name
    speed = events.Scalars("throughput/chunks_per_second")[0].value
    assert speed == pytest.approx(2 * events.Scalars("throughput/steps_per_second")[0].value)
    assert events.Scalars("throughput/remaining_minutes")[-1].value == 0
    assert all(0 <= event.value <= 1 for event in events.Scalars("throughput/data_share"))
    for line in (
        "UNet, 0.00 M parameters",
        "2 chunks of 0.5 s",
        "3 tracks, 0.01 h",
        "6 chunks, 3 steps",
        f"run folder  {watched.folder}",
        "an epoch takes about",
    ):
        assert line in watched.done.out, line


def test_media_that_cannot_be_made_cost_no_training(command, songs, tmp_path):
    (tmp_path / "file").write_text("in the way")
    keys = [
        f"callbacks.log_{kind}.{key}"
        for kind in ("audio", "spectrogram")
        for key in (f"folder={tmp_path}/file/{kind}", "every_n_epochs=1")
    ]
    callbacks = "callbacks=[best_checkpoint,log_audio,log_spectrogram]"
    folders = [f"data.root={songs}", f"paths.run_dir={tmp_path}/run"]
    done = command("train", *TINY, callbacks, *keys, *folders)
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()
    for kind in ("audio", "spectrogram"):
        assert f"{tmp_path}/file/{kind}: not made: NotADirectoryError" in done.out


def test_titles_are_texts():
    sounds = {"$x": torch.rand(2, 16000), "100% $\\foo$": torch.rand(2, 16000)}
    for draw in (spectrogram_comparison, waveform_comparison):
        picture = figure_pixels(draw(sounds, 16000, "Ke$ha - Ca$h \\frac ^_{"))
        assert picture.std() > 1
    figure_pixels(sweep_plot(["a$b$c"], [({"a$b$c": "$\\x$"}, 1.0), ({"a$b$c": "$$"}, 2.0)]))
    figure_pixels(level_map([("Ca$h $", "vo$c$ls", -20.0, 0.5)]))
