"""Sweeps of a formula, in which trials raise, fail or kill their process if asked to."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.config.locations import config_dir
from support import ended, forked


def formula(config: DictConfig) -> float:
    """The best is x=1 and kind=a; what ran is written into `ran.txt`."""
    hydra_config = HydraConfig.get()
    keys = OmegaConf.to_container(config, resolve=True)
    ran = {"trial": hydra_config.sweeper.trial, "folder": hydra_config.runtime.output_dir}
    with (Path(config.paths.run_dir) / "ran.txt").open("a") as file:
        print(json.dumps(ran | {"process": os.getpid()} | keys), file=file)
    if hydra_config.sweeper.trial == config.killed_at:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(config.pause)
    if config.kind == config.raises:
        raise ArithmeticError("no such kind")
    return float("nan") if config.kind == config.fails else -((config.x - 1) ** 2)


def begin_sweep(folder: Path, *arguments: str) -> tuple[int, int]:
    """Begin a sweep in a copy of this process; what `support.ended` takes."""

    def work() -> None:
        os.environ |= {"CONFIGS": str(config_dir()), "HYDRA_FULL_ERROR": "1"}
        sys.argv = ["tiny", "-m", *arguments, f"paths.run_dir={folder}"]
        hydra.main(str(Path(__file__).parent), "config", version_base="1.3")(formula)()

    return forked(work)


def tiny_sweep(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a sweep in a copy of this process; its exit code and what it printed."""
    return ended(*begin_sweep(folder, *arguments))


def what_ran(folder: Path) -> list[dict]:
    """The trials that were run in the folder of a sweep, with their keys."""
    return [json.loads(line) for line in (folder / "ran.txt").read_text().splitlines()]
