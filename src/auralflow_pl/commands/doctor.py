"""The command `doctor`: examine a data set and the chunks that training would draw from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import build
from auralflow_pl.config.schema import DoctorKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.data.examination import (
    SAME_SONG_SIMILARITY,
    Examination,
    Finding,
    StemLevel,
    examine,
    same_song,
)
from auralflow_pl.data.heard import ChunkDraw, draw_chunks, draws_lines
from auralflow_pl.data.spans import MarkedSpan
from auralflow_pl.data.tracks import SPLIT_NAMES, Track, TrackSource
from auralflow_pl.errors import InputError, printable, printable_lines
from auralflow_pl.evaluation.foreign_sound import foreign_findings, foreign_spans
from auralflow_pl.report.figures import level_map
from auralflow_pl.report.spare import spare_result
from auralflow_pl.separator.load import load_separator
from auralflow_pl.separator.separator import Separator
from auralflow_pl.system.device import choose_device
from auralflow_pl.system.files import write_csv
from auralflow_pl.system.progress import Progress
from auralflow_pl.system.staging import check_writable, staged_folder
from auralflow_pl.training.build import build_data

MAX_WORKERS = 4  # tracks in memory at a time, each as a whole


def doctor(config: DictConfig) -> list[Finding]:
    """Examine every track of a data set, print the findings, and write tables and a figure.

    Raises:
        InputError: the configuration is invalid, or the data set has errors.
    """
    config = validate(config, DoctorKeys)
    output = Path(config.output)
    check_writable(output)
    separator = None  # loaded first, as all else takes long
    if config.ckpt is not None:
        separator = load_separator(config.ckpt).to(choose_device(config.device))
    source = build(config.data.source)
    source.prepare()
    findings, tracks = find_tracks(source, config.audio.sample_rate)
    examinations = examine_all(tracks, findings)
    findings += find_leaks(tracks, examinations)
    spans: list[MarkedSpan] | None = None
    if separator is not None:
        readable = [track for track, one in zip(tracks, examinations, strict=True) if one]
        spans = find_foreign(separator, config, readable)
        for track in tracks:
            mine = [s for s in spans if (s.split, s.track) == (track.split, track.name)]
            findings += foreign_findings(track, mine)
    findings.sort(key=lambda f: (f.severity, f.check, SPLIT_NAMES.index(f.split), f.track))
    errors = sum(f.severity == "error" for f in findings)
    draws: list[ChunkDraw] = []
    if config.draws and not errors:
        try:
            draws = draws_of(config)
        except InputError as error:  # what a training would say
            findings.insert(0, Finding("error", "chunks", "train", "", "", str(error)))
            errors = 1
    levels = [level for one in examinations if one for level in one.levels]
    write_doctor_report(output, findings, levels, draws, spans)
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


def find_foreign(
    separator: Separator, config: DictConfig, tracks: Sequence[Track]
) -> list[MarkedSpan]:
    """Spans of the tracks in which a model hears sound of other stems.

    Raises:
        InputError: the model has no target that the tracks have.
    """
    known = {stem for track in tracks for stem in track.stems}
    if not any(name in known or known >= set(m) for name, m in separator.target_stems.items()):
        raise InputError(
            f"ckpt={config.ckpt}: separates {', '.join(separator.target_stems)}; expected a "
            f"model of {', '.join(sorted(known))}"
        )
    bar = Progress(tracks, "model", unit="track")
    return [span for track in bar for span in foreign_spans(track, separator, config.foreign_db)]


def draws_of(config: DictConfig) -> list[ChunkDraw]:
    """Draw training chunks as a training with these keys would."""
    data = build_data(config)
    data.prepare_data()
    data.setup("fit")
    return draw_chunks(data.chunks, config.epoch, config.draws)


def write_doctor_report(
    output: Path,
    findings: list[Finding],
    levels: list[StemLevel],
    draws: list[ChunkDraw],
    spans: list[MarkedSpan] | None,
) -> None:
    """Write `findings.csv`, `levels.csv`, `draws.csv`, `levels.png`, and with spans `spans.csv`."""
    with staged_folder(output) as folder:
        findings_rows = (finding._asdict() for finding in findings)
        write_csv(folder / "findings.csv", Finding._fields, findings_rows)
        write_csv(folder / "levels.csv", StemLevel._fields, (level._asdict() for level in levels))
        write_csv(folder / "draws.csv", ChunkDraw._fields, (draw._asdict() for draw in draws))
        if spans is not None:
            write_csv(folder / "spans.csv", MarkedSpan._fields, (span._asdict() for span in spans))
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
    lines += draws_lines(draws, count)
    return "\n".join(lines) or "nothing found"
