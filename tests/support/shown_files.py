"""A folder with all that the command lines of the documentation name, as small as it can be."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import soundfile
import torch
from openunmix.model import OpenUnmix

from auralflow_pl.cli import main as cli
from auralflow_pl.commands.evaluate import evaluate
from auralflow_pl.commands.model_files.combine import combine
from auralflow_pl.commands.model_files.publish import publish
from auralflow_pl.pretrained.cache import fetch_model
from auralflow_pl.pretrained.registry import read_registries
from support import REPOSITORY, composed, script, untrained
from support.spleeter_files import (
    random_arrays,
    tensorflow_tensors,
    write_array_folder,
    write_bundle,
)

RATE = 44100

ALIASES = {"kick": "drums", "snare": "bass", "guitar": "other", "voice": "vocals"}

RECORDINGS = (
    "song.wav",
    "new_song.mp3",
    "audio_example.mp3",
    "input_file.wav",
    "myfile.mp3",
    "a.mp3",
    "b.mp3",
    "my music/my favorite track.mp3",
)

RUNS = ("mine", "a", "b", "x", "voice", "live", "lora-0", "lora-1")

PUBLISHED = {  # models of registries, and what is published under their names here
    "vae-vocals": "clean.ckpt",
    "simple-vocals": "lead.ckpt",
    "causal-vocals": "live.ckpt",
    "spleeter-2stems": "2stems",
    "umxhq": "umxhq",
}


def furnish(place: Path, songs: Path, run: Path, excerpt: Path) -> None:
    """Make all files in an empty folder.

    Args:
        place: the empty folder.
        songs: songs with folders train, valid and test.
        run: a run folder of a tiny network.
        excerpt: a stem file of MUSDB18.
    """
    make_songs(place, songs, excerpt)
    make_models(place, songs, run)
    make_registry(place)
    make_evaluations(place)
    make_settings(place)


def make_songs(place: Path, songs: Path, excerpt: Path) -> None:
    """Recordings, and songs in the layouts of several data sets."""
    (place / "album").mkdir()
    song = np.random.default_rng(0).uniform(-0.2, 0.2, (RATE, 2))
    soundfile.write(place / "album" / "one.flac", song, RATE)
    soundfile.write(place / "song.mp3", song, RATE)
    for name in RECORDINGS:
        (place / name).parent.mkdir(exist_ok=True)
        soundfile.write(place / name, song, RATE)
    for split in ("train", "valid", "test"):
        shutil.copytree(songs / split, place / "songs" / split)
    for track in (place / "songs").glob("*/*"):
        for alias, stem in ALIASES.items():
            (track / f"{alias}.wav").symlink_to(f"{stem}.wav")
        noisy = place / "noisy" / track.relative_to(place / "songs")
        noisy.mkdir(parents=True)
        for name, stem in {"vocals": "vocals", "car_noise": "other", "wind_noise": "bass"}.items():
            (noisy / f"{name}.wav").symlink_to(track / f"{stem}.wav")
            (place / "loose" / name).mkdir(parents=True, exist_ok=True)
            if track.parent.name == "train":
                loose = place / "loose" / name / f"{track.name}.wav"
                loose.symlink_to(track / f"{stem}.wav")
    (place / "five").mkdir()
    for split in ("train", "test"):
        name = "valid" if split == "test" else split  # two songs
        (place / "five" / name).symlink_to(place / "songs" / split)
    tracks = sorted((place / "songs" / "train").iterdir())
    names = {"train": ("A - Song", "ANiMAL - Rockshow"), "test": ("C - Song",)}
    for split, titles in names.items():
        for title, track in zip(titles, tracks, strict=False):
            (place / "musdb" / split).mkdir(parents=True, exist_ok=True)
            (place / "musdb" / split / title).symlink_to(track)
            shutil.copy(excerpt, place / "musdb" / split / f"{title}.stem.mp4")
    keys = [f"url={place / 'bucket' / 'songs'}", f"data=[data=stem_folder,data.root={songs}]"]
    code, text = script(REPOSITORY / "scripts" / "make_shards.py", *keys)
    assert code == 0, text


def make_models(place: Path, songs: Path, run: Path) -> None:
    """Run folders, and model files of this project and of others."""
    for name in RUNS:
        shutil.copytree(run, place / "runs" / name)
    best = {name: place / "runs" / name / "checkpoints" / "best.ckpt" for name in ("b", "voice")}
    untrained(best["b"], f"data.root={songs}")
    keys = [f"data.stems=[{','.join(ALIASES)}]", "target=voice", f"data.root={place / 'songs'}"]
    untrained(best["voice"], "data=stem_folder", *keys)
    for name, keys in {
        "lead": [],
        "clean": [],
        "rhythm": ["target=[drums,bass]"],
        "best": [],
        "live": ["model=causal", "audio.channels=2"],
    }.items():
        untrained(place / f"{name}.ckpt", *keys)
    shutil.copy(place / "live.ckpt", place / "runs" / "live" / "checkpoints" / "best.ckpt")
    write_array_folder(place / "2stems")
    write_bundle(place / "4stems", tensorflow_tensors([random_arrays(seed) for seed in range(4)]))
    for folder in ("umxhq", "downloads"):
        (place / folder).mkdir()
    for target in ("vocals", "drums", "bass", "other"):
        weights = OpenUnmix(2049, 2, 4, max_bin=90).state_dict()
        path = place / "umxhq" / f"{target}.pth"
        torch.save({**weights, "sample_rate": torch.tensor(float(RATE))}, path)
    for folder in ("", "downloads"):
        shutil.copy(place / "umxhq" / "vocals.pth", place / folder)


def make_registry(place: Path) -> None:
    """Registry entries with the names of larger models, an ensemble, and a zip file."""
    for name, ckpt in PUBLISHED.items():
        kind = f"architecture={name.partition('-')[0]}"
        keys = [f"ckpt={place / ckpt}", f"name={name}", "licence=MIT", kind]
        publish(composed("publish", *keys, f"output={place / 'registry'}"))
    fetch_model(read_registries(str(place / "registry"))["vae-vocals"])  # into the cache
    (place / "shared").mkdir()
    shutil.copy(place / "registry" / "simple-vocals.zip", place / "shared" / "drums.zip")
    keys = [f"ckpt=[{place / 'lead.ckpt'},{place / 'clean.ckpt'}]"]
    combine(composed("combine", *keys, f"output={place / 'ensemble'}"))


def make_evaluations(place: Path) -> None:
    """Evaluated runs, stems of tools, and what listeners chose."""
    for name in ("a", "b"):
        keys = [f"ckpt={place / 'runs' / name}", "references=[]", "report=false"]
        evaluate(composed("evaluate", *keys))
        seeds = [f"{name}{number}" for number in range(3)]
        other = {"a": "vae", "b": "lstm"}[name]
        for copy in (*seeds, f"run{name.upper()}", f"runs/{other}", f"runs/two/{name}"):
            shutil.copytree(place / "runs" / name, place / copy)
        for number, seed in enumerate(seeds):  # of a checkpoint of its own
            (table,) = (place / seed).rglob("eval.json")
            content = json.loads(table.read_text())
            content["settings"]["checkpoint"] = str(number) * 64
            table.write_text(json.dumps(content))
    for track in ("song000", "song001"):
        vocals = place / "songs" / "test" / track / "vocals.wav"
        for folder in ("stems/a", "stems/b", "stems", "separated"):
            (place / folder / track).mkdir(parents=True)
            shutil.copy(vocals, place / folder / track)
    estimate = place / "separated" / "htdemucs" / "C - Song"
    estimate.mkdir(parents=True)
    shutil.copy(place / "musdb" / "test" / "C - Song" / "vocals.wav", estimate)
    for model, listener in {"a": "anna", "b": "ben"}.items():
        answer = {"song": "song000", "target": "vocals", "letter": "A", "comment": ""}
        saved = {"format": 1, "page": "x", "models": ["a", "b"]}
        saved["answers"] = [answer | {"model": model}]
        (place / f"{listener}.json").write_text(json.dumps(saved))


def make_settings(place: Path) -> None:
    """YAML files of the reader, and a table of marked spans."""
    (place / "my" / "chain").mkdir(parents=True)
    page = (REPOSITORY / "docs" / "separation.md").read_text()
    (chain,) = re.findall(r"```yaml\n(# my/chain/band.yaml.*?)```", page, re.S)
    (place / "my" / "chain" / "band.yaml").write_text(chain)
    cli.show_help("config", ["model=vae", "--save", str(place / "my" / "vae.yaml")])
    (place / "doctor").mkdir()
    (place / "doctor" / "spans.csv").write_text("track,stem,start,end\nsong000,voice,1,2\n")
