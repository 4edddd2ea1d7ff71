"""Two real processes that train one network together."""

from __future__ import annotations

import csv
import os
import signal
import sys
import time

import pytest
import torch

from auralflow_pl.config.saved import save_composed
from auralflow_pl.errors import InputError
from auralflow_pl.system.processes import check_run_dir, free_port, process_group, rank, world_size
from support import TINY, Result, ended, forked_command, python, runs

PLAIN = [
    *(key for key in TINY if not key.startswith("model.")),
    "~model",
    "+model._target_=support.plain_network.Plain",
    "data.chunks_per_epoch=16",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "logger=[csv,tensorboard]",
    "silent=false",
]
TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]


def train(songs, folder, *arguments, **environment):
    return launch(folder, *PLAIN, f"data.root={songs}", *arguments, **environment)


def launch(folder, *arguments, **environment):
    errors = folder.with_suffix(".errors")
    child = begin(folder, *arguments, errors=errors, **environment)
    done = Result(*ended(*child), errors.read_text())
    assert done.code == 0, done.err
    return done


def begin(folder, *arguments, **more):
    return forked_command("train", *arguments, f"paths.run_dir={folder}", **more)


def losses(folder):
    with (folder / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [
        float(row[key])
        for row in rows
        for key in ("train/loss_step", "train/loss_epoch", "val/si_sdr")
        if row[key]
    ]


def state(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def pair(songs, tmp_path_factory):
    """A training on two processes in a job of one process, with what it printed.

    Its configuration is a saved one, which the second process has to read as well.
    """
    folder = tmp_path_factory.mktemp("pair") / "run"
    keys = [*PLAIN, *TWO, f"data.root={songs}", "data.batch_size=2"]
    save_composed("train", keys, folder.parent / "two.yaml")
    saved = ["--config-dir", folder.parent, "--config-name", "two"]
    job = {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "WORLD_SIZE": "1", "RANK": "0"}
    return folder, launch(folder, *saved, **job)


def test_two_processes_equal_one_with_the_doubled_batch(pair, songs, tmp_path, command):
    keys = [*PLAIN, "data.batch_size=4", f"data.root={songs}", f"paths.run_dir={tmp_path / 'one'}"]
    assert command("train", *keys).code == 0
    one, two = losses(tmp_path / "one"), losses(pair[0])
    assert len(one) == 2 * (4 + 1 + 1)
    torch.testing.assert_close(torch.tensor(two), torch.tensor(one), rtol=2e-4, atol=1e-6)
    for name, value in state(tmp_path / "one")["state_dict"].items():
        torch.testing.assert_close(state(pair[0])["state_dict"][name], value, rtol=1e-3, atol=1e-5)


def test_two_processes_leave_one_run(pair):
    folder, done = pair
    assert len(list((folder / "tensorboard").glob("events*"))) == 1
    assert (folder / "train.log").read_text().count("run folder") == 1
    assert done.out.count("run folder") == 1
    assert done.out.count("best validation score") == 1
    assert "pytorch_lightning" not in done.err, done.err  # as warnings begin


def test_two_processes_are_resumed_from_within_an_epoch(pair, songs, tmp_path):
    folder = tmp_path / "run"
    keys = [*TWO, "data.batch_size=2", "callbacks.autosave.minutes=0", "resume=auto"]
    first, printed = begin(folder, *PLAIN, f"data.root={songs}", *keys)
    deadline = time.monotonic() + 400
    while not (folder / "checkpoints" / "last.ckpt").is_file():
        assert runs(first)
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(first, signal.SIGKILL)
    assert ended(first, printed)[0] == -signal.SIGKILL
    assert state(folder)["global_step"] < 8
    train(songs, folder, *keys)
    assert losses(folder) == losses(pair[0])
    for name, value in state(folder)["state_dict"].items():
        assert torch.equal(value, state(pair[0])["state_dict"][name])


def test_a_process_that_fails_ends_the_others(tmp_path):
    program = (
        "import sys, time\n"
        "from auralflow_pl.system.processes import process_group\n"
        "with process_group(2, 1, [sys.executable, '-c', 'raise SystemExit(3)']):\n"
        "    time.sleep(60)\n"
    )
    start = time.monotonic()
    done = python("-c", program)
    assert done.error == "error: another process ended with code 3"
    assert time.monotonic() - start < 50


def test_a_failing_first_process_takes_the_others_along(tmp_path):
    pid = tmp_path / "pid"
    program = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    def fail():
        with process_group(2, 1, [sys.executable, "-c", program]):
            while not (pid.is_file() and pid.read_text()):
                time.sleep(0.02)
            raise InputError("bad")

    with pytest.raises(InputError, match="bad"):
        fail()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert "LOCAL_RANK" not in os.environ


def test_places_of_processes_in_their_environment():
    assert (world_size({}), rank({})) == (1, 0)
    torchrun = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}
    assert (world_size(torchrun), rank(torchrun)) == (4, 3)
    slurm = {"SLURM_NTASKS": "8", "SLURM_PROCID": "5"}
    assert (world_size(slurm), rank(slurm)) == (8, 5)
    assert rank({"WORLD_SIZE": "4", "NODE_RANK": "1", "LOCAL_RANK": "0"}) > 0
    assert rank({"NODE_RANK": "1"}) > 0
    assert rank({"NODE_RANK": "0"}) == 0


def test_mistakes_with_several_processes(monkeypatch):
    with (
        pytest.raises(InputError, match=r"trainer\.num_nodes=2: set MASTER_ADDR"),
        process_group(1, 2, []),
    ):
        pass
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_run_dir("runs/mine")
    with pytest.raises(InputError, match=r"pass paths\.run_dir=<folder>"):
        check_run_dir("${paths.runs_dir}/${now:%Y}")


def test_two_nodes_find_each_other_by_their_environment(pair, songs, tmp_path):
    """As on two machines, each process started by hand."""
    folder, port = tmp_path / "run", str(free_port())
    keys = ["trainer=ddp", "trainer.devices=1", "trainer.num_nodes=2", "trainer.accelerator=cpu"]
    places = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    nodes = [
        begin(
            folder,
            *PLAIN,
            f"data.root={songs}",
            *keys,
            "data.batch_size=2",
            errors=tmp_path / number,
            NODE_RANK=number,
            **places,
        )
        for number in ("0", "1")
    ]
    (code, first), (other, second) = (ended(*node) for node in nodes)
    assert [code, other] == [0, 0], (tmp_path / "0").read_text()
    assert "best validation score" in first
    assert "best validation score" not in second
    assert losses(folder) == losses(pair[0])
