"""A run folder has one training at a time; what was left by a killed one is taken over."""

import json
import os
import signal
import sys
import time

import pytest

from auralflow_pl.training.start import claim
from auralflow_pl.training.start.claim import CLAIM_FILE, FolderTaken, claimed_folder
from support import TINY, forked


@pytest.fixture
def holder():
    """Begins a process that holds a folder until it is killed; returns its number."""
    begun = []

    def begin(folder):
        def work():
            with claimed_folder(folder, numbered=False):
                sys.stdout.write("claimed")
                sys.stdout.flush()
                time.sleep(600)

        child, read = forked(work)
        begun.append((child, read))
        assert os.read(read, 7) == b"claimed"
        return child

    yield begin
    for child, read in begun:
        os.close(read)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def left(folder, age=0, **content):
    """Write the claim of a process on another machine."""
    owner = {"pid": 7, "host": "node7", "since": "2026-01-02 03:04:05", "job": None}
    folder.mkdir(exist_ok=True)
    file = folder / CLAIM_FILE
    file.write_text(json.dumps({**owner, "restarts": "0", "boot": "other", **content}))
    os.utime(file, (time.time() - age,) * 2)


def claims(folder):
    """Whether a folder can be claimed; the claim is then removed."""
    try:
        with claimed_folder(folder, numbered=False):
            assert json.loads((folder / CLAIM_FILE).read_text())["pid"] == os.getpid()
    except FolderTaken:
        return False
    assert not (folder / CLAIM_FILE).exists()
    return True


def test_a_second_training_is_refused_and_writes_nothing(command, holder, songs, tmp_path):
    folder = tmp_path / "run"
    child = holder(folder)
    since = json.loads((folder / CLAIM_FILE).read_text())["since"]
    keys = [*TINY, f"data.root={songs}", "resume=auto"]
    said = f"process {child} on {os.uname().nodename} trains there since {since}"
    done = command("train", *keys, f"paths.run_dir={folder}")
    assert done.error == (
        f"error: paths.run_dir={folder}: {said}; wait for it, or choose another folder"
    )
    holder(tmp_path / "sweep" / "0")
    done = command("train", "-m", *keys, "seed=0,1", f"paths.run_dir={tmp_path / 'sweep'}")
    assert "trains there since" in done.error
    assert (tmp_path / "sweep" / "1" / "result.json").is_file()  # the other job of the sweep
    assert (tmp_path / "sweep" / "summary.png").is_file()
    for there in (folder, tmp_path / "sweep" / "0"):
        assert [path.name for path in there.iterdir()] == [CLAIM_FILE]


def test_the_claim_of_a_killed_process_is_taken_over(holder, tmp_path):
    child = holder(tmp_path)
    assert not claims(tmp_path)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert claims(tmp_path)


def test_a_generated_name_gets_a_number(holder, tmp_path):
    holder(tmp_path / "12-00-00")
    (tmp_path / "12-00-00-2").mkdir()
    (tmp_path / "12-00-00-2" / "config.yaml").touch()
    with claimed_folder(tmp_path / "12-00-00", numbered=True) as folder:
        assert folder == tmp_path / "12-00-00-3"
        with claimed_folder(tmp_path / "12-00-00", numbered=True) as another:
            assert another == tmp_path / "12-00-00-4"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["12-00-00", "12-00-00-2"]


def test_all_keys_follow_the_number_of_a_run_folder(command, songs, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "config.yaml").touch()
    written = f"paths.run_dir={tmp_path}/${{now:x}}"
    assert command("train", *TINY, f"data.root={songs}", written).code == 0
    assert (tmp_path / "x-2" / "checkpoints" / "best.ckpt").is_file()
    assert f"run_dir: {tmp_path}/x-2\n" in (tmp_path / "x-2" / "config.yaml").read_text()
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    "age, content, free",
    [
        (10, {}, False),
        (1000, {}, True),
        (10, {"job": "5", "restarts": "0"}, True),  # requeued on this machine
        (10, {"job": "5", "restarts": "1"}, False),  # another node of this job
        (10, {"job": "6"}, False),
    ],
)
def test_a_claim_of_another_machine_counts_while_there_are_signs_of_life(
    age, content, free, monkeypatch, tmp_path
):
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    left(tmp_path, age, **content)
    assert claims(tmp_path) is free


def test_a_sign_of_life_is_given(monkeypatch, tmp_path):
    monkeypatch.setattr(claim, "BEAT_SECONDS", 0.01)
    with claimed_folder(tmp_path, numbered=False):
        file = tmp_path / CLAIM_FILE
        os.utime(file, (0, 0))
        deadline = time.monotonic() + 60
        while file.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_without_locks_the_process_is_looked_for(holder, monkeypatch, tmp_path):
    monkeypatch.setattr(claim, "fcntl", None)
    holder(tmp_path / "held")
    assert not claims(tmp_path / "held")
    ended = os.fork() or os._exit(0)
    os.waitpid(ended, 0)
    left(tmp_path / "left", **{**claim.identity(), "pid": ended})
    assert claims(tmp_path / "left")


def test_a_training_that_does_not_begin_leaves_no_folder(command, songs, tmp_path):
    folder = tmp_path / "runs" / "mine"
    keys = [*TINY, f"data.root={songs}", f"paths.run_dir={folder}"]
    assert command("train", *keys, "target=none").code == 1
    assert command("train", *keys, f"resume={tmp_path / 'no.ckpt'}").code == 1
    assert list(tmp_path.iterdir()) == []
