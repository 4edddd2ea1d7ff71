"""Train, resume, evaluate and separate, as a user would, on real files."""

import csv

import numpy as np
import pytest
import soundfile
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from auralflow_pl.audio.reading import read_audio, read_streams
from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.metrics.oracle import ideal_ratio_mask
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.signal.stft import STFT
from support import TINY


def weights(path):
    return load_checkpoint(path).weights


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def train(command, songs, tmp_path):
    def call(name, *arguments):
        folder = tmp_path / name
        done = command("train", *TINY, f"data.root={songs}", f"paths.run_dir={folder}", *arguments)
        assert done.code == 0, done.err
        return folder / "checkpoints"

    return call


def test_the_same_seed_gives_bit_identical_weights(train, run):
    again, other = train("again"), train("other", "seed=1")
    first = weights(run / "checkpoints" / "last.ckpt")
    assert same(first, weights(again / "last.ckpt"))
    assert not same(first, weights(other / "last.ckpt"))


def test_a_resumed_run_equals_one_that_was_never_interrupted(train):
    whole = train("whole", "trainer.max_epochs=3")
    part = train("part", "trainer.max_epochs=2")
    assert not same(weights(part / "last.ckpt"), weights(whole / "last.ckpt"))
    train("part", "trainer.max_epochs=3", "resume=auto")
    assert same(weights(part / "last.ckpt"), weights(whole / "last.ckpt"))


def test_best_is_the_best_and_is_not_overwritten_by_last(train):
    folder = train("best", "trainer.max_epochs=4", "logger=csv", "optimizer.lr=0.05")
    scores = [
        float(r["val/si_sdr"])
        for r in rows(folder.parent / "csv" / "metrics.csv")
        if r["val/si_sdr"]
    ]
    state = torch.load(folder / "last.ckpt", weights_only=True)["callbacks"]
    saved = next(
        value for key, value in state.items() if "val/si_sdr" in key and "best_model_score" in value
    )
    assert len(scores) == 4
    assert float(saved["best_model_score"]) == pytest.approx(max(scores))
    epoch = torch.load(folder / "best.ckpt", weights_only=True)["epoch"]
    assert epoch == int(np.argmax(scores))


def test_run_folder_holds_configuration_and_log(run):
    config = OmegaConf.load(run / "config.yaml")
    assert config.model.width == 2
    assert config.stft.win_length == 1024
    assert (run / "train.log").is_file()


def test_tensorboard_can_be_read_back(train):
    folder = train(
        "board", "logger=tensorboard", "trainer.max_epochs=2", "trainer.log_every_n_steps=1"
    )
    events = EventAccumulator(str(folder.parent / "tensorboard")).Reload()
    assert {"train/loss_step", "train/loss_epoch", "val/si_sdr", "val/si_sdr_gain"} <= set(
        events.Tags()["scalars"]
    )
    assert len(events.Scalars("val/si_sdr")) == 2
    gain, score = events.Scalars("val/si_sdr_gain")[0], events.Scalars("val/si_sdr")[0]
    assert -60 < score.value - gain.value < 10  # the score of the mixture


def test_metrics_of_validation_by_name(train):
    folder = train("metrics", "metrics=[si_sdr,sdr,log_wmse]", "logger=csv")
    (row,) = [r for r in rows(folder.parent / "csv" / "metrics.csv") if r["val/si_sdr"]]
    assert -60 < float(row["val/sdr"]) < 20
    assert -40 < float(row["val/log_wmse"]) < 74


def test_several_targets_from_one_network_in_stereo(train, command, songs, tmp_path):
    checkpoints = train("four", "target=[drums,bass]", "audio.channels=2", "loss=si_sdr")
    source = songs / "test" / "song000" / "mixture.wav"
    done = command(
        "separate",
        f"ckpt={checkpoints / 'best.ckpt'}",
        f"input={source}",
        f"output={tmp_path / 'out'}",
    )
    assert done.code == 0, done.err
    assert sorted(p.name for p in (tmp_path / "out" / "mixture").iterdir()) == [
        "bass.wav",
        "drums.wav",
        "report.json",
    ]


def test_a_target_that_is_a_sum_of_stems(train, command, songs, tmp_path):
    targets = ["target=[vocals,accompaniment,rhythm]", "data.groups={rhythm:[drums,bass]}"]
    ckpt = train("sums", *targets) / "best.ckpt"
    few = ["metrics=[si_sdr]", "references=[mixture]", "report=false"]
    done = command("evaluate", f"ckpt={ckpt}", f"output={tmp_path / 'eval'}", *few)
    assert done.code == 0, done.err
    scores = [row for row in rows(tmp_path / "eval" / "eval.csv") if row["track"] == "song000"]
    _, stems = StemFolder(songs, ["vocals", "drums", "bass", "other"]).tracks("test")[0].read()
    for row, members in zip(scores, ([0], [1, 2, 3], [1, 2]), strict=True):
        target = stems[members].sum(0).flatten()
        expected = si_sdr(stems.sum(0).flatten(), target)
        assert float(row["si_sdr_mixture"]) == pytest.approx(float(expected), abs=0.01)


def test_losses_add_up_with_their_weights(train):
    folder = train(
        "sum",
        "loss=[l1,si_sdr]",
        "loss_weights={si_sdr:0.1}",
        "model=vae",
        "logger=csv",
        "model.bottleneck.hidden_size=4",
        "model.bottleneck.kl_warmup_steps=0",
    )
    (row,) = [r for r in rows(folder.parent / "csv" / "metrics.csv") if r["train/loss_epoch"]]
    parts = {name: float(row[f"train/{name}_epoch"]) for name in ("l1", "si_sdr", "kl")}
    assert parts["kl"] > 0
    total = parts["l1"] + 0.1 * parts["si_sdr"] + parts["kl"]
    assert float(row["train/loss_epoch"]) == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("model", ["lstm", "vae"])
def test_the_other_networks_train_resume_and_separate(train, command, songs, tmp_path, model):
    small = [f"model={model}", "model.bottleneck.hidden_size=4"]
    whole = train("whole", *small, "trainer.max_epochs=2")
    part = train("part", *small)
    train("part", *small, "trainer.max_epochs=2", "resume=auto")
    assert same(weights(part / "last.ckpt"), weights(whole / "last.ckpt"))
    source = songs / "test" / "song000" / "mixture.wav"
    done = command(
        "separate", f"ckpt={part / 'best.ckpt'}", f"input={source}", f"output={tmp_path}"
    )
    assert done.code == 0, done.err


def test_evaluation_agrees_with_separation_and_torchmetrics(command, ckpt, songs, tmp_path):
    """The number in eval.csv is that of the stem on disk, measured by other people's code."""
    few = ["metrics=[si_sdr]", "references=[mixture,oracle]", "report=false"]
    done = command("evaluate", f"ckpt={ckpt}", f"output={tmp_path / 'eval'}", *few)
    assert done.code == 0, done.err
    table = rows(tmp_path / "eval" / "eval.csv")
    assert [(r["track"], r["target"]) for r in table] == [
        ("song000", "vocals"),
        ("song001", "vocals"),
    ]
    assert "mean" in done.out
    assert "median" in done.out
    source = songs / "test" / "song000"
    command(
        "separate", f"ckpt={ckpt}", f"input={source / 'mixture.wav'}", f"output={tmp_path / 'out'}"
    )
    sound = {
        "si_sdr": read_audio(tmp_path / "out" / "mixture" / "vocals.wav").samples,
        "si_sdr_mixture": read_audio(source / "mixture.wav").samples,
    }
    target = read_audio(source / "vocals.wav").samples
    stft, mixture = STFT(1024, 1024, 512), sound["si_sdr_mixture"]
    mask = ideal_ratio_mask(stft(target), stft(mixture - target))
    sound["si_sdr_oracle"] = stft.inverse(mask * stft(mixture), mixture.shape[-1])
    for key, estimate in sound.items():
        reference = scale_invariant_signal_distortion_ratio(estimate.flatten(), target.flatten())
        assert float(table[0][key]) == pytest.approx(float(reference), abs=0.02), key


def test_a_silent_target_is_left_out(command, ckpt, songs, tmp_path):
    folder = tmp_path / "set" / "test" / "quiet"
    folder.mkdir(parents=True)
    for path in (songs / "test" / "song000").glob("*.wav"):
        samples = soundfile.read(path)[0] * (path.stem not in ("vocals", "mixture"))
        if path.stem != "mixture":
            soundfile.write(folder / path.name, samples, 44100)
    done = command(
        "evaluate",
        f"ckpt={ckpt}",
        "data=stem_folder",
        f"data.root={tmp_path / 'set'}",
        f"output={tmp_path}",
    )
    assert done.code == 0, done.err
    assert "0 tracks, 1 undefined and left out" in done.out
    assert rows(tmp_path / "eval.csv")[0]["si_sdr"] == ""


@pytest.mark.parametrize(
    "subtype, step", [("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 2**-23)]
)
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_stems_keep_rate_channels_and_length_and_null(
    command, ckpt, tmp_path, subtype, step, rate, channels
):
    frames = 20011
    sound = np.random.default_rng(0).uniform(-0.4, 0.4, (frames, channels))
    source = tmp_path / "song.wav"
    soundfile.write(source, sound, rate, subtype)
    done = command(
        "separate", f"ckpt={ckpt}", f"input={source}", f"output={tmp_path}", "residual=true"
    )
    assert done.code == 0, done.err
    stems = {name: tmp_path / "song" / f"{name}.wav" for name in ("vocals", "residual")}
    for path in stems.values():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.frames) == (rate, channels, frames)
        assert info.subtype == subtype
    total = sum(soundfile.read(path, always_2d=True)[0] for path in stems.values())
    assert np.abs(total - soundfile.read(source, always_2d=True)[0]).max() <= step


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_compressed_files_keep_rate_channels_and_length(command, ckpt, tmp_path, suffix):
    source = tmp_path / f"song.{suffix}"
    soundfile.write(source, np.random.default_rng(0).uniform(-0.3, 0.3, (30000, 2)), 32000)
    done = command(
        "separate", f"ckpt={ckpt}", f"input={source}", f"output={tmp_path}", "residual=true"
    )
    assert done.code == 0, done.err
    mixture = read_audio(source).samples
    parts = [read_audio(tmp_path / "song" / f"{n}.wav") for n in ("vocals", "residual")]
    assert all(p.sample_rate == 32000 and p.samples.shape == mixture.shape for p in parts)
    assert (sum(p.samples for p in parts) - mixture).abs().max() <= 2**-15


def test_the_real_multitrack_is_separated_and_evaluated(command, ckpt, excerpt, tmp_path):
    done = command(
        "separate", f"ckpt={ckpt}", f"input={excerpt}", f"output={tmp_path}", "residual=true"
    )
    assert done.code == 0, done.err
    name = excerpt.name.removesuffix(".stem.mp4")
    streams = read_streams(excerpt)
    parts = [read_audio(tmp_path / name / f"{n}.wav") for n in ("vocals", "residual")]
    assert all(p.samples.shape == streams[0].samples.shape for p in parts)
    assert (sum(p.samples for p in parts) - streams[0].samples).abs().max() <= 2**-15

    from prepare_excerpt import prepare

    prepare(tmp_path / "excerpt")
    done = command(
        "evaluate",
        f"ckpt={ckpt}",
        "data=stem_folder",
        f"data.root={tmp_path / 'excerpt' / 'stems'}",
        f"output={tmp_path / 'eval'}",
        "metrics=[si_sdr]",
        "references=[mixture,oracle]",
        "report=false",
    )
    assert done.code == 0, done.err
    (row,) = rows(tmp_path / "eval" / "eval.csv")
    reference = scale_invariant_signal_distortion_ratio(
        streams[0].samples.flatten(), streams[4].samples.flatten()
    )
    assert float(row["si_sdr_mixture"]) == pytest.approx(float(reference), abs=0.01)
    assert float(row["si_sdr_oracle"]) > float(row["si_sdr_mixture"]) + 5


def test_commands_write_nothing_but_their_output(command, ckpt, songs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = songs / "test" / "song000" / "mixture.wav"
    for done in (
        command("separate", f"ckpt={ckpt}", f"input={source}"),
        command("evaluate", f"ckpt={ckpt}", "output=scores", "references=[mixture]"),
    ):
        assert done.code == 0, done.err
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    results = [name for name in found if name.startswith("scores/tracks/")]
    assert len(results) == 4  # and their moments
    tables = ["scores/eval.csv", "scores/eval.json", "scores/report.html"]
    stems = ["separated/mixture/report.json", "separated/mixture/vocals.wav"]
    assert [n for n in found if n not in results] == [*tables, *stems]


def test_a_folder_keeps_its_tree_and_survives_a_bad_file(command, ckpt, tmp_path):
    album = tmp_path / "album"
    (album / "side b").mkdir(parents=True)
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, 5000)
    for path in (album / "one.wav", album / "one.flac", album / "side b" / "two.ogg"):
        soundfile.write(path, sound, 22050)
    (album / "bad.wav").write_text("no")
    (album / "cover.jpg").write_text("picture")
    done = command("separate", f"ckpt={ckpt}", f"input={album}", f"output={tmp_path / 'out'}")
    assert "1 of 4 files failed; first:" in done.error
    assert "bad.wav: not readable as audio" in done.error
    found = sorted(
        str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*") if p.is_file()
    )
    folders = ("one.flac", "one.wav", "side b/two")
    assert found == [f"{f}/{name}" for f in folders for name in ("report.json", "vocals.wav")]


def test_a_sweep_runs_every_job_in_its_own_folder(command, songs, tmp_path):
    done = command(
        "train",
        "-m",
        "loss=l1,si_sdr",
        *TINY,
        f"data.root={songs}",
        f"paths.run_dir={tmp_path / 'sweep'}",
    )
    assert done.code == 0, done.err
    for job, loss in (("0", "l1"), ("1", "si_sdr")):
        folder = tmp_path / "sweep" / job
        assert (folder / "checkpoints" / "best.ckpt").is_file()
        assert list(OmegaConf.load(folder / "config.yaml").loss) == [loss]
