"""Groups of processes for distributed training, and pools of worker processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from auralflow_pl.errors import InputError

# Environment variables of each process that torchrun, SLURM or Lightning set.
SIZE_VARIABLES = ("WORLD_SIZE", "SLURM_NTASKS")

RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")

LOCAL_RANK_VARIABLES = ("LOCAL_RANK", "SLURM_LOCALID")

TIME_REFERENCE = "${now"  # in a run folder that has the time in its name


def world_size(environment: Mapping[str, str] = os.environ) -> int:
    """Number of processes that torchrun or SLURM started for this training; else 1."""
    return max((int(environment.get(name) or 1) for name in SIZE_VARIABLES), default=1)


def rank(environment: Mapping[str, str] = os.environ) -> int:
    """Number of this process in the training; process 0 writes the run folder."""
    numbers = [int(environment[name]) for name in RANK_VARIABLES if environment.get(name)]
    if "RANK" not in environment and environment.get("NODE_RANK", "0") != "0":
        return max([1, *numbers])
    return numbers[0] if numbers else 0


def local_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Number of this process among those on the same node, which gives its device."""
    numbers = [environment[name] for name in LOCAL_RANK_VARIABLES if environment.get(name)]
    return int(numbers[0]) if numbers else 0


def check_run_dir(written: str) -> None:
    """Raise InputError if processes started by torchrun or SLURM would use different run folders.

    Args:
        written: `paths.run_dir` before its references are resolved.
    """
    if world_size() > 1 and TIME_REFERENCE in written:
        raise InputError(
            f"paths.run_dir: contains the time, so {world_size()} processes would use different "
            "folders; pass paths.run_dir=<folder>"
        )


@contextlib.contextmanager
def process_group(devices: int, nodes: int, command: Sequence[str]) -> Iterator[None]:
    """Start `devices` processes on this node for distributed training; this process is the first.

    The others run `command`, with environment variables that Lightning reads. They end if this
    process fails; if one of them fails, this process ends with exit code 1. With several nodes the
    command must be run on each node, with MASTER_ADDR, MASTER_PORT and NODE_RANK in the
    environment. No process is started if there is only one, or if SLURM or torchrun started
    several. A job of SLURM or torchrun with a single process does start the others.

    Args:
        devices: number of processes on this node.
        nodes: number of nodes.
        command: command of the other processes.

    Raises:
        InputError: several nodes without these environment variables.
    """
    if world_size() > 1 or devices * nodes == 1:
        yield
        return
    if nodes > 1 and not {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} <= os.environ.keys():
        raise InputError(
            f"trainer.num_nodes={nodes}: set MASTER_ADDR, MASTER_PORT and NODE_RANK in the "
            "environment of each node, or start with torchrun or srun"
        )
    before = dict(os.environ)
    node = before.get("NODE_RANK", "0")
    for name in {
        *SIZE_VARIABLES,
        *RANK_VARIABLES,
        *LOCAL_RANK_VARIABLES,
    }:  # variables of a job with a single process
        os.environ.pop(name, None)
    os.environ |= {
        "MASTER_ADDR": before.get("MASTER_ADDR", "127.0.0.1"),
        "MASTER_PORT": before.get("MASTER_PORT", str(free_port())),
        "NODE_RANK": node,
        "WORLD_SIZE": str(devices * nodes),
    }
    places = [
        {"RANK": str(int(node) * devices + number), "LOCAL_RANK": str(number)}
        for number in range(devices)
    ]
    os.environ |= places[0]
    others = [
        subprocess.Popen(command, env=child_environment() | place)  # noqa: S603
        for place in places[1:]
    ]
    finished = threading.Event()
    threading.Thread(target=watch_processes, args=(others, finished), daemon=True).start()
    try:
        yield
        finished.set()
        for other in others:
            other.wait()
    finally:
        finished.set()
        end_processes(others)
        os.environ.clear()
        os.environ.update(before)


def watch_processes(others: Sequence[subprocess.Popen[bytes]], finished: threading.Event) -> None:
    """End all processes if one of the others fails, since the rest would wait for it forever."""
    while not finished.is_set():
        failed = [other.returncode for other in others if other.poll()]
        if failed and not finished.wait(5):  # time for the message of the failed process
            print(f"error: another process ended with code {failed[0]}", file=sys.stderr)
            end_processes(others)
            os._exit(1)
        time.sleep(0.2)


def end_processes(others: Sequence[subprocess.Popen[bytes]]) -> None:
    """Kill the processes that still run; SIGTERM does not end a collective operation."""
    for other in others:
        if other.poll() is None:
            other.kill()
            other.wait()


@contextlib.contextmanager
def worker_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes that end at once if the block raises or this process dies."""
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=end_with_parent) as pool:
        try:
            yield pool
        except BaseException:
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise


def end_with_parent() -> None:
    """End this process when its parent process ends, even if the parent is killed."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def child_environment() -> dict[str, str]:
    """Environment of this process with its import path in PYTHONPATH, for child processes."""
    folders = (str(Path(entry).absolute()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(folders))}


def free_port() -> int:
    """A free TCP port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
