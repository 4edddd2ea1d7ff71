"""MUSDB18 (Rafii et al., 2017): 150 songs in four stems, as stem files or as WAV (MUSDB18-HQ)."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import yaml
from torch import Tensor

from auralflow_pl.audio.ffmpeg import reason_of
from auralflow_pl.audio.reading import read_streams
from auralflow_pl.checks.values import one_of
from auralflow_pl.data.sources.stem_folder import StemFolder, subfolders
from auralflow_pl.data.tracks import (
    REST,
    SPLIT_NAMES,
    NoTracksError,
    RestTrack,
    Track,
    TrackSound,
    TrackSource,
)
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.signal.resampling import match_length
from auralflow_pl.system.files import check_file

STREAM_NAMES = ("mixture", "drums", "bass", "other", "vocals")  # order in the stem files

STEM_SUFFIX = ".stem.mp4"

NO_VALIDATION_TRACKS = (
    "train/ has none of the 14 songs that MUSDB18 sets apart for validation: add them, or pass "
    "data=stem_folder with all songs as folders, train/<track>/<stem>.wav and "
    "valid/<track>/<stem>.wav"
)


@dataclass(frozen=True)
class MusdbSettings:
    """What the musdb package says of the data set.

    Attributes:
        validation_tracks: names of the training songs that are for validation.
        sample_url: address of the excerpts.
    """

    validation_tracks: frozenset[str]
    sample_url: str


@cache
def musdb_settings() -> MusdbSettings:
    """Read the file of the package; importing it would need an ffmpeg program.

    Raises:
        InputError: musdb is missing, or its file is not as expected.
    """
    spec = importlib.util.find_spec("musdb")
    try:
        path = Path(spec.submodule_search_locations[0]) / "configs" / "mus.yaml"
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        return MusdbSettings(frozenset(settings["validation_tracks"]), settings["sample-url"])
    except (AttributeError, TypeError, KeyError, OSError, yaml.YAMLError) as error:
        raise InputError(
            "the musdb package is missing or its configs/mus.yaml has no validation_tracks and "
            f"sample-url ({reason_of(error)}); pip install 'musdb==0.4.3'"
        ) from error


@dataclass(frozen=True)
class StemFileTrack(Track):
    """A track in one container with five audio streams, which are decoded in one pass."""

    def planes(self) -> Iterator[Tensor]:
        """Stems and mixture, `(channels, time)` each."""
        streams = dict(zip(STREAM_NAMES, read_streams(self.files[0]), strict=True))
        return (
            match_length(streams[name].samples, self.frames) for name in (*self.stems, "mixture")
        )

    def read_stem(self, stem: str, start: int, frames: int) -> Tensor:
        """Read a part of one stem; slow without the pool, since the whole file is decoded."""
        return self.read_stems(start, frames)[self.stems.index(stem)]

    def read_stems(self, start: int, frames: int) -> Tensor:
        """Read a part of all stems; the whole file is decoded."""
        *stems, _ = self.planes()
        return torch.stack([stem[:, start : start + frames] for stem in stems])

    @property
    def is_published_otherwise(self) -> bool:
        """True: published scores are those of the samples that the musdb package gives."""
        return True

    def read_published(self) -> TrackSound:
        """Read the track as the musdb package does, in 16 bits; the total is the sum of stems."""
        sounds = {
            name: to_integers(match_length(stream.samples, self.frames))
            for name, stream in zip(STREAM_NAMES, read_streams(self.files[0]), strict=True)
        }
        stems = torch.stack([sounds[name] for name in self.stems])
        total = torch.stack([sounds[name] for name in STREAM_NAMES[1:]]).sum(0)
        return TrackSound(sounds["mixture"], stems, total)


def to_integers(samples: Tensor) -> Tensor:
    """Round and clip float samples to multiples of 2^-15, as ffmpeg does for 16 bits."""
    return (samples * 2**15).round().clamp(-(2**15), 2**15 - 1) / 2**15


class Musdb18(TrackSource):
    """The compressed edition of MUSDB18: `<root>/<train|test>/<track>.stem.mp4`.

    Args:
        root: folder of the data set.
        stems: stems to use, of vocals, drums, bass and other, in the order of the tensors; `rest`
            is the mixture minus those that are named.
        max_tracks: use only the first tracks (by name) of each split.
        download: download excerpts of seven seconds if `root` does not exist.

    Raises:
        InputError: an unknown stem.
    """

    def __init__(
        self,
        root: str | Path,
        stems: Sequence[str] = ("vocals", "drums", "bass", "other"),
        max_tracks: int | None = None,
        download: bool = False,
    ) -> None:
        known = (*STREAM_NAMES[1:], REST)
        for stem in stems:
            if stem not in known:
                raise InputError(f"data.stems={stem}: {did_you_mean(stem, known)}")
        self.root = Path(root)
        self.stems = tuple(stems)
        self.max_tracks = max_tracks
        self.download = download

    def prepare(self) -> None:
        """Download the excerpts if `download` is set and `root` does not exist."""
        if self.download and not self.root.exists():
            download_excerpts(self.root)

    def find(self, split: str) -> list[Path]:
        """Paths of the stem files of a split, sorted by name."""
        check_root(self.root, f"<train|test>/<track>{STEM_SUFFIX}")
        paths = official_split(
            self.root, split, lambda folder: sorted(folder.glob(f"[!.]*{STEM_SUFFIX}"))
        )
        if not paths:
            layout = f"expected <train|test>/<track>{STEM_SUFFIX}"
            raise NoTracksError(
                f"no {split} tracks in data.root={self.root}; "
                f"{NO_VALIDATION_TRACKS if split == 'valid' else layout}"
            )
        return paths[: self.max_tracks]

    def track(self, path: Path, split: str) -> Track:
        """Read sample rate and length of a track from the header of its container."""
        import av

        check_file(path)
        try:
            with av.open(str(path)) as container:
                streams = list(container.streams.audio)
                lengths = {round(s.duration * s.time_base * s.rate) for s in streams}
                formats = {(s.rate, s.channels) for s in streams}
        except (av.error.FFmpegError, AttributeError, TypeError) as error:
            raise InputError(f"{path}: not readable as audio ({reason_of(error)})") from error
        if len(streams) != len(STREAM_NAMES) or len(lengths) != 1 or len(formats) != 1:
            raise InputError(
                f"{path}: {len(streams)} audio streams of {len(lengths)} lengths, expected "
                f"{len(STREAM_NAMES)} of one: {', '.join(STREAM_NAMES)}"
            )
        ((rate, channels),) = formats
        name = path.name.removesuffix(STEM_SUFFIX)
        track = StemFileTrack(
            name,
            split,
            rate,
            lengths.pop(),
            channels,
            tuple(stem for stem in self.stems if stem != REST),
            has_mixture=True,
            files=(path,),
            root=self.root,
        )
        return RestTrack.of(track, self.stems) if REST in self.stems else track


class Musdb18HQ(StemFolder):
    """The uncompressed edition of MUSDB18: `<root>/<train|test>/<track>/<stem>.wav`."""

    def folders(self, root: Path, split: str) -> list[Path]:
        """Folders of the tracks of a split, sorted by name."""
        return official_split(root, split, subfolders)

    def remedy(self, split: str) -> str:
        """What a data set without tracks of a split lacks, for messages."""
        if split != "valid":
            return self.layout(split)
        return NO_VALIDATION_TRACKS

    def layout(self, split: str) -> str:
        """Description of the expected layout, for messages."""
        folder = "test" if split == "test" else "train"
        return f"expected {folder}/<track>/{{{','.join(self.stems)}}}.wav"


def official_split(root: Path, split: str, find: Callable[[Path], list[Path]]) -> list[Path]:
    """Paths of a split; 14 of the training tracks are the validation tracks.

    Args:
        root: folder of the data set, with the folders `train` and `test`.
        split: train, valid or test.
        find: function that lists the tracks in a folder.

    Raises:
        InputError: unknown split.
    """
    one_of("split", split, SPLIT_NAMES)
    found = find(root / ("test" if split == "test" else "train"))
    if split == "test":
        return found
    names = musdb_settings().validation_tracks
    wanted = split == "valid"
    return [path for path in found if (path.name.removesuffix(STEM_SUFFIX) in names) is wanted]


def check_root(root: Path, layout: str) -> None:
    """Raise InputError unless the folder of the data set exists."""
    if not root.is_dir():
        raise InputError(
            f"data.root={root}: no such folder; expected {layout}. MUSDB18 is at "
            "https://sigsep.github.io/datasets/musdb.html; pass data.root=<folder>, set MUSDB_PATH,"
            " or data.source.download=true for excerpts of seven seconds"
        )


def download_excerpts(root: Path) -> None:
    """Download and unpack the excerpts; `root` appears when it is complete.

    The publisher states no digest. TLS vouches for the sender, and unpacking compares the checksum
    of each file.

    Raises:
        InputError: no network, or another failure.
    """
    from torch.hub import download_url_to_file

    url = musdb_settings().sample_url
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".musdb18-", dir=root.parent) as folder:
            archive = Path(folder) / "excerpts.zip"
            download_url_to_file(url, str(archive))
            with zipfile.ZipFile(archive) as content:
                content.extractall(Path(folder) / "unpacked")
            train = next((Path(folder) / "unpacked").rglob("train"))
            shutil.move(train.parent, root)
    except (OSError, zipfile.BadZipFile, StopIteration) as error:
        raise InputError(
            f"data.source.download=true: {url} could not be fetched ({reason_of(error)}); "
            f"download it where there is a network and unpack it to data.root={root}"
        ) from error
