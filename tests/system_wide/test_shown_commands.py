"""Command lines of the documentation are run as they are shown, on tiny songs and models.

`support/shown.py` finds them on all pages. The keys of those in `NOT_RUN` are composed
(`test_documentation.py`).
"""

import os
import re
import signal
import sys
from pathlib import Path

import pytest
import requests

from auralflow_pl.cli import main as cli
from auralflow_pl.cli.table import TOOL_TEXTS
from support import REPOSITORY, TINY, ended, first_line, fitting, forked, script
from support.hub import TOKEN, Hub
from support.shown import OF_OTHER_TOOLS, has_words, pages, shown_commands
from support.shown_files import furnish

PROCESSES = "starts processes that take half a minute (tests/system/test_processes.py does)"
SELF_CHECK = "starts processes for 20 seconds (test_selfcheck.py runs it with these keys)"
CLUSTER = "needs a cluster (test_machines.py runs what one machine can)"
SCRIPT_OF_GPU = "for a machine with a GPU (test_gpu_scripts.py runs it with tiny settings)"

# Words whose lines are not run here, with the reason.
NOT_RUN = {
    "logger=[tensorboard,wandb]": "W&B changes its process (test_media.py makes an offline run)",
    **dict.fromkeys(OF_OTHER_TOOLS, "another tool's command"),
    "trainer.devices=2": PROCESSES,
    "selfcheck resume": SELF_CHECK,
    "trainer.num_nodes=2": "needs two machines",
    "hydra/launcher=submitit_slurm": CLUSTER,
    "hydra/launcher=ray": CLUSTER,
    "sound_device=default": "needs a sound device (test_live.py has a replacement)",
    "mypkg/mypkg/configs": "needs the package that test_extending.py makes, where it is run",
    "model=two_layers": "needs the package that test_extending.py makes",
    "scripts/gpu/pack.py": SCRIPT_OF_GPU,
    "scripts/gpu/check.py": SCRIPT_OF_GPU,
    "scripts/gpu/bench.py": SCRIPT_OF_GPU,
    "scripts/gpu/train.py": SCRIPT_OF_GPU,
    "scripts/bench_dirty_labels.py": "trains for hours (test_scripts.py runs its parts)",
}

# Words that stand for something of the reader, and what they are here.
MEANT = {
    "ckpt=...": "ckpt=runs/mine",
    "ckpt=runs/...": "ckpt=runs/mine",
    "ckpt=umxhq/vocals-b62c91ce.pth": "ckpt=umxhq/vocals.pth",  # the digest is that of the weights
    "ckpt=vocals-b62c91ce.pth": "ckpt=vocals.pth",
    "ckpt=downloads/vocals-b62c91ce.pth": "ckpt=downloads/vocals.pth",
    "resume=...": "resume=runs/mine/checkpoints/last.ckpt",
    "data.root=...": "data.root=musdb",
    "data.root=/data/musdb18": "data.root=musdb",
    "data.root=/data/musdb18hq": "data.root=musdb",
    "data.root=path/to/musdb18": "data.root=musdb",
    "data.root=path/to/dataset": "data.root=musdb",
    "data.root=/data/songs": "data.root=songs",
    "data.root=/dataset": "data.root=songs",
    "data.root=/data": "data.root=songs",
    "truth=songs/": "truth=songs/test/",  # the others need folders train, valid and test
    "model=simple,lstm": "model=simple,mixing",  # which the keys of a tiny training make small
    "model=simple,lstm,vae": "model=simple,mixing",
    "model=choice(simple,lstm)": "model=choice(simple,mixing)",
    "input=songs/": "input=songs/test/song000/mixture.wav",
    "input=path/to/audio": "input=album",
    "input=/catalogue": "input=album",
    "offset=30": "offset=0.3",
    "duration=20": "duration=0.2",
    "url=s3://bucket/songs": "url=bucket/new",
    "data.url=s3://bucket/songs": "data.url=bucket/songs",
    "runs/lora-*": "runs/lora-0",
}
MEANT_BY_UNALIGNED = {"data.root=/data": "data.root=loose", "data.songs=songs": "data.songs=noisy"}

SMALL = {  # what makes lines small, if they have these keys already
    "data.chunks_per_epoch": 6,
    "data.batch_size": 2,
    "trainer.max_epochs": 1,
    "trainer.check_val_every_n_epoch": 1,
    "hydra.sweeper.n_trials": 1,
    "tracks": 3,
    "seconds": 2,
    "seeds": 2,
}


def meant(words: list[str]) -> list[str]:
    """A line with what its words stand for."""
    known = MEANT | (MEANT_BY_UNALIGNED if "data=unaligned" in words else {})
    return [known.get(word, word) for word in words]


def reason(text: str) -> str | None:
    """Why a line is not run."""
    return next((why for words, why in NOT_RUN.items() if has_words(text, words)), None)


SHOWN = [words for page in pages() for words in shown_commands(page.read_text())]
LINES = {" ".join(words): words for words in map(meant, SHOWN)}  # each once
RUN = [text for text in LINES if reason(text) is None]


def test_every_reason_is_that_of_a_line():
    assert not [words for words in NOT_RUN if not any(has_words(text, words) for text in LINES)]


def test_every_word_that_is_replaced_is_in_a_line():
    words = {word for line in SHOWN for word in line}
    assert not {*MEANT, *MEANT_BY_UNALIGNED} - words


@pytest.fixture(scope="module")
def place(songs, run, excerpt, tmp_path_factory):
    """A folder with all that the lines name."""
    folder = tmp_path_factory.mktemp("reader")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AURALFLOW_CACHE", str(folder / "cache"))
        furnish(folder, songs, run, excerpt)
    return folder


@pytest.fixture
def reader(place, monkeypatch):
    """A reader in that folder, whose registry, cache and Hugging Face Hub are there."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("AURALFLOW_REGISTRY", "registry")
    monkeypatch.setenv("AURALFLOW_CACHE", str(place / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "config"))
    monkeypatch.setenv("HF_HOME", str(place / "hub"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.base)
        yield


def tiny(words: list[str], songs: Path, number: int) -> list[str]:
    """A line with what makes it small, and with a place of its own for what it writes."""
    words = [f"{key}={SMALL[key]}" if (key := w.partition("=")[0]) in SMALL else w for w in words]
    if "--save" in words:
        words[words.index("--save") + 1] = f"made/{number}.yaml"
    if words[0] == "train":
        return training(words, songs, number)
    if words[0] == "scripts/make_synthetic.py":
        return [*words, "workers=1"]
    if words[0] == "listen" and not words[1].startswith("choices="):
        return [*words, f"output=made/{number}.html"]
    if words[0] in ("separate", "evaluate") and re.search("[24]stems|umx", " ".join(words)):
        words.append("engine=torch")  # no graph is made of models that are in few lines
    if words[0] == "evaluate" and words[1:] != ["ckpt=runs/mine"]:
        return [*words, "references=[]", "report=false"]
    if words[0] in ("separate", "doctor", "publish", "combine"):
        return [*(word for word in words if "output=" not in word), f"output=made/{number}"]
    return words


def training(words: list[str], songs: Path, number: int) -> list[str]:
    """A tiny training in a run folder of its own."""
    options = [word for word in words if re.match("(model|data|experiment)=", word)]
    options = [re.sub(r"choice\(|,.*", "", word) for word in options]  # the first of several
    small = [*TINY, "val_chunks=1", "model.bottleneck.hidden_size=2", "model.hidden_size=8"]
    if not any(word.startswith("data=") for word in words):
        small.append(f"data.root={songs}")
    if "--config-name" in words:
        options = ["model=vae"]
        small.remove("logger=none")  # a group
    if "experiment=spleeter" in words:  # of the size of the weights that it may begin with
        small = [word for word in small if word != "model.levels=3"] + ["model.width=1"]
        small.append("data.chunks_per_epoch=2")
    if any(word.startswith("init=pretrained:mixing") for word in words):
        small = [word for word in small if not word.startswith("model.")]
    if any(word.startswith("seeds=") for word in words):
        small.append("data.max_tracks=1")
    if "sweep=optuna" in words:
        small.append("hydra.sweeper.n_trials=1")
    if not any(word.startswith("resume=") for word in words):
        words = [word for word in words if not word.startswith("paths.run_dir=")]
        small.append(f"paths.run_dir=runs/{number}")
    given = {word.partition("=")[0] for word in words}
    small = [word for word in fitting(*options, *small) if word not in options]
    return words + [word for word in small if word.partition("=")[0] not in given]


SERVERS = ("serve", "demo")


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("text", [t for t in RUN if LINES[t][0] not in (*SERVERS, "live")])
def test_a_shown_line_runs(command, reader, songs, text):
    name, *words = tiny(LINES[text], songs, RUN.index(text))
    if name in TOOL_TEXTS:
        cli.show_help(name, words)
    elif name.endswith(".py"):
        code, output = script(REPOSITORY / name, *words)
        assert code == 0, output
    else:
        done = command(name, *words)
        assert done.code == 0, done.err


@pytest.mark.parametrize("text", [t for t in RUN if LINES[t][0] in SERVERS])
def test_a_shown_server_answers(reader, text):
    name, *words = LINES[text]

    def work() -> None:
        sys.argv = [name, *words, "port=0"]
        cli.run(name)

    child, read = forked(work)
    status, line = None, "started"
    while line and not line.startswith("http://127.0.0.1:"):
        line = first_line(read)
    if line:
        page = line.split()[0] + ("health" if name == "serve" else "")
        status = requests.get(page, timeout=60).status_code
        os.kill(child, signal.SIGINT)
    code, output = ended(child, read)
    assert (status, code) == (200, 0), output


@pytest.mark.parametrize("text", [t for t in RUN if LINES[t][0] == "live"])
def test_a_shown_pipe_is_separated(place, reader, text):
    name, *words = LINES[text]

    def work() -> None:
        os.dup2(os.open("song.wav", os.O_RDONLY), 0)
        os.dup2(os.open("heard.wav", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.argv = [name, *words]
        cli.run(name)

    code, output = ended(*forked(work))
    assert code == 0, output
    assert (place / "heard.wav").stat().st_size >= (place / "song.wav").stat().st_size
