"""The command `doctor`: examine a data set and the chunks that training would draw from it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from auralflow_pl.config.instantiate import build
from auralflow_pl.config.schema import DoctorKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.data.chunks import ChunkDataset
from auralflow_pl.data.examination import (
    AUDIBLE_DB,
    SAME_SONG_SIMILARITY,
    Examination,
    Finding,
    StemLevel,
    examine,
    same_song,
)
from auralflow_pl.data.mixtures import power_to_db
from auralflow_pl.data.tracks import SPLIT_NAMES, Track, TrackSource
from auralflow_pl.errors import InputError, printable, printable_lines
from auralflow_pl.report.figures import level_map
from auralflow_pl.report.spare import spare_result
from auralflow_pl.system.files import write_csv
from auralflow_pl.system.progress import Progress
from auralflow_pl.system.staging import check_writable, staged_folder
from auralflow_pl.training.build import build_data

MAX_WORKERS = 4  # tracks in memory at a time, each as a whole


@dataclass(frozen=True)
class ChunkDraw:
    """Share of the drawn chunks with a track, or with a silent stem."""

    kind: str  # "track" (share of all drawn stems) or "silence" (share of the chunks that have it)
    name: str  # of the track or the stem
    expected: float | None  # expected share; None: depends on the music or on several data sets
    drawn: float  # share found


def doctor(config: DictConfig) -> list[Finding]:
    """Examine every track of a data set, print the findings, and write tables and a figure.

    Raises:
        InputError: the configuration is invalid, or the data set has errors.
    """
    config = validate(config, DoctorKeys)
    output = Path(config.output)
    check_writable(output)
    source = build(config.data.source)
    source.prepare()
    findings, tracks = find_tracks(source, config.audio.sample_rate)
    examinations = examine_all(tracks, findings)
    findings += find_leaks(tracks, examinations)
    findings.sort(key=lambda f: (f.severity, f.check, SPLIT_NAMES.index(f.split), f.track))
    errors = sum(f.severity == "error" for f in findings)
    draws: list[ChunkDraw] = []
    if config.draws and not errors:
        try:
            draws = draw_chunks(config)
        except InputError as error:  # what a training would say
            findings.insert(0, Finding("error", "chunks", "train", "", "", str(error)))
            errors = 1
    levels = [level for one in examinations if one for level in one.levels]
    write_doctor_report(output, findings, levels, draws)
    print(printable_lines(findings_table(findings, draws, config.draws)))
    warnings = len(findings) - errors
    text = f"{errors} errors, {warnings} warnings in {len(tracks)} tracks; see {output}"
    if errors:
        raise InputError(text)
    print(printable(text))
    return findings


def find_tracks(source: TrackSource, sample_rate: int) -> tuple[list[Finding], list[Track]]:
    """Find the tracks of all splits; return findings and the tracks with readable headers."""
    findings, tracks = [], []
    for split in SPLIT_NAMES:
        try:
            paths = source.find(split)
        except InputError as error:
            severity = "warning" if split == "test" else "error"  # not needed for training
            findings.append(Finding(severity, "split", split, "", "", str(error)))
            continue
        for path in paths:
            try:
                track = source.track(path, split)
            except InputError as error:
                findings.append(Finding("error", "files", split, path.name, "", str(error)))
                continue
            tracks.append(track)
            if track.sample_rate != sample_rate:
                severity, remedy = (
                    ("warning", "the pool resamples it")
                    if source.pooled
                    else ("error", "this data set is not resampled")
                )
                text = f"{track.sample_rate} Hz, audio.sample_rate={sample_rate}: {remedy}"
                findings.append(Finding(severity, "rate", split, track.name, "", text))
    return findings, tracks


def examine_all(tracks: Sequence[Track], findings: list[Finding]) -> list[Examination | None]:
    """Examine tracks in parallel and append to `findings`; None for unreadable tracks."""

    def attempt(track: Track) -> Examination | InputError:
        try:
            return examine(track)
        except InputError as error:
            return error

    examinations: list[Examination | None] = []
    with ThreadPoolExecutor(min(MAX_WORKERS, os.cpu_count() or 1)) as threads:
        results = Progress(threads.map(attempt, tracks), "doctor", len(tracks), unit="track")
        for track, result in zip(tracks, results, strict=True):
            if isinstance(result, InputError):
                fault = Finding("error", "files", track.split, track.name, "", str(result))
                findings.append(fault)
                examinations.append(None)
            else:
                findings += result.findings
                examinations.append(result)
    return examinations


def find_leaks(
    tracks: Sequence[Track], examined: Sequence[Examination | None]
) -> Iterator[Finding]:
    """Yield a finding for each song that occurs in two splits."""
    known = [(track, one.features) for track, one in zip(tracks, examined, strict=True) if one]
    for (one, heard), (two, also) in combinations(known, 2):
        if one.split == two.split:
            continue
        likeness = same_song(heard, also)
        if likeness > SAME_SONG_SIMILARITY:
            text = f"the same song as {one.split}/{one.name} (correlation {likeness:.2f})"
            yield Finding("error", "leak", two.split, two.name, "", text)


def draw_chunks(config: DictConfig) -> list[ChunkDraw]:
    """Draw training chunks; return shares of stems by track and of silent chunks by stem."""
    data = build_data(config)
    data.prepare_data()
    data.setup("fit")
    chunks: ChunkDataset = data.chunks
    stems = chunks.stems
    places: Counter[Track] = Counter()
    silent, held = np.zeros(len(stems)), np.zeros(len(stems))
    for number in Progress(range(config.draws), "draws", unit="chunk"):
        rng = np.random.default_rng((chunks.seed, number))
        places.update(position.track for position in chunks.positions(rng))
        chunk = chunks[number]
        held += chunk["holds"].any(1).numpy() if chunks.is_mixed else 1
        for index, stem in enumerate(chunk["stems"]):
            if chunks.is_mixed and not chunk["holds"][index].any():
                continue  # in an undivided sum of stems
            silent[index] += power_to_db(float(stem.square().mean())) < AUDIBLE_DB
    chances = chunks.drawing.chances(chunks.tracks)
    total = config.draws * len(stems)
    drawn = [
        ChunkDraw(
            "track",
            track.name,
            None if chunks.is_mixed else float(chance),
            places[track] / total,
        )
        for track, chance in zip(chunks.tracks, chances, strict=True)
    ]
    quiet = zip(stems, silent / np.maximum(held, 1), strict=True)
    return drawn + [ChunkDraw("silence", stem, None, float(share)) for stem, share in quiet]


def write_doctor_report(
    output: Path, findings: list[Finding], levels: list[StemLevel], draws: list[ChunkDraw]
) -> None:
    """Write `findings.csv`, `levels.csv`, `draws.csv` and `levels.png`."""
    with staged_folder(output) as folder:
        findings_rows = (finding._asdict() for finding in findings)
        write_csv(folder / "findings.csv", Finding._fields, findings_rows)
        write_csv(folder / "levels.csv", StemLevel._fields, (level._asdict() for level in levels))
        columns = ("kind", "name", "expected", "drawn")
        rows = ({column: getattr(draw, column) for column in columns} for draw in draws)
        write_csv(folder / "draws.csv", columns, rows)
        if levels:
            shown = [(f"{x.split}/{x.track}", x.stem, x.level_db, x.coverage) for x in levels]
            with spare_result(output / "levels.png"):
                level_map(shown).savefig(folder / "levels.png", dpi=110)


def findings_table(findings: Sequence[Finding], draws: Sequence[ChunkDraw], count: int) -> str:
    """Format the findings, one per line, and a summary of the drawn chunks.

    Args:
        findings: findings in the order of the table.
        draws: shares of tracks and silence.
        count: number of drawn chunks.
    """
    lines = []
    places = ["/".join(part for part in (f.split, f.track, f.stem) if part) for f in findings]
    width = max((len(place) for place in places), default=0) + 2
    if findings:
        lines.append(f"{'':<9}{'check':<12}{'where':<{width}}what")
    for f, place in zip(findings, places, strict=True):
        lines.append(f"{f.severity:<9}{f.check:<12}{place:<{width}}{f.text}")
    tracks = [draw for draw in draws if draw.kind == "track"]
    if tracks:
        shares = [draw.drawn for draw in tracks]
        heard = sum(share > 0 for share in shares)
        lines.append(
            f"drawn: {count} chunks, stems from {heard} of {len(tracks)} tracks, "
            f"{min(shares):.1%} to {max(shares):.1%} from each"
        )
        silent = ", ".join(f"{d.name} {d.drawn:.0%}" for d in draws if d.kind == "silence")
        lines.append(f"silent chunks (below {AUDIBLE_DB:g} dB): {silent}")
    return "\n".join(lines) or "nothing found"
