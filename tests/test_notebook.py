"""The notebook, executed as it is, with a network and songs that are small."""

import json

import nbformat
import pytest
from nbclient import NotebookClient

from support import REPOSITORY, TINY

PATH = REPOSITORY / "notebooks" / "quickstart.ipynb"


@pytest.mark.filterwarnings("ignore")  # of the kernel's own packages
def test_the_notebook_runs_from_training_to_listening(songs, tmp_path):
    notebook = nbformat.read(PATH, 4)
    place = next(
        n for n, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", ())
    )
    values = {"KEYS": [*TINY, "precision=fp32"], "DATA": str(songs)}
    small = "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(small))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    text = "".join(output.get("text", "") for output in outputs)
    kinds = [kind for output in outputs for kind in output.get("data", ())]
    assert "best validation score" in text
    assert "SI-SDR" in text
    assert "eval.csv" in text
    assert (tmp_path / "runs" / "quickstart" / "checkpoints" / "best.ckpt").is_file()
    sounds = [
        output for output in outputs if "audio" in output.get("data", {}).get("text/html", "")
    ]
    assert len(sounds) == 5
    assert "image/png" in kinds


def test_the_notebook_is_kept_without_outputs():
    cells = [c for c in nbformat.read(PATH, 4).cells if c.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
