"""Scripts: each is imported, refuses unknown keys, and runs with tiny settings."""

import importlib
import json
import logging
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.data.shards.reading import Shards
from auralflow_pl.data.sources.synthetic import SyntheticSongs
from auralflow_pl.errors import InputError
from auralflow_pl.system.extras import is_installed
from support import REPOSITORY, TINY, untrained

NAMES = sorted(path.stem for path in (REPOSITORY / "scripts").glob("*.py"))
NO_KEYS = ("bench_startup", "bench_synthetic")
OTHER_PACKAGES = ("tinysoundfont", "pyworld")  # which only the makers of the packaged songs need


@pytest.mark.parametrize("name", NAMES)
def test_a_script_refuses_unknown_keys(name, monkeypatch):
    try:
        script = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in OTHER_PACKAGES:
            raise
        pytest.skip(f"no {error.name} here")
    if name in NO_KEYS or not hasattr(script, "main"):
        return
    monkeypatch.setattr(sys, "argv", [name, "nonsense=1"])
    with pytest.raises((SystemExit, OmegaConfBaseException)) as error:
        script.main()
    assert str(error.value) != "0"


def test_the_speed_of_synthesis_is_printed(monkeypatch, capsys):
    script = importlib.import_module("bench_synthetic")
    monkeypatch.setattr(script, "SECONDS", 1.0)
    monkeypatch.setattr(script, "SONGS", 1)
    script.main()
    assert "times real time" in capsys.readouterr().out


@pytest.fixture
def settings():
    """Settings of the process that scripts change."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    logging.disable(logging.NOTSET)


def test_the_cost_of_metrics_is_measured(monkeypatch, capsys, settings):
    script = importlib.import_module("bench_metrics")
    for name, value in {"STEMS": 1, "CHANNELS": 1, "CHUNKS": 2, "ROUNDS": 1}.items():
        monkeypatch.setattr(script, name, value)
    script.bench_si_sdr()
    assert "SI-SDR of 2 chunks: ours / torchmetrics" in capsys.readouterr().out
    script.bench_spectral(1)
    assert "MultiResolutionSTFT" in capsys.readouterr().out
    ours, theirs = (script.measured(program, 2) for program in ("ours", "museval"))
    assert ours.seconds > 0
    assert abs(ours.scores - theirs.scores)[0].max() < 1e-6


@pytest.fixture
def script(monkeypatch, capsys, settings):
    """Run the main function of a script with keys, and return what it prints."""

    def run(name, *keys, **constants):
        module = importlib.import_module(name)
        for constant, value in constants.items():
            monkeypatch.setattr(module, constant, value)
        monkeypatch.setattr(sys, "argv", [name, *keys])
        module.main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def one_process(monkeypatch):
    """Threads for the processes of scripts, which take seconds to start."""
    for name in ("bench_engines", "bench_models", "bench_quality"):
        module = importlib.import_module(name)
        monkeypatch.setattr(module, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))


def keys_of(*overrides):
    return f"overrides=[{','.join(overrides)}]"


SMALL = ("model.width=2", "model.levels=3")


def test_the_cost_of_training_is_printed(script, songs):
    keys = keys_of(*TINY, f"data.root={songs}")
    printed = script("bench_training", "steps=1", "rounds=1", keys)
    assert "1 steps under Lightning / bare loop" in printed


def test_the_time_of_a_start_is_printed(script):
    module = importlib.import_module("bench_startup")
    cases = {name: module.CASES[name] for name in ("import torch", "auralflow --help")}
    printed = script("bench_startup", ROUNDS=1, CASES=cases)
    assert re.search(r"auralflow --help +\d+\.\d\d s +\d\.\d\d\n", printed)


def test_the_rates_of_the_data_are_printed(script):
    printed = script("bench_data", "chunks=2", "minutes=0.4", "batches=4", "repeats=1", ROUNDS=1)
    assert re.search(r"pool / soundfile seek-reads: \d", printed)
    assert "augment=heavy / augment=light, 1 worker" in printed
    differ = float(re.search(r"stempeg: .* differ by at most (\S+)", printed).group(1))
    assert differ < 1e-4 or shutil.which("ffmpeg") is None


def test_the_times_of_the_engines_are_printed(script, one_process):
    keys = ("networks=[simple]", "seconds=0.5", "rounds=1", "threads=1", keys_of(*SMALL))
    printed = script("bench_engines", *keys)
    difference = float(re.search(r"simple +.* (\d\.\de-\d+) ", printed).group(1))
    assert difference < 1e-4
    assert "Wiener filter: " in printed


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_memory_of_graphs_is_printed(script, one_process):
    printed = script("bench_graphs", "networks=[simple]", keys_of("model.levels=3"))
    made, read, export = map(
        float, re.search(r"simple +(\S+) +(\S+) +(\S+)$", printed, re.M).groups()
    )
    assert min(made, read, export) > 0


def test_the_speed_in_real_time_is_printed(script):
    keys = ("cases=[512/128/128]", "seconds=0.5", "rounds=1", keys_of("model.width=2"))
    printed = script("bench_live", *keys)
    latency, difference = re.search(r"128 +128 +(\d+) .* (\S+)$", printed.strip()).groups()
    assert int(latency) == 512
    assert float(difference) < 1e-5


@pytest.mark.filterwarnings("ignore:.*(val_dataloader|LeafSpec)")  # of Lightning
def test_the_times_of_the_networks_are_printed(script, one_process):
    keys = ("networks=[simple]", "steps=1", "rounds=1", "threads=1", keys_of(*SMALL))
    printed = script("bench_models", *keys, BATCH=1, SECONDS=1)
    assert re.search(r"simple +\d+\.\d\d M +\d+\.\d\d +\d+\.\d G", printed)
    assert "a step that keeps freed memory / one that returns it" in printed


def test_the_overhead_of_separation_is_printed(script):
    keys = ("part=overhead,seams", "networks=simple", "engines=torch", "seconds=2", "rounds=1")
    printed = script("bench_separation", *keys, f"overrides={','.join(SMALL)}")
    for form in ("wav", "mp3"):
        for clock in ("clock", "own_thread", "all_threads"):
            assert f"model=simple, torch, {form}: whole path / network alone, {clock} " in printed
    levels = re.findall(r"against one pass: (\d+)", printed)
    assert len(levels) == 2
    assert all(int(level) > 60 for level in levels)


def test_the_memory_of_separation_is_measured(tmp_path):
    module = importlib.import_module("bench_separation")
    ckpt = module.save(*module.make(*module.TINY), tmp_path / "model.ckpt")
    source = module.write_noise(tmp_path / "noise.wav", 0.02)
    peak, seconds = module.run_command(
        f"ckpt={ckpt}", f"input={source}", f"output={tmp_path / 'out'}"
    )
    assert peak > 100  # MiB
    assert seconds > 0
    assert (tmp_path / "out" / "noise" / "vocals.wav").is_file()


def test_the_load_of_a_server_is_measured(script, tmp_path):
    if not is_installed("serve"):
        pytest.skip("no FastAPI here; pip install -e '.[serve]'")
    ckpt = untrained(tmp_path / "vocals.ckpt")
    keys = ("clients=3", "seconds=0.3", "uploads=6", "queue_size=1", f"ckpt={ckpt}")
    printed = script("bench_serve", *keys, KILLED_SECONDS=20)
    assert printed.count("3 clients at once: 0 lost {'right stems': 3}") == 2
    assert re.search(r"6 hostile uploads: .*, 0 tracebacks, 0 files left", printed)
    assert "after the next start: 0 files left, 0 old jobs served" in printed
    assert "WITHOUT" not in printed
    assert "ended: 0 folders left, 0 tracebacks" in printed


@pytest.mark.parametrize("implementation", ["openunmix", "torch"])
def test_published_networks_are_measured(implementation, capsys, settings, tmp_path):
    module = importlib.import_module("bench_published")
    module.open_unmix_weights(tmp_path)
    module.measure("open_unmix", implementation, tmp_path, 0.5, 1)
    assert json.loads(capsys.readouterr().out)["seconds"] > 0


@pytest.mark.filterwarnings("ignore:.*(val_dataloader|LeafSpec)")  # of Lightning
def test_quality_is_measured(script, one_process, tmp_path):
    songs = SyntheticSongs(tmp_path / "made", 8, 1, 1, seconds=6, workers=1)
    songs.prepare()
    keys = [
        f"songs={songs.root / 'train'}",
        "synthetic=false",
        "networks={simple:[],small:[model.width=1]}",
        "reference_steps=3",
        "seeds=2",
        "rounds=1",
        f"out={tmp_path / 'out'}",
        keys_of(*SMALL, "chunk_seconds=0.5", "data.batch_size=2"),
    ]
    printed = script("bench_quality", *keys)
    assert re.search(r"cost of a step simple 1\.00 small \d+\.\d\d\n", printed)
    assert re.search(r"simple +0\.\d\d M +3 ", printed)
    assert re.search(r"small +0\.\d\d M +\d+ .*%.*[+-]\d+\.\d\d \[", printed)
    assert re.search(r"mixture -?\d.*, 2 songs", printed)


@pytest.mark.filterwarnings("ignore:.*(val_dataloader|LeafSpec)")  # of Lightning
def test_the_cost_of_wrong_labels_is_measured(songs, tmp_path, settings, capsys):
    script = importlib.import_module("bench_dirty_labels")
    wrong = script.exchange(songs, tmp_path / "wrong", 0.34, 0)
    links = [link for link in wrong.rglob("*.wav") if link.name != link.readlink().name]
    assert {link.parent.parent.name for link in links} == {"train"}
    assert len(links) == 2
    tiny = [*SMALL, "data.chunks_per_epoch=2", "data.batch_size=2", "chunk_seconds=0.5"]
    options = script.Options(out=str(tmp_path), overrides=tiny)
    value = script.score(options, tmp_path / "run", wrong, 0, "loss_truncation=0.5")
    assert f"seed 0, run: {value:.2f} dB" in capsys.readouterr().out
    script.find(str(tmp_path / "run"), wrong, tmp_path / "spans.csv")
    assert (tmp_path / "spans.csv").read_text().startswith("split,track,stem,start,end,weight")
    scores = {"right labels": [3.0, 2.0], "wrong labels": [1.0, 0.0], "spans": [2.5, 1.5]}
    assert re.search(r"spans +2.00 +0.50 +0.50 to 0.50 +25%$", script.table(scores))


def test_shards_are_written_and_read(script, songs, tmp_path):
    keys = (f"url={tmp_path / 'shards'}", f"data=[data=stem_folder,data.root={songs}]")
    printed = script("make_shards", *keys, "shard_gb=0.001")
    assert f"6 tracks, 0.0 hours in 6 shards at {tmp_path / 'shards'}" in printed
    source = Shards(str(tmp_path / "shards"), ("vocals", "rest"))
    assert [len(source.tracks(split)) for split in ("train", "valid", "test")] == [3, 1, 2]
    with pytest.raises(InputError, match=r"has a index.jsonl; choose another place"):
        script("make_shards", *keys)
    with pytest.raises(InputError, match="missing required key: url"):
        script("make_shards", keys[1])


def test_a_large_collection_is_measured(script):
    printed = script("bench_shards", "tracks=200", "minutes=1", "draws=20")
    assert "200 tracks, 3 hours in " in printed
    assert re.search(r"opening the table: \d+\.\d s, -?\d+ MB more memory\n", printed)
    assert re.search(r"positions of chunks: \d+ per second\n", printed)


def test_a_report_of_the_benchmarks_is_written(monkeypatch, tmp_path, capsys):
    module = importlib.import_module("bench_report")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    (tmp_path / "bench_one.py").write_text("import sys; print('ratio 0.5', *sys.argv[1:])")
    (tmp_path / "bench_two.py").write_text("raise SystemExit('no songs here')")
    keys = ["scripts=[bench_one,bench_two]", "keys={bench_one:[steps=1]}"]
    monkeypatch.setattr(sys, "argv", ["bench_report", f"out={tmp_path}/new/report.md", *keys])
    with pytest.raises(SystemExit, match="failed: bench_two; see"):
        module.main()
    text = (tmp_path / "new" / "report.md").read_text()
    assert "`python scripts/bench_one.py steps=1`" in text
    assert "\nratio 0.5 steps=1\n" in text
    assert "no songs here" in text
    assert re.search(r"\| begun \| 20\d\d-\d\d-\d\d .*\n\| processor \| \d+ x \S", text)
    assert f"torch {torch.__version__.partition('+')[0]}" in text
    assert capsys.readouterr().out.startswith("bench_one: done\nbench_two: failed\n")


def test_the_report_has_all_that_make_bench_runs():
    target = (REPOSITORY / "Makefile").read_text().partition("\nbench:")[2].partition("\n\n")[0]
    names = importlib.import_module("bench_report").NAMES
    assert re.findall(r"scripts/(\w+)\.py$", target, re.M) == list(names)


@pytest.mark.parametrize("name", ["test_slurm", "train_bundled", "train_free"])
def test_a_shell_script_is_valid(name):
    assert subprocess.run(["bash", "-n", REPOSITORY / "scripts" / f"{name}.sh"]).returncode == 0
