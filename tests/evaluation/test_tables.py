"""Averages over tracks, and what they are compared with."""

import math
from statistics import fmean

import pytest

from auralflow_pl.evaluation.results import TargetScores, TrackScores
from auralflow_pl.evaluation.tables import aggregates, gap_closed, museval_layout, summary_text
from auralflow_pl.metrics.base import MetricInfo
from auralflow_pl.metrics.scores import SDR, BSSEval, Leak

HEADINGS = [*BSSEval.headings, *SDR.headings, *Leak.headings]


def track(estimate, name="one"):
    """With a gap of 10 dB that is half closed, or with estimates that have no value."""
    signs = [1 if heading.higher_is_better else -1 for heading in HEADINGS]
    values = {
        heading.name: {
            "estimate": None if estimate is None else sign * estimate,
            "mixture": 0.0,
            "oracle": sign * 10.0,
        }
        for heading, sign in zip(HEADINGS, signs, strict=True)
    }
    frames = {heading.name: [estimate, None] for heading in HEADINGS}
    return TrackScores(name, 2.0, [TargetScores("vocals", values, frames)])


@pytest.mark.parametrize(
    "sign, estimate, floor, ceiling, share",
    [
        (1, 3.0, -5.0, 11.0, 0.5),
        (-1, -60.0, 0.0, -120.0, 0.5),
        (1, 20.0, 24.3, 25.0, None),  # less than 1 dB: a share of it says nothing
        (1, 3.0, 11.0, -5.0, None),
        (-1, 3.0, 0.0, 10.0, None),
    ],
)
def test_the_share_of_a_gap(sign, estimate, floor, ceiling, share):
    scores = [{"estimate": estimate, "mixture": floor, "oracle": ceiling}]
    silent = {"estimate": 0.0, "mixture": None, "oracle": 1.0}
    assert gap_closed([*scores, silent], fmean, sign) == share


def test_the_share_is_of_ratios_that_mixture_and_oracle_bound():
    found = list(aggregates([track(5.0)], HEADINGS, []))
    shares = {one.heading.name: one.gap for one in found}
    assert shares["bss_sdr"] == shares["bss_sir"] == shares["sdr"] == 0.5
    assert shares["bss_isr"] is shares["bss_sar"] is shares["leak"] is None


def test_a_heading_of_an_earlier_evaluation_is_read():
    assert MetricInfo("x", "X", "dB", "as eval.json had it", higher_is_better=True).bounded


def test_the_terminal_calls_undefined_what_has_no_value():
    """A perfect estimate has no BSS Eval, and is not silent."""
    text = summary_text(list(aggregates([track(None), track(3.0, "two")], HEADINGS, [])))
    assert "1 tracks, 1 undefined and left out" in text
    assert "silent" not in text


def test_windows_without_a_value_are_nan_in_the_layout_of_museval():
    frames = museval_layout(track(3.0), 1.0, 1.0)["targets"][0]["frames"]
    assert frames[0]["metrics"] == dict.fromkeys(("SDR", "SIR", "SAR", "ISR"), 3.0)
    assert all(math.isnan(value) for value in frames[1]["metrics"].values())
