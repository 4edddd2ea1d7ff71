import numpy as np
import pytest

from auralflow_pl.evaluation.comparing.comparison import compare_groups, only_in_some
from auralflow_pl.evaluation.comparing.intervals import bootstrap_interval
from auralflow_pl.evaluation.comparing.seeds import summarize_seeds
from auralflow_pl.evaluation.comparing.winner import winner_texts
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
    return compared_groups([before], [after], heading)


def compared_groups(before, after, heading=SI_SDR):
    """The comparison of two groups, each a table of scores by seed and track."""
    groups = {"old": before, "new": after}
    runs = {name: [run(values, heading) for values in table] for name, table in groups.items()}
    (one,) = compare_groups(runs, [heading])
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


def drawn_scores(rng, seeds, tracks, by_seed, by_track, noise):
    """A table `(seeds, tracks)` with these standard deviations of its parts."""
    parts = rng.normal(size=(seeds, 1)), rng.normal(size=tracks), rng.normal(size=(seeds, tracks))
    return by_seed * parts[0] + by_track * parts[1] + noise * parts[2]


@pytest.mark.parametrize(
    "seeds, spread",
    [((3,), (0.5, 0.2, 0.2)), ((3, 3), (0.6, 1.0, 0.5)), ((2, 5), (0.5, 0.5, 0.5))],
)
def test_intervals_over_seeds_cover_what_other_seeds_would_give(seeds, spread):
    """600 repetitions (spread of the rate 0.9 %) of one group, or of the difference of two."""
    rng = np.random.default_rng(0)
    covered = np.zeros(2)
    for _ in range(600):
        groups = [drawn_scores(rng, n, 12, *spread) for n in seeds]
        values = groups[0].mean(0) - (groups[1].mean(0) if len(groups) > 1 else 0)
        means = [group.mean(1) for group in groups]
        for n, known in enumerate((means, [])):
            interval = bootstrap_interval(values, 0.95, 300, rng, known)
            covered[n] += interval.holds_zero
    assert 0.93 <= covered[0] / 600 <= 0.99
    assert covered[1] / 600 < 0.9  # over tracks alone, as if seeds made no difference


def test_one_seed_has_the_interval_over_tracks():
    values = np.random.default_rng(0).normal(size=20)
    ours, theirs = (
        bootstrap_interval(values, 0.95, 500, np.random.default_rng(1), means)
        for means in ([[values.mean()], [0.3]], [])
    )
    assert ours == theirs


def test_a_single_run_is_taken_to_vary_as_a_group_does():
    values = np.random.default_rng(0).normal(size=20)
    means = [[0.2, -0.2, 0.8], [0.2]]
    one = bootstrap_interval(values, 0.95, 4000, np.random.default_rng(1), means)
    known = bootstrap_interval(values, 0.95, 4000, np.random.default_rng(1), means[:1])
    assert one.high - one.low > 1.2 * (known.high - known.low)


def test_the_summary_of_a_group_is_that_of_its_table():
    table = drawn_scores(np.random.default_rng(0), 3, 9, 0.2, 1.0, 0.3)
    (one,) = summarize_seeds([run(list(values)) for values in table], [SI_SDR])
    assert (one.seeds, one.tracks) == (3, 9)
    assert one.mean == pytest.approx(table.mean())
    assert one.spread == pytest.approx(table.mean(1).std(ddof=1))
    assert one.interval.low < one.mean < one.interval.high
    assert summarize_seeds([run([1.0, 2.0])], [SI_SDR])[0].interval is None


def test_a_track_that_one_seed_lacks_is_left_out():
    table = [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, None, 3.0, 4.0, 5.0, 6.0]]
    (one,) = summarize_seeds([run(values) for values in table], [SI_SDR])
    assert one.tracks == 5
    pair = compared_groups(table, [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    assert (pair.only_before, pair.only_after) == ([], ["song1"])


def test_seeds_that_differ_as_much_as_the_groups_show_no_difference():
    rng = np.random.default_rng(0)
    track = rng.normal(size=30)
    before = [track + shift + 0.01 * rng.normal(size=30) for shift in (0.0, 0.4, 0.8)]
    after = [values + 0.4 for values in before]
    assert compared(before[0].tolist(), after[0].tolist()).outcome == "better"  # of these two runs
    one = compared_groups(before, after)
    assert one.outcome == "open"
    assert one.verdict(0.95).endswith("better in 30 of 30 tracks, 3 seeds against 3)")


@pytest.mark.parametrize(
    "gains, said",
    [
        ((0.0, 2.0, 0.5), "the winner is b, shown to be better than each of the other 2"),
        (
            (0.0, 2.0, 1.9),
            "no winner shown; b has the best mean, but its lead over c may be",
        ),
        ((0.0, 2.0), "the winner is b, shown to be better than a"),
    ],
)
def test_a_winner_is_named_if_the_intervals_show_it(gains, said):
    rng = np.random.default_rng(0)
    track = rng.normal(size=12)

    def trained(gain):
        return run(list(track + gain + 0.1 * rng.normal() + 0.2 * rng.normal(size=12)))

    pairs = zip("abc", gains, strict=False)
    groups = {name: [trained(gain) for _ in range(3)] for name, gain in pairs}
    (text,) = winner_texts(groups, SI_SDR)
    assert text.startswith(f"vocals, SI-SDR: {said}")
    few = {name: [scores[:4] for scores in runs] for name, runs in groups.items()}
    assert winner_texts(few, SI_SDR)[0].endswith("but 4 tracks are too few to tell")


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
