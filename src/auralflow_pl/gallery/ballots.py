"""The choices of listeners, saved by a blind page, and what they say about the models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from auralflow_pl.errors import InputError, shown
from auralflow_pl.gallery.page import BALLOT_FORMAT
from auralflow_pl.system.files import check_file, file_sha256, read_json

CONFIDENCE = 0.95


class Answer(NamedTuple):
    """What a listener chose for one target of one song."""

    song: str
    target: str
    model: str | None  # None: no difference, or not chosen
    letter: str | None
    comment: str
    open: bool = False  # whether nothing was chosen yet


class Ballot(NamedTuple):
    """A saved file of choices."""

    page: str  # identifier of the page
    models: tuple[str, ...]
    answers: list[Answer]
    revealed: bool  # whether the names were shown before the file was saved


def read_ballot(path: Path) -> Ballot:
    """Read a file that a blind page saved.

    Raises:
        InputError: the file is missing or has other content.
    """
    check_file(path)
    content = read_json(path)
    try:
        if content["format"] != BALLOT_FORMAT:
            raise ValueError
        models = tuple(map(checked_text, content["models"]))
        answers = [read_answer(one, models) for one in content["answers"]]
        return Ballot(
            checked_text(content["page"]), models, answers, content.get("revealed") is True
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"choices={path}: not saved by a page of `auralflow listen blind=true`; save the "
            "choices there again"
        ) from None


def read_answer(content: Any, models: Sequence[str]) -> Answer:
    """An answer from plain values; raises ValueError, KeyError or TypeError for others."""
    model, letter = content["model"], content["letter"]
    if model is not None and model not in models:
        raise ValueError
    return Answer(
        checked_text(content["song"]),
        checked_text(content["target"]),
        model,
        None if letter is None else checked_text(letter),
        checked_text(content["comment"]),
        content.get("open") is True,
    )


def checked_text(value: Any) -> str:
    """The value; raises ValueError unless it is a text."""
    if not isinstance(value, str):
        raise ValueError
    return value


def read_ballots(paths: Sequence[Path]) -> list[Ballot]:
    """Read the files of several listeners or pages.

    Raises:
        InputError: a file cannot be read or stands twice, the files are about different models, or
            nothing was chosen.
    """
    digests: dict[str, Path] = {}
    ballots = []
    for path in paths:
        ballots.append(read_ballot(path))
        digest = file_sha256(path)
        if digest in digests:
            raise InputError(f"choices={path}: the same as {digests[digest]}; pass every file once")
        digests[digest] = path
        if {*ballots[-1].models} != {*ballots[0].models}:
            raise InputError(
                f"choices={path}: is about {', '.join(ballots[-1].models)}, {paths[0]} about "
                f"{', '.join(ballots[0].models)}; expected the same models"
            )
    if all(answer.open for ballot in ballots for answer in ballot.answers):
        raise InputError(f"choices={paths[0]}: nothing was chosen in it")
    return ballots


class TallyRow(NamedTuple):
    """How often a model was preferred."""

    model: str
    wins: int
    decided: int  # answers that prefer a model
    share: float | None  # of the decided answers
    low: float | None  # exact interval (Clopper and Pearson, 1934) of the share
    high: float | None
    p_value: float | None  # exact two-sided binomial test against equal chances


def tally_rows(answers: Sequence[Answer], models: Sequence[str]) -> list[TallyRow]:
    """Count how often each model was preferred, most wins first.

    Answers without a difference are left out, as in the sign test, which this is for two models
    (Dixon and Mood, 1946). With more models, the share is compared with one part of them.
    """
    from scipy.stats import binomtest

    wins = Counter(answer.model for answer in answers)
    decided = sum(wins[model] for model in models)
    rows = []
    for model in sorted(models, key=lambda name: -wins[name]):
        if not decided:
            rows.append(TallyRow(model, 0, 0, None, None, None, None))
            continue
        found = binomtest(wins[model], decided, 1 / len(models))
        ends = found.proportion_ci(CONFIDENCE, "exact")
        share = wins[model] / decided
        rows.append(
            TallyRow(
                model,
                wins[model],
                decided,
                share,
                float(ends.low),
                float(ends.high),
                float(found.pvalue),
            )
        )
    return rows


def tally_lines(ballots: Sequence[Ballot]) -> Iterator[str]:
    """Lines of a table for each target: wins, share, interval and p-value of each model."""
    models = ballots[0].models
    every = [answer for ballot in ballots for answer in ballot.answers]
    answers = [answer for answer in every if not answer.open]
    width = max(map(len, ("model", *models)))
    files = f"{len(ballots)} {'file' if len(ballots) == 1 else 'files'}"
    for target in dict.fromkeys(answer.target for answer in answers):
        here = [answer for answer in answers if answer.target == target]
        same = sum(answer.model is None for answer in here)
        yield (
            f"{target}: {len(here)} answers in {files}, {len({a.song for a in here})} songs, "
            f"{same} without a difference"
        )
        yield f"  {'model':<{width}}  wins  share  95 % interval  p"
        for row in tally_rows(here, models):
            yield f"  {row.model:<{width}}  {row.wins:>4}  {row_text(row)}"
    for answer in every:
        if answer.comment:
            chosen = "not chosen" if answer.open else answer.model or "no difference"
            said = f"{chosen}: {shown(answer.comment)}"
            yield f"comment on {answer.target} of {answer.song}: {said}"
    if any(ballot.revealed for ballot in ballots):
        yield "note: in some files the names were shown before they were saved"


def row_text(row: TallyRow) -> str:
    """Share, interval and p-value of a row."""
    if row.share is None or row.low is None or row.high is None or row.p_value is None:
        return "    -"
    interval = f"{100 * row.low:.0f} to {100 * row.high:.0f} %"
    return f"{100 * row.share:>3.0f} %  {interval:<13}  {row.p_value:.3f}"
