"""The pages in a real browser."""

import numpy as np
import pytest
import torch

from auralflow_pl.evaluation.comparing.comparison import compare_groups
from auralflow_pl.evaluation.moments import find_moments
from auralflow_pl.evaluation.pages import comparison_page, evaluation_page
from auralflow_pl.evaluation.results import TargetScores, TrackScores
from auralflow_pl.evaluation.scoring import TrackEstimates, score_numbers
from auralflow_pl.evaluation.tables import aggregates
from auralflow_pl.metrics.scores import SDR, SISDR, BSSEval, Leak
from auralflow_pl.report.spectrograms import decode_sound, encode_sound
from support.browser import browser, messages, requests, wait_for

HEADINGS = [SISDR.headings[0], SDR.headings[0], Leak.headings[0]]
NAMES = ("song </script><b>one", "song two", "läutende Glocken")
RATE = 8000


def values(rng):
    estimate = float(rng.normal(5))
    return {"estimate": estimate, "mixture": estimate - 5, "oracle": estimate + 4}


def scored(rng, names=NAMES, headings=HEADINGS):
    """Tracks with two targets; one value and one window are undefined."""
    tracks = []
    for name in names:
        targets = []
        for target in ("vocals", "drums"):
            frames = {
                h.name: score_numbers(torch.from_numpy(rng.normal(5, 2, 12))) for h in headings
            }
            frames[headings[0].name][3] = None
            targets.append(TargetScores(target, {h.name: values(rng) for h in headings}, frames))
        targets[0].values[headings[-1].name] = dict.fromkeys(("estimate", "mixture", "oracle"))
        tracks.append(TrackScores(name, 12.0, targets))
    return tracks


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The address of a page."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    tracks = scored(rng)
    heard = TrackEstimates(
        ("vocals", "drums"),
        ((0, 1),),
        0.1 * torch.randn(2, 2, 12 * RATE),
        0.1 * torch.randn(2, 2, 12 * RATE),
        0.1 * torch.randn(2, 12 * RATE),
        RATE,
        torch.zeros(2, 12 * RATE),
    )
    cut = [
        m.shown()
        for t in tracks[:1]
        for m in find_moments(t.track, heard, t.targets, HEADINGS[0], 1.0)
    ]
    found = list(aggregates(tracks, HEADINGS, []))
    hops = {h.name: 1.0 for h in HEADINGS}
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(evaluation_page("Title & more", "x", tracks, found, HEADINGS, hops, cut))
    return path.as_uri()


@pytest.fixture(scope="module")
def chrome():
    with browser() as driver:
        yield driver


def column(chrome, key):
    script = (
        "const n = [...document.querySelectorAll('#tracks th')].findIndex("
        "(th) => th.dataset.key === arguments[0]);"
        "return [...document.querySelectorAll('#tracks tbody tr')]"
        ".map((tr) => tr.cells[n].textContent);"
    )
    return chrome.execute_script(script, key)


def test_the_report_asks_nobody_and_complains_of_nothing(chrome, report):
    chrome.get(report)
    assert chrome.find_element("css selector", "h1").text == "Title & more"
    assert NAMES[0] in column(chrome, "track")
    assert len(chrome.find_elements("css selector", ".moment")) == 4
    assert len(chrome.find_elements("css selector", "#distributions svg")) == 3
    assert messages(chrome) == []
    assert requests(chrome) == []


def test_the_table_sorts_and_filters(chrome, report):
    chrome.get(report)
    button = "#tracks th[data-key=estimate] button"
    chrome.find_element("css selector", button).click()
    shown = [float(text) for text in column(chrome, "estimate")]
    assert shown == sorted(shown, reverse=True)
    chrome.switch_to.active_element.send_keys(
        "\ue007"
    )  # Enter, on the heading that keeps the focus
    shown = [float(text) for text in column(chrome, "estimate")]
    assert shown == sorted(shown)
    chrome.find_element("id", "filter").send_keys("GLOCKEN")
    assert column(chrome, "track") == [NAMES[2]] * 2
    chrome.find_element("css selector", "#target option[value=drums]").click()
    assert column(chrome, "target") == ["drums"]
    chrome.find_element("css selector", "#metric option[value=leak]").click()
    chrome.find_element("css selector", "#tracks tbody button").click()
    assert f"{NAMES[2]}: leak [dB]" in chrome.find_element("id", "curve").text


def test_no_share_of_a_gap_where_nothing_bounds_it(chrome, tmp_path):
    headings = [SISDR.headings[0], BSSEval.headings[1]]
    tracks = scored(np.random.default_rng(0), headings=headings)
    found, hops = list(aggregates(tracks, headings, [])), {h.name: 1.0 for h in headings}
    path = tmp_path / "report.html"
    path.write_text(evaluation_page("x", "x", tracks, found, headings, hops, []))
    chrome.get(path.as_uri())
    assert set(column(chrome, "gap")) == {"56 %"}
    chrome.find_element("css selector", "#metric option[value=bss_isr]").click()
    assert {"." in text for text in column(chrome, "estimate")} == {True, False}
    assert not any("%" in text for text in column(chrome, "gap"))


def test_sounds_play_and_switch_while_playing(chrome, report):
    chrome.get(report)
    card = chrome.find_element("css selector", "#worst .moment")
    play = card.find_element("css selector", ".play")
    chrome.execute_script("arguments[0].focus()", play)
    play.send_keys("\ue007")
    first = wait_for(lambda: float(card.get_attribute("data-time") or 0))
    assert card.get_attribute("data-playing") == "true"
    play.send_keys("3")
    assert card.get_attribute("data-sound") == "target"
    gains = (
        "return Object.fromEntries(Object.entries(player.gains).map(([k, g]) => [k, g.gain.value]))"
    )
    wait_for(lambda: chrome.execute_script(gains)["target"] > 0.9)
    assert chrome.execute_script(gains)["estimate"] < 0.1
    wait_for(lambda: float(card.get_attribute("data-time")) != first)
    card.find_element("css selector", "button[data-name=residual]").click()
    assert card.get_attribute("data-sound") == "residual"
    play.send_keys("\ue007")
    assert card.get_attribute("data-playing") == "false"
    assert messages(chrome) == []


def test_dark_and_light_differ(chrome, report):
    chrome.get(report)
    colours = []
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        script = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        colours.append(chrome.execute_script(script))
    brightness = [[sum(map(int, c[4:-1].split(","))) for c in pair] for pair in colours]
    assert brightness[0][0] > 600 > 300 > brightness[0][1]
    assert brightness[1][0] < 300 < 600 < brightness[1][1]


def test_the_comparison_shows_verdicts(chrome, tmp_path):
    rng = np.random.default_rng(1)
    names = [f"song{n}" for n in range(9)]
    runs = {"a": [scored(rng, names)], "b": [scored(rng, names)]}
    runs["c"] = runs["a"]
    found = compare_groups(runs, HEADINGS)
    path = tmp_path / "comparison.html"
    path.write_text(comparison_page(list(runs), found, 0.95))
    chrome.get(path.as_uri())
    shown = chrome.find_elements("css selector", ".verdict")
    assert [node.text for node in shown] == [one.verdict(0.95) for one in found]
    assert len(chrome.find_elements("css selector", "#plots rect")) > 9
    equal = [n for n in shown if n.get_attribute("data-outcome") == "equal"]
    assert len(equal) == 5
    assert messages(chrome) == []
    assert requests(chrome) == []


def test_the_comparison_shows_what_could_not_be_compared(chrome, tmp_path):
    rng = np.random.default_rng(1)
    base = scored(rng, [f"song{n}" for n in range(9)])
    runs = {"a": [base], "b": [[*base[:7], *scored(rng, ["song </script>9"])]]}
    runs["c"] = [scored(rng, ["elsewhere"])]
    found = compare_groups(runs, HEADINGS[:1])
    path = tmp_path / "comparison.html"
    path.write_text(comparison_page(list(runs), found, 0.95, ["only a has the target <b>bass"]))
    chrome.get(path.as_uri())
    assert chrome.find_element("id", "notes").text == "only a has the target <b>bass"
    dropped = chrome.find_elements("css selector", "#dropped details")
    assert "2 tracks only in a" in dropped[0].text
    texts = [node.get_attribute("textContent") for node in dropped]
    assert "song7, song8" in texts[0]
    assert "song </script>9" in texts[1]
    assert len(chrome.find_elements("css selector", "#plots svg")) == 2
    assert "NaN" not in chrome.find_element("css selector", "body").text
    assert messages(chrome) == []


def test_the_report_shows_its_settings(chrome, tmp_path):
    tracks = scored(np.random.default_rng(0))
    found = list(aggregates(tracks, HEADINGS, []))
    settings = {
        "subject": "best.ckpt",
        "checkpoint": None,
        "targets": {"vocals": ["vocals"], "rest": ["drums", "bass"]},
        "references": [],
        "rest": False,
        "metrics": {
            "bss_eval": {"_target_": "x.BSSEval", "taps": 512, "all_audible": False},
            "mr_stft": {"_target_": "x.MultiResolutionSTFT", "n_ffts": [1024, 2048]},
        },
    }
    hops = {h.name: 1.0 for h in HEADINGS}
    path = tmp_path / "report.html"
    path.write_text(evaluation_page("t", "x", tracks, found, HEADINGS, hops, [], settings))
    chrome.get(path.as_uri())
    shown = chrome.find_element("id", "settings").get_attribute("innerHTML")
    assert shown == (
        "<dt>subject</dt><dd>best.ckpt</dd>"
        "<dt>targets</dt><dd>vocals=vocals, rest=drums+bass</dd>"
        "<dt>rest</dt><dd>false</dd>"
        "<dt>metric bss_eval</dt><dd>taps=512, all_audible=false</dd>"
        "<dt>metric mr_stft</dt><dd>n_ffts=1024+2048</dd>"
    )
    assert messages(chrome) == []


def test_excerpts_are_what_they_were():
    sound = 0.1 * torch.randn(2, RATE)
    torch.testing.assert_close(
        decode_sound(encode_sound(sound, RATE, "FLAC")), sound, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("level, gain", [(0.2, 1.0), (3.0, None)])
def test_excerpts_above_full_scale_are_quieter_by_one_gain(level, gain):
    estimate, target = level * torch.rand(2, 1, 2, 12 * 44100).mul(2).sub(1)
    mixture = 0.5 * (estimate + target)[0]
    heard = TrackEstimates(("vocals",), ((0,),), estimate, target, mixture, 44100, mixture)
    (track,) = scored(np.random.default_rng(0), ["one"])
    first, *_ = find_moments("one", heard, track.targets[:1], HEADINGS[0], 1.0)
    sounds = {name: decode_sound(sound) for name, sound in first.sounds.items()}
    start = round(first.start * 44100)
    stop = start + sounds["target"].shape[-1]
    gain = gain or 1 / float(max(part.abs().max() for part in (estimate, target, mixture)))
    torch.testing.assert_close(sounds["target"], gain * target[0, :, start:stop], atol=2e-3, rtol=0)
    sums = sounds["estimate"] + sounds["residual"]
    torch.testing.assert_close(sums, sounds["mixture"], atol=1e-4, rtol=0)
