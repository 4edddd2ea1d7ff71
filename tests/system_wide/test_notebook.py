"""The notebook, executed cell by cell, with a network and songs that are small."""

import base64
import io
import json
import os
import sys
import warnings

import soundfile
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from PIL import Image

from support import REPOSITORY, TINY, ended, forked

PATH = REPOSITORY / "notebooks" / "quickstart.ipynb"


def code_cells():
    """The cells that hold code."""
    return [c for c in json.loads(PATH.read_text())["cells"] if c["cell_type"] == "code"]


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


def test_the_notebook_runs_from_training_to_listening(songs, tmp_path):
    cells = []
    for cell in code_cells():
        cells.append("".join(cell["source"]))
        if "parameters" in cell["metadata"].get("tags", ()):
            values = {"KEYS": [*TINY, "precision=fp32"], "DATA": str(songs)}
            cells += [f"{name} = {json.dumps(value)}" for name, value in values.items()]

    def work():
        os.chdir(tmp_path)
        (tmp_path / "outputs.json").write_text(json.dumps(execute(cells), default=encoded))

    code, printed = ended(*forked(work))
    assert code == 0, printed
    text, shown = json.loads((tmp_path / "outputs.json").read_text())
    assert "best validation score" in text
    assert "SI-SDR" in text
    assert (tmp_path / "runs" / "quickstart" / "checkpoints" / "best.ckpt").is_file()
    sounds = [heard(data["text/html"]) for data in shown if "text/html" in data]
    assert [info.frames for info in sounds] == [6 * 44100] * 5
    (picture,) = [data["image/png"] for data in shown if "image/png" in data]
    assert Image.open(io.BytesIO(base64.b64decode(picture))).width > 500


def heard(player):
    """What a player of IPython plays."""
    return soundfile.info(io.BytesIO(base64.b64decode(player.split("base64,")[1].split('"')[0])))


def test_the_notebook_is_kept_without_outputs():
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code_cells())
