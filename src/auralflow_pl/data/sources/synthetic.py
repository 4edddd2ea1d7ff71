"""The synthetic data set: songs that are synthesised once and kept in the layout of MUSDB18-HQ."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import soundfile
from filelock import FileLock

from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.synthesis.score import STEM_NAMES
from auralflow_pl.data.synthesis.song import render_song
from auralflow_pl.data.synthesis.tones import SONG_RATE
from auralflow_pl.data.tracks import SPLIT_NAMES
from auralflow_pl.errors import InputError
from auralflow_pl.system.files import read_json, write_json
from auralflow_pl.system.folders import visible
from auralflow_pl.system.processes import worker_pool
from auralflow_pl.system.progress import Progress
from auralflow_pl.system.staging import new_folder

SONGS_LOCK_FILE = ".lock"

RECIPE_FILE = "synthetic.json"  # parameters with which a folder was generated

SONGS_VERSION = 1  # version of the synthesis; increase it with every change of the sound


class SyntheticSongs(StemFolder):
    """Synthetic songs, rendered to `root` on first use.

    Song `i` of a split depends only on `(seed, split, i)` and `seconds`.

    Args:
        root: folder of the songs.
        train_tracks: number of songs for training.
        valid_tracks: number of songs for validation.
        test_tracks: number of songs for the test.
        seconds: length of each song in seconds.
        seed: seed of the songs; independent of the seed of the training.
        workers: number of processes that render, 1: none but this one; None: one for each core.
        max_tracks: use only the first tracks of each split.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self,
        root: str | Path,
        train_tracks: int = 48,
        valid_tracks: int = 4,
        test_tracks: int = 8,
        seconds: float = 15.0,
        seed: int = 0,
        workers: int | None = None,
        max_tracks: int | None = None,
    ) -> None:
        super().__init__(root, STEM_NAMES, max_tracks)
        self.root = Path(root)
        counts = dict(zip(SPLIT_NAMES, (train_tracks, valid_tracks, test_tracks), strict=True))
        if seconds < 1 or min(counts.values()) < 0 or sum(counts.values()) == 0 or seed < 0:
            raise InputError(
                f"synthetic songs: tracks={counts}, seconds={seconds}, seed={seed}: expected at "
                "least one track of at least 1 second, and a seed >= 0"
            )
        self.recipe = {"version": SONGS_VERSION, "seed": seed, "seconds": float(seconds), **counts}
        self.workers = workers or os.cpu_count() or 1

    def prepare(self) -> None:
        """Render the missing songs, with a progress bar; a lock admits one process at a time.

        Raises:
            InputError: `root` holds other files, or songs with other parameters.
        """
        self.check_root()
        if not self.missing():
            return
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / SONGS_LOCK_FILE):
            self.check_root()
            if jobs := self.missing():
                self.render(jobs)

    def missing(self) -> list[tuple[tuple[int, int, int], str, str]]:
        """Seed, split and name of the songs that do not exist."""
        return [job for job in self.jobs() if not (self.root / job[1] / job[2]).is_dir()]

    def render(self, jobs: Sequence[tuple[tuple[int, int, int], str, str]]) -> None:
        """Render songs in parallel, or in this process if that is the only one."""
        write_json(self.root / RECIPE_FILE, self.recipe)
        render = partial(write_song, self.root, seconds=float(self.recipe["seconds"]))
        with ExitStack() as stack:
            several = self.workers > 1
            apply = stack.enter_context(worker_pool(self.workers)).map if several else map
            list(Progress(apply(render, jobs), "synthetic songs", len(jobs), unit="song"))

    def jobs(self) -> Iterator[tuple[tuple[int, int, int], str, str]]:
        """Yield seed, split and name of every song."""
        for number, split in enumerate(SPLIT_NAMES):
            for index in range(int(self.recipe[split])):
                yield (int(self.recipe["seed"]), number, index), split, f"song{index:03d}"

    def check_root(self) -> None:
        """Raise InputError unless `root` is new, empty, or holds songs with these parameters."""
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"data.root={self.root}: is a file, expected a folder")
        recipe = self.root / RECIPE_FILE
        if recipe.is_file():
            found = read_json(recipe)
            found = found if isinstance(found, dict) else {}
            if found != self.recipe:
                different = sorted(k for k in self.recipe if found.get(k) != self.recipe[k])
                raise InputError(
                    f"data.root={self.root}: holds synthetic songs of another recipe "
                    f"({', '.join(different)} differ); choose another data.root or remove it"
                )
        elif visible(self.root) and not recipe.is_file():  # which another process may write
            raise InputError(
                f"data.root={self.root}: is not empty and was not generated; choose another "
                "folder, or data=stem_folder to read it"
            )


def write_song(root: Path, job: tuple[tuple[int, int, int], str, str], seconds: float) -> None:
    """Render one song and write its five WAV files; the folder appears when it is complete."""
    seed, split, name = job
    with new_folder(root / split / name) as part:
        for stem, pcm in render_song(seed, seconds).items():
            soundfile.write(part / f"{stem}.wav", pcm, SONG_RATE, "PCM_16")
