"""Averages over tracks, and what they are compared with."""

from statistics import fmean

import pytest

from auralflow_pl.report.tables import closed


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
    assert closed([*scores, silent], fmean, sign) == share
