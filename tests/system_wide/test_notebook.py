"""The notebooks, executed cell by cell, with networks and songs that are small."""

import base64
import io
import json
import os
import sys
import warnings

import numpy as np
import pytest
import soundfile
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from PIL import Image

from support import REPOSITORY, TINY, TINY_SET, ended, forked, untrained

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def code_cells(name):
    """The cells of a notebook that hold code."""
    cells = json.loads((REPOSITORY / "notebooks" / name).read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def execute(cells):
    """Run cells as a kernel does; the text that they print, and what they display."""
    warnings.simplefilter("default")
    sys.argv = sys.argv[:1]
    shell = InteractiveShell.instance()
    text, shown = "", []
    for cell in cells:
        with capture_output() as captured:
            result = shell.run_cell(cell, store_history=True)
        result.raise_error()
        text += captured.stdout
        shown += [output.data for output in captured.outputs]
        if result.result is not None:
            shown.append(shell.display_formatter.format(result.result, ["image/png"])[0])
    return text, shown


def encoded(content):
    """Bytes for JSON."""
    return base64.b64encode(content).decode()


def run_notebook(name, folder, first=None, code=0, **values):
    """Run a notebook in a fork, in a folder, with other values of its parameters.

    Args:
        name: file name of the notebook.
        folder: where it runs.
        first: number of its cells with code that are run; None: all.
        code: exit code of the process that is expected.
        **values: of the parameters.

    Returns:
        the text that it prints, the sounds of its players, and its pictures; or what was printed
        by a process that ended with another code than 0.
    """
    cells = []
    for cell in code_cells(name)[:first]:
        cells.append("".join(cell["source"]))
        if "parameters" in cell["metadata"].get("tags", ()):
            assert all(f"\n{key} = " in f"\n{cells[-1]}" for key in values)
            cells += [f"{key} = {json.dumps(value)}" for key, value in values.items()]

    def work():
        os.chdir(folder)
        (folder / "outputs.json").write_text(json.dumps(execute(cells), default=encoded))

    found, printed = ended(*forked(work))
    assert found == code, printed
    if code:
        return printed
    text, shown = json.loads((folder / "outputs.json").read_text())
    sounds = [heard(data["text/html"]) for data in shown if "text/html" in data]
    pictures = [base64.b64decode(data["image/png"]) for data in shown if "image/png" in data]
    return text, sounds, [Image.open(io.BytesIO(picture)) for picture in pictures]


def test_the_notebook_runs_from_training_to_listening(songs, tmp_path):
    keys = [*TINY, "precision=fp32"]
    text, sounds, (picture,) = run_notebook(
        "quickstart.ipynb", tmp_path, KEYS=keys, DATA=str(songs)
    )
    assert "best validation score" in text
    assert "SI-SDR" in text
    assert (tmp_path / "runs" / "quickstart" / "checkpoints" / "best.ckpt").is_file()
    assert [info.frames for info in sounds] == [6 * 44100] * 5
    assert picture.width > 500


def test_a_model_is_fine_tuned_on_five_songs(tmp_path):
    model = untrained(tmp_path / "model.ckpt")
    keys = [key for key in TINY if key not in TINY_SET]
    values = {"KEYS": [*keys, "lora.rank=1", "val_chunks=0"], "MODEL": str(model), "SECONDS": 6}
    text, sounds, (picture,) = run_notebook("fine_tune.ipynb", tmp_path, **values)
    assert "best validation score" in text
    assert len(list((tmp_path / "data" / "five").glob("*/*/vocals.wav"))) == 5
    run = tmp_path / "runs" / "fine-tuned"
    scores = [(run / part / "eval.csv").read_text() for part in ("before", "after")]
    assert scores[0] != scores[1]
    assert [info.frames for info in sounds] == [6 * 44100] * 4
    assert picture.width > 500


@pytest.mark.parametrize("names", [("Stimme (füllig)", "Klavier, Bass"), ("vocals", "mixture")])
def test_the_stems_of_own_songs_are_read_from_their_folders(tmp_path, names):
    for number in range(5):
        for name in names:
            place = tmp_path / "songs" / f"Lied {number}" / f"{name}.wav"
            place.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(number).normal(0, 0.1, (44100, 2))
            soundfile.write(place, noise * (1 + (name == "mixture")), 44100)
    model = untrained(tmp_path / "model.ckpt")
    keys = {"MODEL": str(model), "VOCALS": names[0]}
    text, *_ = run_notebook("fine_tune.ipynb", tmp_path, first=4, **keys)
    stems = "Klavier, Bass, Stimme (füllig)" if "mixture" not in names else "vocals, rest"
    assert f"stems: {stems}\n" in text
    assert "vocals" in (tmp_path / "runs" / "fine-tuned" / "before" / "eval.csv").read_text()
    printed = run_notebook("fine_tune.ipynb", tmp_path, first=3, code=1, VOCALS="voice")
    assert ": write that of the voice into VOCALS" in printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_outside_of_a_checkout_asks_for_the_address(path):
    """The first cell installs from a variable at its top, which has no address yet."""
    first = "".join(code_cells(path.name)[0]["source"])
    assert 'REPOSITORY = ""' in first
    told = first.replace("    %pip install --quiet {SOURCE}", "    print(SOURCE)")
    told = told.replace('find_spec("auralflow_pl")', 'find_spec("not_installed")')
    with pytest.raises(SystemExit, match="write the address of the repository"):
        exec(told.replace("../pyproject.toml", "nowhere.toml"), {})
    exec(told.replace('REPOSITORY = ""', 'REPOSITORY = "https://example.org/a"'), {})


def heard(player):
    """What a player of IPython plays."""
    return soundfile.info(io.BytesIO(base64.b64decode(player.split("base64,")[1].split('"')[0])))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code_cells(path.name))
