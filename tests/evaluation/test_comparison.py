import numpy as np
import pytest

from auralflow_pl.evaluation.comparison import bootstrap_interval, compare_runs, only_in_some
from auralflow_pl.evaluation.results import TargetScores, TrackScores
from auralflow_pl.metrics.scores import SISDR, Leak

SI_SDR, LEAK = SISDR.headings[0], Leak.headings[0]


def run(values, heading=SI_SDR):
    """Tracks with these scores of one target."""
    return [
        TrackScores(f"song{n}", 1.0, [TargetScores("vocals", {heading.name: {"estimate": v}}, {})])
        for n, v in enumerate(values)
    ]


def compared(before, after, heading=SI_SDR):
    (one,) = compare_runs({"old": run(before, heading), "new": run(after, heading)}, [heading])
    return one


@pytest.mark.parametrize("count", [8, 30])
@pytest.mark.parametrize("draw", ["normal", "skewed"])
def test_intervals_cover_a_known_difference_at_the_stated_rate(draw, count):
    """1000 repetitions; the binomial spread of their rate is 0.7 %."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        noise = rng.normal(size=count) if draw == "normal" else rng.gamma(4, 0.5, count) - 2
        interval = bootstrap_interval(0.7 + noise, 0.95, 400, rng)
        covered += interval.low <= 0.7 <= interval.high
    assert 0.92 <= covered / 1000 <= 0.98


def test_a_wider_confidence_makes_a_wider_interval():
    values = np.random.default_rng(0).normal(size=20)
    intervals = [
        bootstrap_interval(values, c, 2000, np.random.default_rng(1)) for c in (0.5, 0.9, 0.99)
    ]
    widths = [i.high - i.low for i in intervals]
    assert widths == sorted(widths)
    assert all(i.mean == pytest.approx(values.mean()) for i in intervals)


def test_identical_runs_are_equal():
    values = list(np.random.default_rng(0).normal(size=9))
    one = compared(values, values)
    assert one.outcome == "equal"
    assert one.verdict(0.95) == "vocals, SI-SDR: new is equal to old in all 9 tracks"


def test_a_clear_difference_is_named():
    rng = np.random.default_rng(0)
    before = rng.normal(size=20)
    one = compared(list(before), list(before + 0.5 + 0.1 * rng.normal(size=20)))
    assert one.outcome == "better"
    assert one.verdict(0.95).startswith("vocals, SI-SDR: new is better than old: +0.5")
    assert one.wins == 20
    assert compared(one.after, one.before).outcome == "worse"


def test_lower_can_be_better():
    before = list(np.random.default_rng(0).normal(size=9))
    one = compared(before, [v - 3 for v in before], LEAK)
    assert (one.outcome, one.wins) == ("better", 9)


def test_noise_is_no_difference():
    rng = np.random.default_rng(0)
    before = rng.normal(size=20)
    one = compared(list(before), list(before + rng.normal(size=20)))
    assert one.outcome == "open"
    assert "no difference shown" in one.verdict(0.95)


def test_a_few_tracks_tell_nothing():
    one = compared([1.0, 2.0, 3.0], [2.0, 3.0, 5.0])
    assert one.outcome == "few"
    assert "too few to tell" in one.verdict(0.95)


def test_only_tracks_that_both_have_are_compared():
    one = compared([1.0, None, 2.0, 3.0, 4.0, 5.0, 6.0], [1.5, 2.0, None, 3.5, 4.5, 5.5, 7.0, 9.0])
    assert one.tracks == ["song0", "song3", "song4", "song5", "song6"]
    assert one.differences == [0.5, 0.5, 0.5, 0.5, 1.0]


@pytest.mark.parametrize(
    "after", [[1.0, 2.0, 3.0, 4.0, 5.0, None, None], [1.0, 2.0, 3.0, 4.0, 5.0]]
)
def test_runs_are_not_equal_if_one_lacks_tracks(after):
    one = compared([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], after)
    assert one.outcome == "open"
    assert (one.only_before, one.only_after) == (["song5", "song6"], [])
    assert one.verdict(0.95).endswith("; 2 tracks only in old: song5, song6")


def test_tracks_that_only_the_later_run_scores_are_named():
    one = compared([1.0, 2.0, None], [1.0, 2.0, 3.0])
    assert one.outcome == "few"
    assert one.verdict(0.95).endswith("too few to tell; 1 track only in new: song2")


def test_many_tracks_are_counted_and_the_first_ones_named():
    one = compared([1.0] * 60, [None] * 50 + [1.0] * 10)
    assert one.verdict(0.95).endswith("50 tracks only in old: song0, song1, song2 and 47 more")
    assert len(one.only_before) == 50


def test_nothing_in_common_is_said():
    one = compared([1.0, 2.0], [None, None])
    assert one.verdict(0.95) == (
        "vocals, SI-SDR: new and old share 0 tracks, too few to tell; 2 tracks only in old: "
        "song0, song1"
    )


def test_a_track_that_neither_run_scores_is_not_counted():
    one = compared([1.0, 2.0, 3.0, None], [1.0, 2.0, 3.0, None])
    assert one.outcome == "equal"


def test_what_only_some_runs_have_is_named():
    having = {"a": ["vocals", "drums", "bass"], "b": ["vocals"], "c": ["vocals", "other", "drums"]}
    assert only_in_some("target", having) == [
        "only a and c have the target drums",
        "only a has the target bass",
        "only c has the target other",
    ]
    assert only_in_some("target", {"a": ["x"], "b": ["x"]}) == []


def test_rounding_is_no_difference():
    values = list(np.random.default_rng(0).normal(size=9))
    one = compared(values, [v + 1e-9 for v in values])
    assert (one.outcome, one.wins) == ("equal", 0)
    assert compared(values, [v + 1e-9 for v in values[:-1]] + [values[-1] + 1]).wins == 1


def test_a_small_difference_is_printed_with_enough_digits():
    values = list(np.random.default_rng(0).normal(size=9))
    one = compared(values, [v + 0.0003 for v in values])
    assert one.outcome == "better"
    assert "+0.0003 dB (95% interval +0.0003 to +0.0003" in one.verdict(0.95)
