"""The command `separate` on anything that people give it."""

import json
import os
import resource
import signal
import sys
import time

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.audio.reading import read_audio
from auralflow_pl.cli import main as cli
from auralflow_pl.stems.excerpt import MiddleExcerpt
from auralflow_pl.system.memory import memory_in_use
from support import ended, forked, untrained
from support.damage import damaged, encode_aac


def stems_below(folder):
    """All files but reports, relative to a folder."""
    return sorted(
        str(p.relative_to(folder))
        for p in folder.rglob("*")
        if p.is_file() and p.suffix not in (".json", ".png")
    )


def write(path, seconds=0.1, channels=2, rate=16000, level=0.3, subtype=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(len(path.name))
    frames = int(seconds * rate)
    soundfile.write(path, draw.uniform(-level, level, (frames, channels)), rate, subtype)
    return path


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """A tiny network for vocals; what it has learned does not matter here."""
    return untrained(tmp_path_factory.mktemp("model") / "vocals.ckpt")


@pytest.fixture
def separate(command, ckpt, tmp_path):
    """Run the command with the tiny network; output goes to `out`."""

    def call(*arguments, code=0):
        given = [str(argument) for argument in arguments]
        defaults = {"ckpt": ckpt, "output": tmp_path / "out", "engine": "torch"}
        for key, value in defaults.items():
            if not any(argument.startswith(f"{key}=") for argument in given):
                given.append(f"{key}={value}")
        done = command("separate", *given)
        assert done.code == code, done.err
        return done

    return call


def test_at_least_300_damaged_files(separate, tmp_path):
    """Each one gives stems or one clear line, in bounded time and memory."""
    folder = tmp_path / "in"
    folder.mkdir()
    paths = list(damaged(folder))
    assert len(paths) >= 300
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = separate(f"input={folder}", "residual=true", code=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    assert "Traceback" not in done.out + done.err
    failed = [line for line in done.out.splitlines() if line.startswith("failed: ")]
    made = {report.parent.name for report in (tmp_path / "out").rglob("report.json")}
    assert len(made) + len(failed) == len(paths)
    assert len(made) > 30
    for path in paths:
        lines = [line for line in failed if f"/{path.name}:" in line]
        ours = made & {path.stem, path.name}
        assert len(lines) == (0 if ours else 1), path
    assert not list((tmp_path / "out").rglob(".partial*"))
    for report in (tmp_path / "out").rglob("report.json"):
        content = json.loads(report.read_text())
        assert content["null_error_steps"] is None or content["null_error_steps"] <= 1
        for stem in content["stems"].values():
            assert soundfile.info(report.parent / stem["file"]).frames > 0


def test_50_files_of_which_5_are_bad(separate, tmp_path):
    folder = tmp_path / "in"
    for i in range(50):
        path = write(folder / f"{i // 5}" / f"{i:03}.wav", seconds=0.05)
        if i % 10 == 3:
            path.write_bytes(path.read_bytes()[:500])
    done = separate(f"input={folder}", code=1)
    assert done.out.splitlines()[-1] == "45 separated, 0 there already, 5 failed"
    assert done.out.count("failed: ") == 5
    assert "5 of 50 files failed; first: " in done.err
    stems = stems_below(tmp_path / "out")
    assert len(stems) == 45
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in stems}
    done = separate(f"input={folder}", code=1)
    assert done.out.splitlines()[-1] == "0 separated, 45 there already, 5 failed"
    assert before == {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in stems}


def test_what_a_list_lacks_stops_nothing(separate, tmp_path):
    song = write(tmp_path / "It's (Live).wav")
    done = separate(f"input=[{song},{tmp_path}/none.wav,{tmp_path}/*.mp3]", code=1)
    assert stems_below(tmp_path / "out") == ["It's (Live)/vocals.wav"]
    assert f"failed: input={tmp_path}/none.wav: no such file or folder" in done.out
    assert f"failed: input={tmp_path}/*.mp3: no file fits this pattern" in done.out
    assert done.out.splitlines()[-1] == "1 separated, 0 there already, 2 failed"


def test_control_characters_in_names_are_escaped(separate, tmp_path):
    song = write(tmp_path / "a\x1b[31m\rb\u3000c.wav")
    done = separate(f"input=[{song},{tmp_path}/\x9b2J.wav]", code=1)
    assert done.out.splitlines()[0].endswith("/out/a\\x1b[31m\\rb\u3000c")
    assert f"input={tmp_path}/\\x9b2J.wav: no such file" in done.error


def test_a_closed_standard_input(separate, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "input=-: standard input is closed" in separate("input=-", code=1).error


def test_no_picture_costs_the_stems(separate, tmp_path, monkeypatch):
    names = ["Joey Bada$$ - X", "Ke$ha - 100% Ca$h", "$\\frac$ ^_{}"]
    for name in names:
        write(tmp_path / "in" / f"{name}.wav")
    separate(f"input={tmp_path / 'in'}", "plot=true")
    for name in names:
        assert (tmp_path / "out" / name / "spectrograms.png").stat().st_size > 10_000

    def fail(*arguments, **options):
        raise RuntimeError("no fonts")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    song = write(tmp_path / "other.wav")
    done = separate(f"input={song}", "plot=true")
    assert f"{tmp_path}/out/other/spectrograms.png: not made: RuntimeError: no fonts" in done.err
    assert stems_below(tmp_path / "out" / "other") == ["vocals.wav"]
    assert json.loads((tmp_path / "out/other/report.json").read_text())["picture"] is None


@pytest.mark.parametrize("several", [["jobs=3"], ["device=[cpu,cpu]", "jobs=2"]])
def test_several_files_at_a_time_give_the_same(separate, tmp_path, several):
    for i in range(8):
        write(tmp_path / "in" / f"{i}.wav", seconds=1 + i / 10)
    separate(f"input={tmp_path / 'in'}")
    separate(f"input={tmp_path / 'in'}", *several, f"output={tmp_path / 'other'}")
    assert len(stems_below(tmp_path / "out")) == 8
    for name in stems_below(tmp_path / "out"):
        one, two = (read_audio(tmp_path / f / name).samples for f in ("out", "other"))
        torch.testing.assert_close(one, two, atol=1e-4, rtol=0)


def test_shards_divide_the_files_and_can_be_run_again(separate, tmp_path):
    for i in range(7):
        write(tmp_path / "in" / f"{i}.wav")
    counts = []
    for number in (1, 2, 3):
        done = separate(f"input={tmp_path / 'in'}", f"shard={number}/3")
        counts.append(done.out.splitlines()[-1].split()[0])
    assert counts == ["3", "2", "2"]
    assert len(stems_below(tmp_path / "out")) == 7
    done = separate(f"input={tmp_path / 'in'}", "shard=1/3")
    assert "0 separated, 3 there already" in done.out
    done = separate(f"input={tmp_path / 'in'}", "shard=9/9")
    assert "0 separated, 0 there already" in done.out


def test_a_report_says_what_was_done(separate, ckpt, tmp_path):
    source = write(tmp_path / "a.wav", seconds=2)
    separate(f"input={source}", "residual=true", "plot=true")
    report = json.loads((tmp_path / "out" / "a" / "report.json").read_text())
    assert report["input"]["sample_rate"] == 16000
    assert report["models"][0]["ckpt"] == str(ckpt)
    assert report["options"]["residual"] is True
    assert list(report["stems"]) == ["vocals", "residual"]
    for name, stem in report["stems"].items():
        path = tmp_path / "out" / "a" / stem["file"]
        samples = read_audio(path).samples
        assert stem["bytes"] == path.stat().st_size
        assert stem["peak"] == pytest.approx(float(samples.abs().max()), abs=1e-4), name
        assert -60 < stem["loudness_lufs"] < 0
    assert report["null_error_steps"] <= 1
    assert report["speed"]["times_real_time"] > 0
    picture = tmp_path / "out" / "a" / "spectrograms.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_stems_of_other_origin_are_not_replaced_unasked(separate, tmp_path):
    source = write(tmp_path / "a.wav")
    separate(f"input={source}")
    stem = tmp_path / "out" / "a" / "vocals.wav"
    first = stem.read_bytes()
    done = separate(f"input={source}", "subtype=24", code=1)
    assert "made from another file, by another model or with other options" in done.error
    assert stem.read_bytes() == first
    separate(f"input={source}", "subtype=24", "overwrite=true")
    assert soundfile.info(stem).subtype == "PCM_24"
    recording = write(tmp_path / "a" / "vocals.wav")  # beside a.wav, of someone else
    done = separate(f"input={source}", f"output={tmp_path}", code=1)
    assert f"{recording}: is there already, and not made by this command" in done.error
    stem.write_bytes(b"half")  # not what the report says: made again
    separate(f"input={source}", "subtype=24")
    assert soundfile.info(stem).frames == 1600


@pytest.mark.parametrize(
    "output, expected",
    [
        ("s", ["s/one/vocals.wav", "s/sub/two/vocals.wav"]),
        ("s/{target}/{track}.{ext}", ["s/vocals/one.wav", "s/vocals/sub/two.wav"]),
        ("s/{track} [{target}].flac", ["s/one [vocals].flac", "s/sub/two [vocals].flac"]),
    ],
)
def test_templates(separate, tmp_path, output, expected):
    write(tmp_path / "in" / "one.wav")
    write(tmp_path / "in" / "sub" / "two.wav")
    separate(f"input={tmp_path / 'in'}", f"output={tmp_path / output}")
    assert stems_below(tmp_path) == sorted([*expected, "in/one.wav", "in/sub/two.wav"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["output={trak}/{target}.wav"], "no field 'trak', did you mean 'track'?"),
        (["output={track}.wav"], "expected {target} in it"),
        (["output={target}.wav", "format=flac"], "names another format than format=flac"),
        (["format=acc"], "format=acc: expected one of wav, flac, ogg, mp3"),
        (["subtype=8"], "subtype=8: expected one of 16, 24, float"),
        (["format=mp3", "subtype=16"], "format=mp3 has none"),
        (["clip=maybe"], "clip=maybe: expected one of none, rescale, clamp"),
        (["shard=0/4"], "shard=0/4: expected <i>/<n>"),
        (["shard=5/4"], "shard=5/4: expected <i>/<n>"),
        (["offset=-1"], "offset=-1.0: expected at least 0"),
        (["duration=0"], "duration=0.0: expected more than 0"),
        (["offset=99"], "holds no samples after offset=99.0 s"),
        (["duration=1e-6"], "holds no samples within duration=1e-06 s"),
        (["jobs=0"], "jobs=0: expected more than 0"),
        (["device=[]"], "device: an empty list; expected devices"),
        (["device=[cpu,gpu]"], "device=gpu: not available here"),
        (["device=99"], "device=99: not available here"),
        (["max_ram=lots"], "max_ram=lots: expected a size such as 1GB"),
        (["max_ram=1MB"], "max_ram=1MB: the program takes"),
        (["sample_rate=12345", "format=mp3"], "format=mp3: has no 2 channels at 12345 Hz"),
        (["precision=fp64"], "precision=fp64: no such option"),
        (["separation.shifts=0"], "separation.shifts=0: expected more than 0"),
        (["separation.padding_seconds=-1"], "separation.padding_seconds=-1.0: expected at least 0"),
        (
            ["separation.speeds=[1,3]"],
            "error: separation.speeds=[1.0, 3.0]: expected 1 to 20 num",
        ),
        (
            ["separation.padding_seconds=700"],
            "separation.padding_seconds=700.0: expected from 0",
        ),
        (["separation.window_seconds=0.5"], "error: separation.window_seconds=0.5: too short for"),
        (["overlap=0.5"], "overlap: no such key, did you mean 'separation.overlap'?"),
    ],
)
def test_mistakes(separate, tmp_path, arguments, message):
    source = write(tmp_path / "a.wav")
    assert message in separate(f"input={source}", *arguments, code=1).error
    assert stems_below(tmp_path) == ["a.wav"]


def test_lists_globs_and_playlists(separate, tmp_path):
    one, two = write(tmp_path / "a" / "one.wav"), write(tmp_path / "b" / "sub" / "two.wav")
    same = write(tmp_path / "b" / "one.wav")
    separate(f"input=[{one},{two}]", f"output={tmp_path / 'list'}")
    assert stems_below(tmp_path / "list") == ["one/vocals.wav", "two/vocals.wav"]
    separate(f"input={tmp_path}/b/**/*.wav", f"output={tmp_path / 'glob'}")
    assert stems_below(tmp_path / "glob") == ["one/vocals.wav", "sub/two/vocals.wav"]
    playlist = tmp_path / "b" / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n\nsub/two.wav\none.wav\n../a/one.wav\n{same}\nmissing.wav\n")
    done = separate(f"input={playlist}", f"output={tmp_path / 'm3u'}", code=1)
    assert "missing.wav: no such file" in done.out
    folders = {path.parent for path in (tmp_path / "m3u").rglob("vocals.wav")}
    assert folders == {tmp_path / "m3u" / name for name in ("one.wav", "one.wav (2)", "sub/two")}
    playlist.write_text("# nothing\n")
    assert "names no file" in separate(f"input={playlist}", code=1).error
    assert "no file fits" in separate(f"input={tmp_path}/*.flac", code=1).error


def test_stems_are_no_input_of_the_next_run(separate, tmp_path):
    write(tmp_path / "music" / "one.wav")
    for output in (tmp_path / "music" / "stems", tmp_path / "music"):
        for _ in range(2):
            separate(f"input={tmp_path / 'music'}", f"output={output}")
    names = ("one.wav", "one/vocals.wav", "stems/one/vocals.wav")
    assert stems_below(tmp_path / "music") == sorted(names)


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
def test_tags_are_copied(separate, tmp_path, form):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 16000, 2) as file:
        file.title, file.artist = "Ein Lied", "Jemand"
        file.write(np.full((5000, 2), 0.1))
    separate(f"input={tmp_path / 'a.flac'}", f"format={form}")
    stem = soundfile.SoundFile(tmp_path / "out" / "a" / f"vocals.{form}")
    assert (stem.title, stem.artist) == ("Ein Lied", "Jemand")


def test_part_of_a_file_at_another_rate(separate, tmp_path):
    source = write(tmp_path / "a.wav", seconds=3)
    options = ["offset=0.5", "duration=1.2", "sample_rate=22050", "residual=true"]
    separate(f"input={source}", *options)
    stems = [read_audio(tmp_path / "out" / "a" / f"{n}.wav") for n in ("vocals", "residual")]
    assert all(stem.sample_rate == 22050 for stem in stems)
    assert all(stem.samples.shape == (2, round(1.2 * 22050)) for stem in stems)


def test_several_checkpoints_give_all_stems(separate, ckpt, tmp_path):
    other = untrained(tmp_path / "other.ckpt", "target=[drums,bass]", "audio.channels=2")
    source = write(tmp_path / "a.wav", seconds=1)
    separate(f"input={source}", f"ckpt=[{ckpt},{other}]", "residual=true")
    folder = tmp_path / "out" / "a"
    assert stems_below(folder) == ["bass.wav", "drums.wav", "residual.wav", "vocals.wav"]
    total = sum(read_audio(path).samples for path in folder.glob("*.wav"))
    assert (total - read_audio(source).samples).abs().max() <= 2**-15
    separate(f"input={source}", f"ckpt={ckpt}", f"output={tmp_path / 'alone'}")
    alone = read_audio(tmp_path / "alone" / "a" / "vocals.wav").samples
    assert torch.equal(alone, read_audio(folder / "vocals.wav").samples)
    both = tmp_path / "models"
    both.mkdir()
    for name, path in (("a.ckpt", ckpt), ("b.ckpt", other)):
        (both / name).write_bytes(path.read_bytes())
    (both / "._a.ckpt").write_text("what macOS adds on foreign disks")
    separate(f"input={source}", f"ckpt={both}", f"output={tmp_path / 'folder'}")
    assert len(stems_below(tmp_path / "folder")) == 3
    done = separate(f"input={source}", f"ckpt=[{ckpt},{ckpt}]", code=1)
    assert "several separate vocals" in done.error


def test_a_target_that_is_called_residual_is_not_lost(separate, tmp_path):
    groups = ["data.groups={residual:[vocals]}", "target=residual"]
    model = untrained(tmp_path / "model.ckpt", *groups)
    source = write(tmp_path / "a.wav", seconds=1)
    done = separate(f"input={source}", f"ckpt={model}", "residual=true", code=1)
    assert "residual=true: a model separates a target of this name" in done.error
    separate(f"input={source}", f"ckpt={model}")
    assert stems_below(tmp_path / "out") == ["a/residual.wav"]


def start(arguments, before=lambda: None):
    """Begin the command in a copy of this process."""

    def work():
        before()
        sys.argv = ["separate", "engine=torch", *map(str, arguments)]
        cli.run("separate")

    return forked(work)


def test_the_wiener_filter_makes_estimates_sum_to_the_mixture(separate, tmp_path):
    ckpt = untrained(tmp_path / "four.ckpt", "target=[vocals,drums,bass,other]")
    source = write(tmp_path / "a.wav", seconds=21, rate=8000, subtype="PCM_24")
    mixture = read_audio(source).samples
    errors = {}
    for name in ("false", "true"):
        out = tmp_path / name
        separate(f"input={source}", f"ckpt={ckpt}", f"wiener={name}", f"output={out}")
        stems = [read_audio(path).samples for path in (out / "a").glob("*.wav")]
        assert len(stems) == 4
        assert all(stem.abs().max() > 0.001 for stem in stems)
        errors[name] = float((sum(stems) - mixture).square().mean() / mixture.square().mean())
    assert errors["true"] < 1e-8 < 1e-3 < errors["false"]
    separate(
        f"input={source}",
        f"ckpt={ckpt}",
        "wiener=true",
        "residual=true",
        f"output={tmp_path / 'five'}",
    )
    stems = {p.stem: read_audio(p).samples for p in (tmp_path / "five" / "a").glob("*.wav")}
    assert (sum(stems.values()) - mixture).abs().max() <= 2**-22
    assert stems["residual"].square().mean() > 1e-6


def test_from_standard_input(ckpt, tmp_path):
    source = write(tmp_path / "a.wav", seconds=0.5, subtype="PCM_24")
    raw = (read_audio(source).samples.T.numpy() * 32768).round().astype("<i2").tobytes()
    (tmp_path / "a.raw").write_bytes(raw)
    for name, options in (("wav", []), ("raw", ["raw.sample_rate=16000"])):

        def pipe(name=name):
            read, write = os.pipe()
            if os.fork() == 0:
                os.write(write, (tmp_path / f"a.{name}").read_bytes())
                os._exit(0)
            os.close(write)
            sys.stdin = os.fdopen(read)

        base = [f"ckpt={ckpt}", "input=-", "residual=true", f"output={tmp_path / name}"]
        code, text = ended(*start([*base, *options], pipe))
        assert code == 0, text
        stems = [read_audio(tmp_path / name / "stdin" / f"{n}.wav") for n in ("vocals", "residual")]
        assert all(stem.sample_rate == 16000 for stem in stems)
        total = sum(stem.samples for stem in stems)
        assert (total - read_audio(source).samples).abs().max() <= 2**-15
        code, text = ended(*start([*base, *options], pipe))
        assert code == 1
        assert "what comes through a pipe cannot be compared" in text


def test_a_signal_leaves_nothing_half_written(ckpt, tmp_path):
    """SIGTERM, Ctrl-C and SIGKILL in the middle of a file, and the rerun that completes it."""
    source, out = write(tmp_path / "a.wav", seconds=60, rate=22050), tmp_path / "out"
    arguments = [f"ckpt={ckpt}", f"input={source}", f"output={out}", "separation.shifts=4"]
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)):
        child, read = start(arguments)
        wait_for(out, ".partial-*/1/*.wav", 50_000)
        os.kill(child, number)
        ending, text = ended(child, read)
        assert ending == code, text
        assert "Traceback" not in text
        assert not list(out.glob("[!.]*"))
        if number != signal.SIGKILL:
            assert text.splitlines()[-1].startswith("error: ")
            assert list(out.iterdir()) == []
    assert list(out.glob(".partial-*"))
    code, text = ended(*start(arguments[:-1]))
    assert code == 0, text
    assert [p.name for p in out.iterdir()] == ["a"]
    assert soundfile.info(out / "a" / "vocals.wav").frames == 60 * 22050


def wait_for(folder, pattern, size):
    """Until a file that fits the pattern has grown to a size."""
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size >= size for path in folder.glob(pattern)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def fill_the_disk():
    """Files cannot grow beyond 100 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
def test_a_full_disk(separate, ckpt, tmp_path, form):
    source = write(tmp_path / "a.wav", seconds=20)
    arguments = [f"ckpt={ckpt}", f"input={source}", f"output={tmp_path / 'out'}", f"format={form}"]
    code, text = ended(*start(arguments, fill_the_disk))
    assert code == 1
    assert "Traceback" not in text
    assert "is the disk full?" in text.splitlines()[-1]
    assert list((tmp_path / "out").iterdir()) == []
    separate(*arguments)


def test_a_folder_that_cannot_be_written(separate, tmp_path):
    source = write(tmp_path / "a.wav")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("mine")
    done = separate(f"input={source}", code=1)
    assert str(tmp_path / "out" / "a") in done.error
    assert (tmp_path / "out" / "a").read_text() == "mine"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a"]


def test_an_input_that_vanishes_is_named(separate, tmp_path, monkeypatch):
    """Deleted after the list was made, as when another program tidies up."""
    for i in range(3):
        write(tmp_path / "in" / f"{i}.wav")
    from auralflow_pl.commands import separate as module

    find = module.find_inputs

    def and_delete(*arguments):
        jobs = find(*arguments)
        (tmp_path / "in" / "1.wav").unlink()
        return jobs

    monkeypatch.setattr(module, "find_inputs", and_delete)
    done = separate(f"input={tmp_path / 'in'}", code=1)
    assert f"failed: {tmp_path / 'in' / '1.wav'}: no such file" in done.out
    assert len(stems_below(tmp_path / "out")) == 2


def test_a_file_at_work_elsewhere_is_left_alone(separate, tmp_path):
    from auralflow_pl.system.staging import work_folder

    source = write(tmp_path / "a.wav")
    with work_folder(tmp_path / "out", "a") as folder:
        (folder / "1").mkdir()
        assert "another process is making a" in separate(f"input={source}", code=1).error
        assert (folder / "1").is_dir()
    separate(f"input={source}")


def test_equal_runs_at_the_same_time_tell_what_the_other_does(separate, ckpt, tmp_path):
    for i in range(12):
        write(tmp_path / "in" / f"{i}.wav", seconds=0.02)
    given = [f"ckpt={ckpt}", f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}"]
    others = [start(given) for _ in range(2)]
    for _, text in [ended(*other) for other in others]:
        failed = [line for line in text.splitlines() if line.startswith("failed: ")]
        assert all("another process is making" in line for line in failed), text
        assert f", {len(failed)} failed" in text
    assert "0 separated, 12 there already" in separate(*given).out
    assert stems_below(tmp_path / "out") == sorted(f"{i}/vocals.wav" for i in range(12))


def test_a_shortage_of_memory_is_met_with_less(separate, tmp_path, monkeypatch):
    """Memory that is not there, as an allocator says it; then it suffices."""
    from auralflow_pl.separator.separator import Separator

    estimate, sizes = Separator.estimate_windows, []

    def short(self, windows):
        sizes.append(windows.shape[-1])
        if windows.numel() > 2 * 44100 * 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return estimate(self, windows)

    monkeypatch.setattr(Separator, "estimate_windows", short)
    for name in ("a", "b"):
        write(tmp_path / f"{name}.wav", seconds=6, rate=44100)
    given = (f"input={tmp_path}/?.wav", "separation.batch_size=2")
    separate(*given)
    assert sizes[0] > 2 * 44100 > sizes[-1]
    assert sizes[len(sizes) // 2] == sizes[0]  # the next file begins with what was asked for
    for name in ("a", "b"):
        assert soundfile.info(tmp_path / "out" / name / "vocals.wav").frames == 6 * 44100
    monkeypatch.undo()
    assert "0 separated, 2 there already" in separate(*given).out


def test_max_ram_shortens_windows_the_more_the_more_files_at_a_time(separate, tmp_path):
    """The limit is what the program takes and 200 MB: enough for a long window, not for many."""
    source = write(tmp_path / "a.wav", seconds=1)

    def seconds(name, more, *arguments):
        limit = memory_in_use(torch.device("cpu")) / 1e6 + more
        separate(
            f"input={source}", f"output={tmp_path / name}", f"max_ram={limit:.0f}MB", *arguments
        )
        report = json.loads((tmp_path / name / "a" / "report.json").read_text())
        return report["models"][0]["window_seconds"]

    one = seconds("one", 200)
    assert one > seconds("files", 200, "jobs=32")
    assert one > seconds("devices", 200, "jobs=16", "device=[cpu,cpu]")
    done = separate(f"input={source}", "max_ram=1MB", "jobs=3", code=1)
    assert "3 at a time" in done.error
    assert "or fewer jobs" in done.error


MATRIX_RATES = [8000, 22050, 44100, 48000, 96000]


@pytest.mark.parametrize(
    "suffix, given, form, made, step",
    [
        ("wav", "PCM_16", "wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", "wav", "PCM_24", 2**-23),
        ("wav", "FLOAT", "wav", "FLOAT", 2**-22),
        ("flac", "PCM_16", "flac", "PCM_16", 2**-15),
        ("flac", "PCM_24", "flac", "PCM_24", 2**-23),
        ("wav", "FLOAT", "flac", "PCM_24", 2**-23),  # FLAC holds no floats
    ],
)
def test_lossless_matrix(separate, tmp_path, suffix, given, form, made, step):
    """Rates and channels of every input come back, and stems null within a step."""
    sources = [
        write(tmp_path / "in" / f"{rate}-{channels}.{suffix}", 0.3, channels, rate, 0.3, given)
        for rate in MATRIX_RATES
        for channels in (1, 2, 6)
    ]
    separate(f"input={tmp_path / 'in'}", "residual=true", f"format={form}")
    for source in sources:
        mixture = read_audio(source)
        stems = [
            read_audio(tmp_path / "out" / source.stem / f"{name}.{form}")
            for name in ("vocals", "residual")
        ]
        for stem in stems:
            assert stem.subtype == made
            assert stem.sample_rate == mixture.sample_rate
            assert stem.samples.shape == mixture.samples.shape
        assert (sum(s.samples.double() for s in stems) - mixture.samples).abs().max() <= step
        if mixture.sample_rate == 96000:
            assert energy_above_16k(stems[1]) > 0.5 * energy_above_16k(mixture)


def energy_above_16k(audio):
    spectrum = torch.fft.rfft(audio.samples.double()).abs().square().sum(0)
    return float(spectrum[int(16000 / audio.sample_rate * audio.samples.shape[-1]) :].sum())


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_matrix(separate, tmp_path, suffix):
    """As inputs they null as what they decode to; as outputs they keep their shape."""
    rates = [8000, 22050, 44100, 48000] + ([96000] if suffix == "ogg" else [])
    sources = [
        write(tmp_path / "in" / f"{rate}-{channels}.{suffix}", 0.5, channels, rate)
        for rate in rates
        for channels in ((1, 2, 6) if suffix == "ogg" else (1, 2))
    ]
    separate(f"input={tmp_path / 'in'}", "residual=true")
    separate(f"input={tmp_path / 'in'}", f"format={suffix}", f"output={tmp_path / 'lossy'}")
    for source in sources:
        mixture = read_audio(source)
        stems = [
            read_audio(tmp_path / "out" / source.stem / f"{name}.wav")
            for name in ("vocals", "residual")
        ]
        lossy = read_audio(tmp_path / "lossy" / source.stem / f"vocals.{suffix}")
        for stem in (*stems, lossy):
            assert stem.sample_rate == mixture.sample_rate
            assert stem.samples.shape == mixture.samples.shape
        assert (sum(s.samples for s in stems) - mixture.samples).abs().max() <= 2**-15


def test_aac_matrix(separate, excerpt, tmp_path):
    """M4A of all rates and channels, and a stem file, of which the mixture is taken."""
    folder = tmp_path / "in"
    folder.mkdir()
    draw = np.random.default_rng(0)
    sources = [
        encode_aac(folder / f"{rate}-{n}.m4a", draw.uniform(-0.3, 0.3, (rate // 2, n)), rate)
        for rate in MATRIX_RATES
        for n in (1, 2, 6)
    ]
    (folder / "song.stem.mp4").write_bytes(excerpt.read_bytes())
    separate(f"input={folder}", "residual=true")
    for source in (*sources, folder / "song.stem.mp4"):
        mixture = read_audio(source)
        stems = [
            read_audio(tmp_path / "out" / source.name.partition(".")[0] / f"{name}.wav")
            for name in ("vocals", "residual")
        ]
        for stem in stems:
            assert stem.sample_rate == mixture.sample_rate
            assert stem.samples.shape == mixture.samples.shape
        assert (sum(s.samples for s in stems) - mixture.samples).abs().max() <= 2**-15


def test_a_shard_that_is_killed_is_run_again(ckpt, tmp_path):
    """Two processes share a catalogue; what the killed one has not done, the next run does."""
    for i in range(6):
        write(tmp_path / "in" / f"{i}.wav", seconds=20, rate=22050)
    out = tmp_path / "out"
    base = [f"ckpt={ckpt}", f"input={tmp_path / 'in'}", f"output={out}", "separation.shifts=2"]
    one, two = (start([*base, f"shard={number}/2"]) for number in (1, 2))
    wait_for(out, "1/*.wav", 1)
    os.kill(two[0], signal.SIGKILL)
    assert ended(*two)[0] == -9
    code, text = ended(*one)
    assert (code, text.splitlines()[-1]) == (0, "3 separated, 0 there already, 0 failed")
    done = len(list(out.glob("[135]/report.json")))
    assert 1 <= done < 3
    code, text = ended(*start([*base, "shard=2/2"]))
    last = f"{3 - done} separated, {done} there already, 0 failed"
    assert (code, text.splitlines()[-1]) == (0, last)
    assert stems_below(out) == [f"{i}/vocals.wav" for i in range(6)]
    assert not list(out.glob(".partial-*"))


def test_an_input_is_never_replaced_by_a_stem(separate, tmp_path):
    song, other = write(tmp_path / "vocals.wav"), write(tmp_path / "vocals_vocals.wav")
    before = [song.read_bytes(), other.read_bytes()]
    for source, output in ((song, "{target}.{ext}"), (f"[{song},{other}]", "{track}_{target}.wav")):
        given = [f"input={source}", f"output={tmp_path / output}", "overwrite=true"]
        assert "is an input; pass another" in separate(*given, code=1).error
    assert [song.read_bytes(), other.read_bytes()] == before


def test_overwriting_leaves_nothing_of_the_former_stems(separate, tmp_path):
    source = write(tmp_path / "a.wav")
    separate(f"input={source}", "residual=true", "plot=true")
    (tmp_path / "out" / "a" / "notes.txt").write_text("mine")
    separate(f"input={source}", "overwrite=true")
    names = {path.name for path in (tmp_path / "out" / "a").iterdir()}
    assert names == {"vocals.wav", "report.json", "notes.txt"}


def test_a_stem_that_became_an_input_stays(separate, tmp_path):
    output = f"output={tmp_path}/st/{{target}}/{{track}}.{{ext}}"
    separate(f"input={write(tmp_path / 'song.wav')}", output, "residual=true")
    song = tmp_path / "st" / "residual" / "song.wav"
    before = song.read_bytes()
    done = separate(f"input={song}", output, "overwrite=true")
    assert song.read_bytes() == before
    assert "residual/song.wav, which is an input; it stays" in done.err


@pytest.mark.parametrize(
    "name, file",
    [
        ("vocals", "../../mine.wav"),
        ("vocals", "{absolute}"),
        ("../../mine", "../../mine.wav"),
        ("other", "../b/other.wav"),
        ("spectrograms", "../../mine.wav"),
    ],
)
def test_files_that_only_a_report_claims_stay(separate, tmp_path, name, file):
    source, mine = write(tmp_path / "a.wav"), write(tmp_path / "mine.wav")
    write(tmp_path / "out" / "b" / "other.wav")
    separate(f"input={source}")
    path = tmp_path / "out" / "a" / "report.json"
    report = json.loads(path.read_text())
    file = file.format(absolute=mine)
    size = (path.parent / file).stat().st_size
    entry = {"file": file, "bytes": size}
    report["stems"], report["picture"] = {name: entry}, entry
    path.write_text(json.dumps(report))
    before = {p: p.read_bytes() for p in (mine, tmp_path / "out" / "b" / "other.wav")}
    done = separate(f"input={source}", "overwrite=true")
    assert "does not bear the name of a stem of this track; it stays" in done.err
    assert {p: p.read_bytes() for p in before} == before


def test_a_former_stem_that_was_edited_stays(separate, tmp_path):
    source = write(tmp_path / "a.wav")
    separate(f"input={source}", "residual=true")
    edited = tmp_path / "out" / "a" / "residual.wav"
    content = bytearray(edited.read_bytes())
    content[-1] ^= 1  # of the same length
    edited.write_bytes(content)
    done = separate(f"input={source}", "overwrite=true")
    assert "residual.wav, which was changed; it stays" in done.err
    assert edited.read_bytes() == content


def test_a_link_in_place_of_a_former_stem_leads_to_no_loss(separate, tmp_path):
    source = write(tmp_path / "a.wav")
    separate(f"input={source}", "residual=true")
    stem, kept = tmp_path / "out" / "a" / "residual.wav", tmp_path / "kept.wav"
    stem.replace(kept)
    stem.symlink_to(kept)
    separate(f"input={source}", "overwrite=true")
    assert kept.is_file()
    assert stem.is_symlink()


def test_a_strangers_json_hides_no_song(separate, tmp_path):
    folder = tmp_path / "out"  # also the output folder, where all reports are read
    write(folder / "m.wav")
    stems = {"vocals": {"file": "m.wav", "bytes": (folder / "m.wav").stat().st_size}}
    for name in ("project.json", "report.json"):
        (folder / name).write_text(json.dumps({"stems": stems, "format": 1}))
    separate(f"input={folder}", f"output={folder}")
    assert (folder / "m" / "vocals.wav").is_file()
    separate(f"input={folder}", f"output={folder}")  # our own stems are still left out
    assert stems_below(folder) == ["m.wav", "m/vocals.wav"]


def test_excerpts_hold_the_middle_or_the_end():
    sound = torch.arange(100.0)[None]
    for expected, length, start in ((100, 20, 40), (1000, 20, 90), (None, 20, 0), (10, 20, 0)):
        excerpt = MiddleExcerpt(expected, length)
        for block in sound.split(10, -1):
            excerpt.push(block)
        stop = start + (10 if expected == 1000 else length)
        assert (excerpt.start, excerpt.sound[0].tolist()) == (start, sound[0, start:stop].tolist())


def test_another_limit_of_memory_makes_other_stems(separate, tmp_path):
    source = write(tmp_path / "a.wav")
    separate(f"input={source}")
    assert "is there already, made" in separate(f"input={source}", "max_ram=50GB", code=1).error


def test_a_silent_pipe_does_not_keep_the_program(ckpt, tmp_path):
    read, write = os.pipe()

    def pipe():
        sys.stdin = os.fdopen(read)

    options = ["input=-", "raw.sample_rate=16000", f"output={tmp_path / 'out'}"]
    child, printed = start([f"ckpt={ckpt}", *options], pipe)
    wait_for(tmp_path / "out", ".partial-*/lock", 0)
    began = time.monotonic()
    os.kill(child, signal.SIGTERM)
    code, text = ended(child, printed)
    assert time.monotonic() - began < 10
    assert code == 143, text
    assert "Fatal" not in text
    os.close(write)
    os.close(read)


def test_a_failed_overwrite_keeps_the_former_stems(separate, tmp_path, monkeypatch):
    """Also where the output is a relative path, unlike the names that a report leads to."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.wav")
    separate("input=a.wav", "output=out", "plot=true")
    before = {path: path.read_bytes() for path in (tmp_path / "out" / "a").iterdir()}
    (tmp_path / "out" / "a" / "residual.wav").mkdir()
    done = separate("input=a.wav", "output=out", "overwrite=true", "residual=true", code=1)
    assert "residual.wav: a folder has this name" in done.error
    assert {path: path.read_bytes() for path in before} == before
