"""One training that everything watches."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from support import TINY, Result, python


class Watched(NamedTuple):
    """A run folder, and what was printed."""

    folder: Path
    done: Result


@pytest.fixture(scope="session")
def watched(songs, tmp_path_factory) -> Watched:
    """Two epochs of three steps, with all callbacks and all loggers."""
    folder = tmp_path_factory.mktemp("watched") / "run"
    done = python(
        "train.py",
        *TINY,
        "callbacks=[default,media,log_weights,weight_average]",
        "callbacks.log_audio.every_n_epochs=2",
        "callbacks.log_spectrogram.every_n_epochs=1",
        "callbacks.log_waveform.every_n_epochs=2",
        "callbacks.log_weights.histogram=true",
        "callbacks.preflight.after_steps=2",
        "logger=[tensorboard,wandb,csv]",
        "logger.wandb.offline=true",
        "trainer.max_epochs=2",
        "trainer.log_every_n_steps=1",
        "optimizer.lr=1e-2",
        "silent=false",
        f"data.root={songs}",
        f"paths.run_dir={folder}",
    )
    assert done.code == 0, done.err
    return Watched(folder, done)
