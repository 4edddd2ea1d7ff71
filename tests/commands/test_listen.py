"""The command `listen`: its page in a browser, and what listeners chose on it."""

import json
import re
import shutil

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.gallery.ballots import Answer, tally_rows
from auralflow_pl.gallery.excerpts import EXCERPT_RATE, measure_loudness
from auralflow_pl.gallery.recordings import FileRecording, loudest_start
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.report.spectrograms import decode_sound
from support import untrained
from support.browser import browser, messages, requests, wait_for

RATE = 44100
SONGS = ("one", "two </script><b>bad")
LEVELS = {"quiet": (0.5, 0.1), "bleeding": (1.0, 0.5)}  # gain and share of the drums, by model


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """True stems and mixtures of two songs, and two models: one is softer, one lets drums in."""
    root, draw = tmp_path_factory.mktemp("music"), np.random.default_rng(0)
    for song in SONGS:
        time_ = np.arange(4 * RATE) / RATE
        loud = np.where(time_ < 2, 0.05, 0.3)  # the vocals are loudest at the end
        vocals = loud * np.sin(2 * np.pi * 330 * time_ + 3 * np.sin(2 * np.pi * 5 * time_))
        drums = 0.1 * draw.normal(size=time_.shape) * (time_ % 0.5 < 0.1)
        sounds = {"vocals": vocals, "drums": drums, "mixture": vocals + drums}
        places = {root / "truth" / song / f"{name}.wav": s for name, s in sounds.items()}
        for model, (gain, leak) in LEVELS.items():
            places[root / model / song / "vocals.wav"] = gain * (vocals + leak * drums)
        for path, sound in places.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.stack([sound, 0.8 * sound], -1), RATE, "FLOAT")
    return root


@pytest.fixture
def listen(command, music, tmp_path, monkeypatch):
    """Run the command in an empty folder; short FLAC excerpts unless told otherwise."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, code=0):
        keys = ["seconds=1.5", "format=flac"]
        words = [str(word).format(music) for word in arguments]
        keys = [key for key in keys if not any(w.startswith(key[:6]) for w in words)]
        done = command("listen", *words, *keys)
        assert done.code == code, done.err
        return done

    return call


MODELS = ("{0}/quiet", "{0}/bleeding")


def page_data(page):
    """The data of a page."""
    text = page.read_text()
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


def test_sounds_have_one_place_one_loudness_and_their_scores(listen, tmp_path):
    done = listen(*MODELS, "truth={0}/truth")
    assert done.out.strip() == "listen.html"
    data = page_data(tmp_path / "listen.html")
    assert data["models"] == ["quiet", "bleeding"]
    assert [card["song"] for card in data["cards"]] == sorted(SONGS)
    for card in data["cards"]:
        assert (card["target"], card["seconds"]) == ("vocals", 1.5)
        assert 2.0 <= card["start"] <= 2.5
        rows = {row["key"]: row for row in card["sounds"]}
        heard = {key: decode_sound(data["sounds"][row["sound"]]) for key, row in rows.items()}
        for key, row in rows.items():
            assert measure_loudness(row["gain"] * heard[key]) == pytest.approx(
                card["lufs"], abs=0.1
            )
            assert (row["gain"] * heard[key]).abs().max() <= 1
        assert rows["truth"]["change"] == 0
        assert rows["model 0"]["change"] == pytest.approx(6.0, abs=0.1)
        for key in ("model 0", "model 1"):
            score = float(si_sdr(heard[key].flatten(), heard["truth"].flatten()))
            floor = float(si_sdr(heard["mixture"].flatten(), heard["truth"].flatten()))
            assert rows[key]["score"] == pytest.approx(score, abs=0.05)
            assert rows[key]["better"] == pytest.approx(score - floor, abs=0.05)


def test_the_page_plays_in_a_browser(listen, tmp_path):
    listen(*MODELS, "truth={0}/truth", "format=mp3")
    with browser(dark=True) as chrome:
        chrome.set_window_size(420, 900)
        chrome.get((tmp_path / "listen.html").as_uri())
        assert chrome.find_element("css selector", "h3").text == f"{SONGS[0]}: vocals"
        assert len(chrome.find_elements("css selector", "#table tbody tr")) == 3
        card = chrome.find_element("css selector", "article")
        play = card.find_element("css selector", ".play")
        play.send_keys("\ue007")
        first = wait_for(lambda: float(card.get_attribute("data-time")))
        play.send_keys("4")
        assert card.get_attribute("data-sound") == "model 1"
        gains = (
            "return Object.fromEntries(Object.entries(player.gains)"
            ".map(([k, g]) => [k, g.gain.value]))"
        )
        row = page_data(tmp_path / "listen.html")["cards"][0]["sounds"][3]
        wait_for(lambda: abs(chrome.execute_script(gains)["model 1"] - row["gain"]) < 0.01)
        assert chrome.execute_script(gains)["model 0"] < 0.1
        chrome.find_element("id", "match").click()
        wait_for(lambda: abs(chrome.execute_script(gains)["model 1"] - 1) < 0.01)
        wait_for(lambda: float(card.get_attribute("data-time")) != first)
        play.send_keys("\ue007")
        seek = card.find_element("css selector", ".seek")
        seek.send_keys("\ue010")  # End
        assert float(card.get_attribute("data-time")) == 1.5
        width = chrome.execute_script("return document.documentElement.scrollWidth")
        assert width <= chrome.execute_script("return innerWidth")
        names = "return [...document.querySelectorAll('button, input')].filter((n) => !n.hidden && "
        names += "!(n.textContent || n.ariaLabel || n.labels?.length)).length"
        assert chrome.execute_script(names) == 0
        assert (messages(chrome), requests(chrome)) == ([], [])


def test_blind_choices_are_saved_and_counted(listen, tmp_path):
    listen(*MODELS, "blind=true", "truth={0}/truth", "output=blind.html")
    with browser() as chrome:
        folder = {"behavior": "allow", "downloadPath": str(tmp_path)}
        chrome.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
        chrome.get((tmp_path / "blind.html").as_uri())

        def seen():
            return chrome.find_element("css selector", "body").text

        assert not re.search("quiet|bleeding|SI-SDR|volume", seen())
        assert chrome.find_elements("css selector", "img") == []
        for number, option in enumerate(("B", "no difference")):
            label = f"//article[{number + 1}]//label[normalize-space()='{option}']/input"
            chrome.find_element("xpath", label).click()
        chrome.find_element("css selector", ".comment").send_keys("3 clicks")
        assert "2 of 2 answered." in seen()
        chrome.refresh()
        assert "2 of 2 answered." in seen()
        assert chrome.find_element("css selector", ".comment").get_attribute("value") == "3 clicks"
        chrome.find_element("id", "save").click()
        saved = tmp_path / "choices.json"
        wait_for(saved.is_file)
        chrome.find_element("id", "reveal").click()
        assert {"quiet", "bleeding"} <= set(re.findall("quiet|bleeding", seen()))
        assert not chrome.find_element("css selector", "input[type=radio]").is_enabled()
        rows = chrome.find_elements("css selector", "#wins tbody tr")
        wins = {row.text.rsplit(" ", 1)[0]: row.text.rsplit(" ", 1)[1] for row in rows}
        assert (messages(chrome), requests(chrome)) == ([], [])
    chosen = json.loads(saved.read_text())["answers"]
    order = page_data(tmp_path / "blind.html")["cards"][0]["sounds"]
    best = [row["model"] for row in order if row["model"]][1]
    assert [answer["model"] for answer in chosen] == [best, None]
    assert wins == {"quiet": "0", "bleeding": "0", "no difference": "1"} | {best: "1"}
    lines = listen("choices=choices.json").out.splitlines()
    assert lines[0] == "vocals: 2 answers in 1 file, 2 songs, 1 without a difference"
    assert lines[2].split() == [best, "1", "100", "%", "3", "to", "100", "%", "1.000"]
    assert lines[-1] == f"comment on vocals of one: {best}: 3 clicks"


def test_the_order_follows_the_seed(listen, tmp_path):
    orders = {}
    for seed in range(4):
        listen(*MODELS, "blind=true", f"seed={seed}", "songs=1")
        (card,) = page_data(tmp_path / "listen.html")["cards"]
        orders[seed] = [row["model"] for row in card["sounds"]]
    assert len({tuple(order) for order in orders.values()}) == 2
    before = (tmp_path / "listen.html").read_bytes()
    listen(*MODELS, "blind=true", "seed=3", "songs=1")
    assert (tmp_path / "listen.html").read_bytes() == before


def test_a_model_sounds_as_its_separated_files(listen, command, music, tmp_path):
    ckpt = untrained(tmp_path / "vocals.ckpt")
    source = music / "truth" / SONGS[0] / "mixture.wav"
    shutil.copy(source, tmp_path / "song.wav")
    keys = ["input=song.wav", "separation.window_seconds=3", "engine=torch", "offset=1"]
    assert command("separate", f"ckpt={ckpt}", *keys[:3]).code == 0
    listen("vocals.ckpt", "separated", *keys)
    data = page_data(tmp_path / "listen.html")
    assert data["models"] == ["vocals.ckpt", "separated"]
    (card,) = data["cards"]
    mixture, model, files = (decode_sound(data["sounds"][row["sound"]]) for row in card["sounds"])
    assert si_sdr(model.flatten(), files.flatten()) > 50
    expected = FileRecording(source).read(1, 1.5).samples
    assert torch.allclose(mixture, expected, atol=2**-14)
    listen("separated", "offset=1")  # report.json names the mixture
    assert page_data(tmp_path / "listen.html")["cards"][0]["sounds"][0]["key"] == "mixture"
    with source.open("rb") as file:
        (tmp_path / "song.wav").write_bytes(file.read()[:-400])
    listen("separated", "offset=1")  # which is another one now
    assert [row["key"] for row in page_data(tmp_path / "listen.html")["cards"][0]["sounds"]] == [
        "model 0"
    ]


def test_a_run_is_heard_on_its_data_set(listen, run, songs, tmp_path):
    listen(run, "songs=1", "split=test", "engine=torch")
    tested = page_data(tmp_path / "listen.html")
    (card,) = tested["cards"]
    assert [row["key"] for row in card["sounds"]] == ["mixture", "truth", "model 0"]
    assert card["sounds"][2]["better"] is not None
    listen(run, "data=stem_folder", f"data.root={songs}", "songs=1", "engine=torch")
    validated = page_data(tmp_path / "listen.html")
    assert len(validated["sounds"]) == len(tested["sounds"]) == 3
    assert not {*validated["sounds"]} & {*tested["sounds"]}


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "missing required key: models; pass folders of stems"),
        (["nowhere"], "models=nowhere: no such file or folder; expected a folder of stems"),
        (["{0}/empty"], "holds no songs; expected <track>/<stem>.wav"),
        (["{0}/truth/one/mixture.wav"], "is a file; expected a folder of stems, a run or"),
        (["{0}/quiet", "{0}/quiet/"], "stands twice; expected different models"),
        (["{0}/quiet", "{0}/other"], "models: no song in common; found the songs: one, "),
        (["{0}/quiet", "target=bass"], "target=bass: not in all: quiet has vocals; pass others"),
        (["{0}/quiet", "target=[vocals,vocls]"], "target=vocals,vocls: not in all: quiet has"),
        (["{0}/quiet", "{0}/drums"], "no target in common: quiet has vocals; drums has drums"),
        (["{0}/quiet", "blind=true"], "blind=true: nothing to choose from"),
        (["{0}/quiet", "truth={0}/empty"], "empty: holds no songs; expected <track>/<stem>.wav"),
        (["{0}/quiet", "truth={0}/none"], "none: no such folder"),
        (["{0}/quiet", "truth={0}/truth", "input=x"], "truth, input: name the songs twice"),
        (["{0}/quiet", "seconds=0.5"], "seconds=0.5: expected 1 or more"),
        (["{0}/quiet", "offset=9"], "holds no samples after offset=9.0 s"),
        (["{0}/quiet", "format=wav"], "format=wav: expected one of mp3, flac"),
        (["{0}/quiet", "songs=0"], "songs=0: expected more than 0"),
        (["{0}/quiet", "max_mb=0.1"], "max_mb=0.1: the page has room for 1 of 2 songs; pass son"),
        (["{0}/quiet", "output={0}"], "is a folder; expected a file"),
        (["{0}/quiet", "output={0}/notes.txt"], "is there already and no page of `auralflow lis"),
        (["{0}/damaged"], "vocals.wav"),
        (["choices={0}/none.json"], "none.json: no such file"),
        (["choices={0}/notes.txt"], "notes.txt: not saved by a page of `auralflow listen"),
        (["{0}/quiet", "choices={0}/notes.txt"], "choices: are counted without models"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(listen, music, tmp_path, arguments, said):
    (music / "empty").mkdir(exist_ok=True)
    (music / "notes.txt").write_text("[1]")
    for folder, name in (("other", "three/vocals"), ("drums", "one/drums")):
        place = music / folder / f"{name}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(music / "quiet" / "one" / "vocals.wav", place)
    (music / "damaged" / "one").mkdir(parents=True, exist_ok=True)
    (music / "damaged" / "one" / "vocals.wav").write_bytes(b"RIFFnonsense")
    assert said in listen(*arguments, code=1).error
    assert list(tmp_path.iterdir()) == []
    assert (music / "notes.txt").read_text() == "[1]"


def write_ballot(path, models, chosen, **more):
    answers = [
        {"song": str(n), "target": "vocals", "model": model, "letter": "A", "comment": ""}
        for n, model in enumerate(chosen)
    ]
    saved = {"format": 1, "page": "x", "models": models, "answers": answers} | more
    path.write_text(json.dumps(saved))
    return path


def test_files_of_several_listeners_are_counted_together(listen, tmp_path):
    one = write_ballot(tmp_path / "a.json", ["x", "y"], ["x"] * 5 + [None])
    two = write_ballot(tmp_path / "b.json", ["y", "x"], ["x", "x", "y", None], revealed=True)
    content = json.loads(two.read_text())
    content["answers"][-1] |= {"open": True, "comment": "later"}
    two.write_text(json.dumps(content))
    lines = listen(f"choices=[{one},{two}]").out.splitlines()
    assert lines[0] == "vocals: 9 answers in 2 files, 6 songs, 1 without a difference"
    assert lines[2].split() == ["x", "7", "88", "%", "47", "to", "100", "%", "0.070"]
    assert lines[-2] == "comment on vocals of 3: not chosen: later"
    assert lines[-1].startswith("note: in some files the names were shown")
    other = write_ballot(tmp_path / "c.json", ["x", "z"], ["z"])
    assert "expected the same models" in listen(f"choices=[{one},{other}]", code=1).error
    copy = shutil.copy(one, tmp_path / "d.json")
    assert "the same as" in listen(f"choices=[{one},{copy}]", code=1).error
    bad = write_ballot(tmp_path / "e.json", ["x", "y"], ["z"])
    assert "not saved by a page" in listen(f"choices={bad}", code=1).error
    empty = write_ballot(tmp_path / "f.json", ["x", "y"], [])
    assert "nothing was chosen" in listen(f"choices={empty}", code=1).error


def test_the_tally_by_hand():
    def answers(**counts):
        return [Answer("s", "t", m, None, "") for m, n in counts.items() for _ in range(n)]

    first, second = tally_rows(answers(x=9, y=1), ["y", "x"])
    assert (first.model, first.wins, first.decided, first.share) == ("x", 9, 10, 0.9)
    assert first.p_value == pytest.approx(2 * 11 / 1024)  # of 10 tosses, 0 or 1, either way
    assert second.low == pytest.approx(1 - 0.975 ** (1 / 10))  # Clopper and Pearson, one success
    assert tally_rows(answers(a=3), ["a", "b", "c"])[0].p_value == pytest.approx(1 / 27)
    assert tally_rows([], ["a"])[0].share is None


def test_the_loudest_place():
    assert loudest_start([0, 0, 1, 5, 1, 0, 5], 0.3) == 0.2
    assert loudest_start([1] * 5, 0.5) == 0.0
    assert loudest_start([], 1) == 0.0
    assert EXCERPT_RATE == 44100
