"""The command that compares an interrupted training with one that was not."""

from __future__ import annotations

import shutil

import pytest
import torch

from auralflow_pl.commands.selfcheck import different_entries, train_killed
from auralflow_pl.errors import InputError
from support import TINY


@pytest.fixture
def check(command, songs):
    def call(*arguments):
        return command("selfcheck", *arguments[:1], *TINY, f"data.root={songs}", *arguments[1:])

    return call


def test_a_killed_training_is_the_same(check):
    keys = [
        "model=vae",
        "augment=heavy",
        "callbacks=[default,weight_average]",
    ]  # of docs/training.md
    done = check("resume", "steps=4", "kills=1", "model.bottleneck.hidden_size=2", *keys)
    assert done.code == 0, done.err
    assert "not interrupted: 4 steps" in done.out
    assert "killed: 1, the checkpoint is of step 2" in done.out
    assert "the same, bit for bit" in done.out


def test_mistakes(check):
    assert "check=resumee: expected resume" in check("resumee").error
    assert "steps=1, kills=3: expected steps >= 2" in check("resume", "steps=1").error
    assert "without autosave there is nothing" in check("resume", "callbacks=none").error


def test_a_training_that_says_much_does_not_wait_for_a_reader(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONVERBOSE", "1")  # megabytes of messages
    with pytest.raises(InputError, match="selfcheck: error: nonsense: no such key"):
        train_killed(["nonsense=1"], tmp_path, kill_after=1)


@pytest.fixture
def twin(songs, command, tmp_path):
    """A run, and a copy of it."""
    one = tmp_path / "one"
    done = command(
        "train", *TINY, f"data.root={songs}", f"paths.run_dir={one}", "logger=csv", "seed=5"
    )
    assert done.code == 0, done.err
    return one, shutil.copytree(one, tmp_path / "two")


def test_differences_are_found(twin):
    one, two = twin
    assert different_entries(one, two) == []
    path = two / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    name = "separator.network.decoder.head.bias"
    content["state_dict"][name][0] = torch.nextafter(
        content["state_dict"][name][0], torch.tensor(9.0)
    )
    content["optimizer_states"][0]["param_groups"][0]["lr"] *= 2
    torch.save(content, path)
    table = two / "csv" / "metrics.csv"
    table.write_text(table.read_text().replace(",2\n", ",3\n"))
    assert different_entries(one, two) == [
        f"state_dict.{name}",
        "optimizer_states[0].param_groups[0].lr",
        "the log",
    ]
