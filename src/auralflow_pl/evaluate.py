"""The command `evaluate`: scores of a checkpoint, or of stems, on every track of a split."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from auralflow_pl.audio.staging import check_writable, staged
from auralflow_pl.checkpoint import build_source, load_checkpoint, load_separator
from auralflow_pl.config import EvaluateKeys, build, plain, validated
from auralflow_pl.data.tracks import Track, TrackSource, check_members
from auralflow_pl.device import choose_device
from auralflow_pl.engine import choose_engine
from auralflow_pl.errors import InputError
from auralflow_pl.estimates import FolderEstimates, ModelEstimates, digest
from auralflow_pl.metrics.scores import Heading, Score
from auralflow_pl.pretrained import home_of, located
from auralflow_pl.report.excerpts import Moment, moments
from auralflow_pl.report.page import evaluation_page
from auralflow_pl.report.tables import (
    Aggregate,
    aggregates,
    evaluation,
    museval_layout,
    summary,
    write_csv,
    write_json,
)
from auralflow_pl.scoring import TrackScores, check_references, hear, score

FORMAT = 1  # of results in the cache; to be raised when a metric changes
MOMENTS = 6  # worst and best ones in the report
MUCH_SECONDS = 600.0  # of music, from which on several processes pay


class Evaluation:
    """What is evaluated, with which metrics, and where results of single tracks are kept.

    A result is kept in `<output>/tracks` under a digest of everything that it depends on: the
    sound, the checkpoint or the estimates, and the options. So an evaluation that was interrupted
    goes on where it was, and one that was changed begins anew.

    Args:
        config: checked and resolved.

    Raises:
        InputError: something does not exist, or does not fit.
    """

    def __init__(self, config: DictConfig) -> None:
        self.config = config
        check_references(config.references)
        if not config.metrics:
            raise InputError("metrics: none; expected some, as in metrics=[si_sdr,sdr]")
        self.metrics: dict[str, Score] = dict(build(config.metrics))
        self.data, source = find_source(config)
        self.stems = source.stems
        self.tracks = source.tracks(config.split)
        self.estimates = find_estimates(config, source, self.tracks)
        self.output = Path(config.output or default_output(config, self.data))

    @property
    def headings(self) -> list[Heading]:
        """Of all metrics."""
        return [heading for metric in self.metrics.values() for heading in metric.headings]

    @property
    def hops(self) -> dict[str, float]:
        """Seconds from one window to the next, by heading."""
        return {h.name: m.hop_seconds for m in self.metrics.values() for h in m.headings}

    def cached(self, track: Track) -> Path:
        """Where the result of a track is, or will be."""
        keys = ("metrics", "references", "rest", "report", "separation", "engine")
        options = {
            key: plain(self.config[key])
            if OmegaConf.is_config(self.config[key])
            else self.config[key]
            for key in keys
        }
        options |= {"targets": {k: list(v) for k, v in self.estimates.sums.items()}}
        options |= {"format": FORMAT, "track": track.name, "stems": list(self.stems)}
        files = [*track.files, *self.estimates.files(track)]
        name = digest(files, json.dumps(options, sort_keys=True))
        return self.output / "tracks" / f"{name}.json"

    def compute(self, track: Track) -> None:
        """Measure a track and keep the result; it appears complete or not at all."""
        path = self.cached(track)
        heard = hear(self.estimates, self.stems, track, self.config.rest)
        metrics = list(self.metrics.values())
        found = score(heard, self.estimates.stft, metrics, list(self.config.references))
        result = TrackScores(track.name, track.frames / track.sample_rate, found)
        if self.config.report:
            heading = self.headings[0]
            cut = moments(track.name, heard, found, heading, self.hops[heading.name])
            keep([moment.plain() for moment in cut], excerpts_of(path))
        keep(result.plain(), path)  # the last one: where it is, everything is


def keep(content: Any, path: Path) -> None:
    """Write JSON that appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    write_json(content, part)
    part.replace(path)


def excerpts_of(path: Path) -> Path:
    """The moments of a track, beside its result."""
    return path.with_suffix(".moments")


def evaluate(config: DictConfig) -> list[TrackScores]:
    """Evaluate, write tables, and print a summary.

    Raises:
        InputError: a mistake in the configuration, or a track that cannot be read.
    """
    config = validated(config, EvaluateKeys)
    if config.ckpt is not None:
        config.ckpt = str(located(config.ckpt))
    work = Evaluation(config)
    check_writable(work.output)
    paths = {track.name: work.cached(track) for track in work.tracks}
    if len(paths) < len(work.tracks):
        raise InputError(f"split={config.split}: two tracks have the same name; rename one")
    missing = [n for n, track in enumerate(work.tracks) if not paths[track.name].is_file()]
    compute_all(work, missing, paths)
    results = [TrackScores.from_plain(json.loads(p.read_text())) for p in paths.values()]
    found = write(work, results)
    if config.report:
        write_report(work, results, found, [excerpts_of(path) for path in paths.values()])
    print(summary(found))
    print(f"{work.output / 'eval.csv'}")
    return results


def compute_all(work: Evaluation, missing: Sequence[int], paths: Mapping[str, Path]) -> None:
    """Compute the tracks with these numbers, in processes if there is much to do."""
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
        shares = [list(missing[start::jobs]) for start in range(jobs)]
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            running = {pool.submit(compute_share, plain(work.config), s) for s in shares}
            waiting = [paths[work.tracks[n].name] for n in missing]
            while running:
                done, running = wait(running, 0.5, FIRST_EXCEPTION)
                for job in done:
                    job.result()
                bar.update(sum(path.is_file() for path in waiting) - bar.n)


def compute_share(config: dict[str, Any], numbers: Sequence[int]) -> None:
    """The part of one process."""
    work = Evaluation(validated(OmegaConf.create(config), EvaluateKeys))
    with one_thread():
        for number in numbers:
            work.compute(work.tracks[number])


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread, so that sums are rounded alike in one process and in several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def find_estimates(
    config: DictConfig, source: TrackSource, tracks: Sequence[Track]
) -> ModelEstimates | FolderEstimates:
    """The checkpoint, or the folder, that the command names."""
    device = choose_device(config.device)
    if config.estimates is not None:
        groups = plain(config.data.groups) if config.data.get("groups") else None
        root = Path(config.estimates)
        return FolderEstimates(root, tracks, source.stems, groups, device)
    engine = choose_engine(config.engine, device, config.ckpt)
    ckpt = Path(config.ckpt)
    separator = load_separator(ckpt, list(config.trust), engine=engine, **plain(config.separation))
    check_members(separator.sums, source.stems)
    return ModelEstimates(separator.to(device), ckpt)


def find_source(config: DictConfig) -> tuple[str, TrackSource]:
    """The data set that the command names, or else the one that the checkpoint was trained on.

    Only a data set that the user named may write files (`prepare`).
    """
    if (config.ckpt is None) == (config.estimates is None):
        raise InputError("missing required key: ckpt; pass either ckpt=... or estimates=<folder>")
    if config.data is not None:
        source = build(config.data.source)
        source.prepare()
        return label(config.data), source
    if config.ckpt is None:
        raise InputError("estimates: of which data set? pass data=<set> data.root=<folder>")
    data = load_checkpoint(config.ckpt).config["data"]
    for root in data.get("roots") or [data.get("root")]:
        if not Path(str(root)).is_dir():
            raise InputError(
                f"the checkpoint was trained on data.root={root}, which is not here; "
                "pass data=<set> data.root=<folder>"
            )
    return label(data), build_source(data.get("source"), list(config.trust))


def label(data: Mapping[str, Any]) -> str:
    """A data set by the names of its folders."""
    return "+".join(Path(str(root)).name for root in data.get("roots") or [data.get("root")])


def default_output(config: DictConfig, data: str) -> Path:
    """`eval/<ckpt>/<data set>-<split>` in the run folder, or beside a lone file or folder."""
    subject = Path(config.ckpt or config.estimates)
    run_dir = home_of(subject) if config.ckpt else subject.parent
    name = subject.stem if config.ckpt else subject.name
    return run_dir / "eval" / name / f"{data}-{config.split}"


def write(work: Evaluation, results: Sequence[TrackScores]) -> list[Aggregate]:
    """`eval.csv`, `eval.json`, and files for museval's tools."""
    framewise = [n.name for n in work.headings if n.name.startswith("bss_")]
    found = list(aggregates(results, work.headings, framewise))
    with staged(work.output) as folder:
        write_csv(results, folder / "eval.csv")
        write_json(evaluation(results, found, work.headings), folder / "eval.json")
    bss_eval = work.config.metrics.get("bss_eval")
    for result in results if bss_eval else ():
        layout = museval_layout(result, bss_eval.window_seconds, bss_eval.hop_seconds)
        with staged(work.output / "museval" / work.config.split) as folder:
            write_json(layout, folder / f"{result.track}.json")
    return found


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
    subject = Path(work.config.ckpt or work.config.estimates)
    seconds = sum(result.seconds for result in results)
    subtitle = (
        f"{subject}, on {len(results)} tracks ({seconds / 60:.1f} minutes) of {work.data}, "
        f"split {work.config.split}"
    )
    title = f"Evaluation: {', '.join(work.estimates.sums)}"
    shown = [Moment(**moment).shown() for moment in (*worst, *best)]
    text = evaluation_page(title, subtitle, results, found, work.headings, work.hops, shown)
    with staged(work.output) as folder:
        (folder / "report.html").write_text(text, encoding="utf-8")
