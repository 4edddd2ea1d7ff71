"""The command `evaluate`: scores of a checkpoint, or of stems, on every track of a split."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from auralflow_pl.audio.staging import check_writable, staged
from auralflow_pl.config import EvaluateKeys, plain, validated
from auralflow_pl.device import device_count, device_of_process
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.evaluation import Evaluation, excerpts_of
from auralflow_pl.pretrained import located
from auralflow_pl.processes import local_rank, process_group, rank, workers, world_size
from auralflow_pl.report.excerpts import Moment
from auralflow_pl.report.page import evaluation_page
from auralflow_pl.report.tables import (
    Aggregate,
    aggregates,
    evaluation,
    is_museval,
    museval_layout,
    summary,
    write_csv,
    write_json,
)
from auralflow_pl.scoring import TrackScores

MOMENTS = 6  # worst and best ones in the report
MUCH_SECONDS = 600.0  # of music, from which on several processes pay
TRAINER_KEYS = ("accelerator", "devices", "num_nodes")  # all that an evaluation reads of them


def evaluate(config: DictConfig) -> list[TrackScores]:
    """Evaluate, write tables, and print a summary.

    Returns:
        The results of all tracks; none in the further processes of `trainer=ddp`.

    Raises:
        InputError: a mistake in the configuration, or a track that cannot be read.
    """
    config = validated(config, EvaluateKeys)
    if config.trainer is not None:
        check_spread(config)
        config.device = device_of_process(config.device, config.trainer, local_rank())
    if config.ckpt is not None:
        config.ckpt = str(located(config.ckpt, plain(config)["registries"]))
    work = Evaluation(config)
    check_writable(work.output)
    paths = {track.name: work.cached(track) for track in work.tracks}
    if len(paths) < len(work.tracks):
        raise InputError(f"split={config.split}: two tracks have the same name; rename one")
    missing = [n for n, track in enumerate(work.tracks) if not paths[track.name].is_file()]
    with all_processes(config):
        if config.trainer is None:
            compute_all(work, missing)
        else:
            compute_together(work, missing, paths)
            if rank() > 0:
                return []
    results = [TrackScores.from_plain(json.loads(p.read_text())) for p in paths.values()]
    found = write(work, results)
    if config.report:
        write_report(work, results, found, [excerpts_of(path) for path in paths.values()])
    print(summary(found))
    print(f"{work.output / 'eval.csv'}")
    return results


def check_spread(config: DictConfig) -> None:
    """Raise InputError for keys that have no meaning where `trainer=ddp` spreads the tracks."""
    given = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    for key in (argument.lstrip("+~").partition("=")[0] for argument in given):
        group, _, name = key.partition(".")
        if group == "trainer" and name and name not in TRAINER_KEYS:
            raise InputError(f"{key}: has no meaning here, {did_you_mean(name, TRAINER_KEYS)}")
    if config.jobs is not None:
        raise InputError(f"jobs={config.jobs}: trainer starts the processes; pass one of the two")


def all_processes(config: DictConfig) -> AbstractContextManager[None]:
    """Starts the other processes of `trainer=ddp`, with the same keys."""
    if config.trainer is None:
        return nullcontext()
    keys = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    command = [sys.executable, "-m", "auralflow_pl", "evaluate", *keys]
    devices = device_count(config.trainer.get("devices", 1))
    return process_group(devices, config.trainer.get("num_nodes", 1), command)


def compute_together(work: Evaluation, missing: Sequence[int], paths: Mapping[str, Path]) -> None:
    """Compute the tracks with these numbers, together with the other processes of `trainer=ddp`.

    Each one begins with every n-th track and then takes what nobody has begun. A track that is
    being computed is locked; the lock of a process that dies is free. The first process leaves
    when all results are there.
    """
    (work.output / "tracks").mkdir(parents=True, exist_ok=True)
    mine = missing[rank() :: world_size()]
    order = [*mine, *(number for number in missing if number not in mine)]
    first = rank() == 0
    bar = tqdm(total=len(missing), desc="evaluate", unit="track", leave=False, disable=not first)
    with bar, one_thread():
        for timeout in (0, -1) if first else (0,):
            for number in order:
                track = work.tracks[number]
                path = paths[track.name]
                with suppress(Timeout), FileLock(path.with_suffix(".lock"), timeout=timeout):
                    if not path.is_file():
                        work.compute(track)
                bar.update(sum(paths[work.tracks[n].name].is_file() for n in missing) - bar.n)
    if first:
        for path in paths.values():
            path.with_suffix(".lock").unlink(missing_ok=True)


def compute_all(work: Evaluation, missing: Sequence[int]) -> None:
    """Compute the tracks with these numbers, in processes if there is much to do.

    Raises:
        InputError: of the first track that cannot be read; the processes end at once.
    """
    seconds = sum(work.tracks[n].frames / work.tracks[n].sample_rate for n in missing)
    jobs = work.config.jobs
    if jobs is None:
        many = seconds > MUCH_SECONDS and work.estimates.stft.window.device.type == "cpu"
        jobs = (os.cpu_count() or 1) if many else 1
    jobs = min(jobs, len(missing))
    bar = tqdm(total=len(missing), desc="evaluate", unit="track", leave=False)
    with bar, one_thread():
        if jobs <= 1:
            for number in missing:
                work.compute(work.tracks[number])
                bar.update()
            return
        config = json.dumps(plain(work.config))
        with workers(jobs) as pool:
            for job in as_completed([pool.submit(compute_one, config, n) for n in missing]):
                job.result()
                bar.update()


def compute_one(config: str, number: int) -> None:
    """One track, in a process of its own, from a configuration in JSON."""
    work = evaluation_of(config)
    with one_thread():
        work.compute(work.tracks[number])


@functools.cache
def evaluation_of(config: str) -> Evaluation:
    """Made once in a process, for all the tracks that it takes."""
    return Evaluation(validated(OmegaConf.create(json.loads(config)), EvaluateKeys))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread, so that sums are rounded alike in one process and in several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def write(work: Evaluation, results: Sequence[TrackScores]) -> list[Aggregate]:
    """`eval.csv`, `eval.json`, and files for museval's tools."""
    framewise = [n.name for n in work.headings if n.name.startswith("bss_")]
    found = list(aggregates(results, work.headings, framewise))
    with staged(work.output) as folder:
        write_csv(results, folder / "eval.csv")
        write_json(evaluation(results, found, work.headings, work.settings), folder / "eval.json")
    write_museval(work, results)
    if not work.config.report:
        (work.output / "report.html").unlink(missing_ok=True)
    return found


def write_museval(work: Evaluation, results: Sequence[TrackScores]) -> None:
    """Files for museval's tools, in place of those of an earlier evaluation."""
    root, bss_eval = work.output / "museval", work.config.metrics.get("bss_eval")
    for path in root.glob("*/*.json"):
        if is_museval(path):
            path.unlink()
    if bss_eval:
        with staged(root / work.config.split) as folder:
            for result in results:
                layout = museval_layout(result, bss_eval.window_seconds, bss_eval.hop_seconds)
                write_json(layout, folder / f"{result.track}.json", nan=True)
    for folder in (*root.glob("*"), root):
        with suppress(OSError):  # there is none, or it holds something
            folder.rmdir()


def write_report(
    work: Evaluation,
    results: Sequence[TrackScores],
    found: Sequence[Aggregate],
    excerpts: Sequence[Path],
) -> None:
    """`report.html`, with the worst and the best moments of all tracks."""
    sign = 1 if work.headings[0].higher_is_better else -1
    cut = [moment for path in excerpts for moment in json.loads(path.read_text())]
    cut.sort(key=lambda moment: sign * moment["value"])
    worst = [moment for moment in cut if moment["kind"] == "worst"][:MOMENTS]
    best = [moment for moment in reversed(cut) if moment["kind"] == "best"][:MOMENTS]
    seconds = sum(result.seconds for result in results)
    subtitle = (
        f"{work.subject}, on {len(results)} tracks ({seconds / 60:.1f} minutes) of "
        f"{work.data}, split {work.config.split}"
    )
    title = f"Evaluation: {', '.join(work.estimates.sums)}"
    shown = [Moment(**moment).shown() for moment in (*worst, *best)]
    text = evaluation_page(
        title, subtitle, results, found, work.headings, work.hops, shown, work.settings
    )
    with staged(work.output) as folder:
        (folder / "report.html").write_text(text, encoding="utf-8")
