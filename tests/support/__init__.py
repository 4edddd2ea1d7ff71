"""Helpers shared by tests of several modules."""

from __future__ import annotations

import copy
import functools
import os
import random
import runpy
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from tqdm import tqdm

from auralflow_pl.checkpoints.trained import CHECKPOINT_FORMAT, CHECKPOINT_KEY, NETWORK_PREFIX
from auralflow_pl.cli import main as cli
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.locations import config_dir
from auralflow_pl.separator.build import new_separator

REPOSITORY = Path(__file__).resolve().parents[2]
TINY_SET = [  # data set of the `songs` fixture
    "data.source.train_tracks=3",
    "data.source.valid_tracks=1",
    "data.source.test_tracks=2",
    "data.source.seconds=6",
]
TINY = [  # a training that takes seconds
    *TINY_SET,
    "model.width=2",
    "model.levels=3",
    "chunk_seconds=0.5",
    "data.chunks_per_epoch=6",
    "data.batch_size=2",
    "data.num_workers=0",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "logger=none",
    "silent=true",
]


def option_names(group: str) -> list[str]:
    """Names of all YAML files of a config group."""
    return sorted(p.stem for p in (config_dir() / group).glob("[!_]*.yaml"))


def composed(command: str = "train", *overrides: str) -> DictConfig:
    """Compose the configuration of a command."""
    return copy.deepcopy(composed_once(command, overrides))


@functools.cache
def composed_once(command: str, overrides: tuple[str, ...]) -> DictConfig:
    """Compose and cache a configuration, as Hydra takes half a second; do not change the result."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose(command, list(overrides))


def fitting(*overrides: str) -> list[str]:
    """The overrides without keys that the chosen network or data set does not have."""
    choices = [key for key in overrides if key.startswith(("model=", "data=", "experiment="))]
    config = composed("train", *choices)
    return [
        override
        for override in overrides
        if not override.startswith(("model.", "data.source."))
        or OmegaConf.select(config, override.partition("=")[0], default=config) is not config
    ]


def untrained(path: Path, *overrides: str) -> Path:
    """Write a checkpoint of a network with random weights, tiny unless the overrides change it."""
    small = "model.hidden_size=8"  # of a network that has neither width nor levels
    config = to_plain(composed("train", *fitting(*TINY, small, *overrides)))
    network = new_separator(config, config["data"]["stems"]).network
    weights = {f"{NETWORK_PREFIX}{name}": value for name, value in network.state_dict().items()}
    torch.save(
        {"state_dict": weights, CHECKPOINT_KEY: {"format": CHECKPOINT_FORMAT, "config": config}},
        path,
    )
    return path


def pieces(audio: Tensor, seed: int = 0) -> Iterator[Tensor]:
    """Yield a signal `(..., time)` in blocks of random lengths, some of them empty."""
    draw, start = random.Random(seed), 0
    while start < audio.shape[-1]:
        stop = start + draw.choice([0, 1, 7, 100, 4096, 30000])
        yield audio[..., start:stop]
        start = stop


def fork() -> int:
    """`os.fork` for a child process that may be killed.

    Processes share the lock of progress bars; a process that is killed with the lock blocks the
    others. The child therefore gets a lock of its own.
    """
    child = os.fork()
    if not child:
        tqdm.set_lock(threading.RLock())
    return child


def forked(work: Callable[[], object]) -> tuple[int, int]:
    """Start a function in a fork of this process, which needs no imports.

    Returns:
        the process number, and a file descriptor of the output of the process.
    """
    read, write = os.pipe()
    child = fork()
    if child:
        os.close(write)
        return child, read
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            os.dup2(write, number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        work()
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def runs(child: int) -> bool:
    """Whether a fork has not ended."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def ended(child: int, read: int, within: float = 600) -> tuple[int, str]:
    """Wait for a fork and for all that share its output.

    Args:
        child, read: as from `forked`.
        within: seconds in which the output is written or closed.

    Returns:
        its exit code (negative: killed), and its output.
    """
    content = b""
    with os.fdopen(read, "rb", buffering=0) as file:
        while True:
            assert select.select([file], [], [], within)[0], "its output is not closed"
            block = file.read(1 << 16)
            if not block:
                break
            content += block
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), content.decode()


def first_line(read: int) -> str:
    """What a process says first; `read` as from `forked`."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(read, 1)):
        line += byte
    return line.decode()


def forked_command(
    name: str, *arguments: str | Path, errors: Path | None = None, **environment: str
) -> tuple[int, int]:
    """Start a command in a fork of this process; standard error goes to a file if one is given.

    Returns:
        as `forked`.
    """

    def work() -> None:
        os.environ.update(environment)
        if errors:
            os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT, 0o600), 2)
        sys.argv = [name, *map(str, arguments)]
        cli.run(name)

    return forked(work)


def script(path: Path, *arguments: str | Path) -> tuple[int, str]:
    """Run a script in a fork of this process, which needs no imports."""

    def work() -> None:
        sys.argv = [str(path), *map(str, arguments)]
        runpy.run_path(str(path), run_name="__main__")

    return ended(*forked(work))


class Result(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error line; fails unless there is exactly one, no traceback, and a bad exit code."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.code != 0, self
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err, self.err
        return lines[0]


def python(*arguments: str | Path, cwd: Path = REPOSITORY, **environment: str) -> Result:
    """Run Python in a new process."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )
    return Result(done.returncode, done.stdout, done.stderr)
