"""Sound in the wrong stem is found by a trained model, second by second."""

from dataclasses import replace

import pytest
import soundfile

from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.spans import MarkedSpans
from auralflow_pl.evaluation.foreign_sound import foreign_spans, marked
from auralflow_pl.pretrained.locations import SMALL_MODEL
from auralflow_pl.separator.load import load_separator

RATE, STEMS = 44100, ("vocals", "drums")


@pytest.fixture(scope="module")
def tracks(songs, tmp_path_factory):
    """Four seconds of a song; a copy in which the stems are exchanged from second 2 on."""
    root = tmp_path_factory.mktemp("foreign")
    sounds = [soundfile.read(next((songs / "train").glob(f"*/{stem}.wav")))[0] for stem in STEMS]
    right = [sound[RATE : 5 * RATE] for sound in sounds]
    wrong = [right[n].copy() for n in range(2)]
    for n in range(2):
        wrong[n][2 * RATE :] = right[1 - n][2 * RATE :]
    for name, stems in (("right", right), ("wrong", wrong)):
        (root / "train" / name).mkdir(parents=True)
        for stem, sound in zip(STEMS, stems, strict=True):
            soundfile.write(root / "train" / name / f"{stem}.wav", sound, RATE)
    return StemFolder(root, STEMS).tracks("train")


def test_exchanged_stems_are_found(command, tracks, tmp_path):
    keys = [
        f"data.root={tracks[0].root}",
        "data.stems=[vocals,drums]",
        f"ckpt={SMALL_MODEL}",
    ]
    done = command("doctor", "data=stem_folder", *keys, f"output={tmp_path}/out", "draws=0")
    assert "train/wrong/drums" in done.out
    spans = MarkedSpans.read(tmp_path / "out/spans.csv")
    spans.check(tracks)
    assert set(spans.found) == {("wrong", "vocals"), ("wrong", "drums")}
    assert all(2 <= span.start < span.end <= 4 for found in spans.found.values() for span in found)
    right, wrong = tracks
    assert spans.weight(right, STEMS, 0, right.frames) == 1
    assert spans.weight(wrong, STEMS, 0, wrong.frames) == 0


def test_targets_that_a_track_may_hide_are_not_used(tracks):
    hidden = replace(tracks[1], stems=("drums",), files=tracks[1].files[1:])
    assert list(foreign_spans(hidden, load_separator(), -6.0)) == []  # vocals may be in drums


def test_seconds_in_a_row_are_one_span(tracks):
    heard, foreign = [1.0, 1.0, 1e-9, 1.0], [0.5, 0.5, 1e-9, 0.1]
    (span,) = marked(tracks[0], "drums", (heard, foreign), -6.0)
    assert (span.start, span.end, span.level_db, span.check) == (0.0, 2.0, -3.0, "bleed")
    assert len(list(marked(tracks[0], "drums", (heard, foreign), -20.0))) == 2
    assert list(marked(tracks[0], "drums", (heard, [0.0] * 4), -20.0)) == []
