"""Make a pack for a GPU machine without a network: sound at a low rate, and missing packages.

    python scripts/gpu/pack.py out=pack 'sets={songs:{layout:stem_folder,root:<folder>},...}'
        [stems=[vocals,drums,bass,other]] [groups={...}] [mono=[songs]] [minutes={songs:30}]
        [rate=44100] [quality=0.2] [wheels=[hydra-core,...]] [python=3.12] [limit_mib=64]

writes `<out>/sound.zip`, the data file of train.py, and `<out>/wheels/`, which are installed there
with `pip install --no-index --no-deps --target <folder> <out>/wheels/*.whl`.

`sets`, `stems` and `groups` are those of `data=mixed`, with the layouts stem_folder and unaligned.
Every folder in `root`, `folders` and `songs` of a set is packed, its `valid/` whole and its `test/`
not at all. Sound becomes Ogg Vorbis of `quality` (0 to 1), at `rate` Hz at most, with one channel
in the sets of `mono` and where both are equal. A file that is smaller as it is, and needs no
change, is copied. `minutes` limits a set; which songs are left out does not depend on the order of
their names. `wheels=[]` fetches none. The pack is refused if it takes more than `limit_mib`,
together with the files of the repository that git knows.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.audio.reading import AUDIO_SUFFIXES, read_audio
from auralflow_pl.checks.values import one_of, positive, within
from auralflow_pl.errors import InputError, one_line
from auralflow_pl.signal.resampling import resample
from auralflow_pl.system.files import text_sha256
from auralflow_pl.system.folders import visible
from auralflow_pl.system.staging import staged_folder

REPOSITORY = Path(__file__).resolve().parents[2]
MIB = 2**20
LAYOUTS = ("stem_folder", "unaligned")  # whose tracks are sound files and nothing else
FOLDER_KEYS = ("root", "folders", "songs")  # keys of a set that name folders
MISSING = (  # what the package needs besides an image with PyTorch, Lightning and matplotlib
    "hydra-core",
    "omegaconf",
    "antlr4-python3-runtime",
    "soundfile",
    "cffi",
    "pycparser",
    "torch-log-wmse",
    "openunmix",
)
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
WRITTEN_FRAMES = 2**16  # frames per call; libvorbis overflows the stack with very long ones


@dataclass
class Options:
    """Options of the command line."""

    out: str = "???"
    sets: dict[str, Any] = field(default_factory=dict)
    stems: list[str] = field(default_factory=lambda: ["vocals", "drums", "bass", "other"])
    groups: dict[str, Any] | None = None
    mono: list[str] = field(default_factory=list)
    minutes: dict[str, float] = field(default_factory=dict)
    rate: int = 44100
    quality: float = 0.2
    wheels: list[str] = field(default_factory=lambda: list(MISSING))
    python: str = "3.12"
    limit_mib: float = 64.0


def sound_files(folder: Path) -> Iterator[Path]:
    """Sound files below a folder, those that lie together in turn, in an order of digests."""
    if not folder.is_dir():
        raise InputError(f"sets: {folder}: no such folder")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES]
    hidden = [path for path in found if any(part[0] == "." for part in path.parts if part != "..")]
    yield from sorted(
        (path for path in set(found) - set(hidden) if split_of(path, folder) != "test"),
        key=lambda path: (text_sha256(str(path.parent.relative_to(folder))), path.name),
    )


def split_of(path: Path, folder: Path) -> str:
    """Name of the first folder of a path in a data set, such as `valid`."""
    return path.relative_to(folder).parts[0]


def encode(source: Path, target: Path, options: Options, mono: bool) -> float:
    """Write a file as Vorbis, or copy it if it is smaller and fits; return its minutes."""
    audio = read_audio(source)
    samples, rate = audio.samples, audio.sample_rate
    minutes = samples.shape[-1] / rate / 60
    if len(samples) > 1 and (mono or bool((samples[:1] == samples).all())):
        samples = samples.mean(0, keepdim=True)
    if rate > options.rate:
        samples, rate = resample(samples, rate, options.rate), options.rate
    target.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(
        target,
        "w",
        rate,
        len(samples),
        "VORBIS",
        format="OGG",
        compression_level=1 - options.quality,
    ) as file:
        for part in samples.split(WRITTEN_FRAMES, -1):
            file.write(part.T.numpy())
    same = (rate, len(samples)) == (audio.sample_rate, len(audio.samples))
    if same and source.stat().st_size <= target.stat().st_size:
        target.unlink()
        shutil.copyfile(source, target.with_suffix(source.suffix))
    return minutes


def pack_folder(source: Path, target: Path, options: Options, name: str, left: float) -> float:
    """Pack the sound of a folder, for training up to `left` minutes, and return these minutes.

    The files of a song, which lie in one folder, count once; those of no song one by one.
    """
    total, song = 0.0, None
    for path in sound_files(source):
        valid = split_of(path, source) == "valid"
        first = options.sets[name]["layout"] == "unaligned" or path.parent != song
        if first and not valid and total >= left:
            continue
        part = target / path.relative_to(source).with_suffix(".ogg")
        length = encode(path, part, options, name in options.mono)
        total += length if first and not valid else 0.0
        song = path.parent
    return total


def pack_set(name: str, given: Mapping[str, Any], options: Options, out: Path) -> dict[str, Any]:
    """Pack the folders of a set; return the set with folders relative to `out`."""
    if not isinstance(given, Mapping):
        raise InputError(f"sets.{name}: expected layout, root and other keys, as in data=mixed")
    one_of(f"sets.{name}.layout", given.get("layout"), LAYOUTS)
    left = math.inf
    if name in options.minutes:
        left = positive(f"minutes.{name}", options.minutes[name], "minutes")
    count, total = 0, 0.0

    def packed(value: Any) -> Any:
        nonlocal count, total
        if isinstance(value, Mapping):
            return {key: packed(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [packed(part) for part in value]
        place = f"{name}/{count}"
        count += 1
        total += pack_folder(Path(str(value)).expanduser(), out / place, options, name, left)
        return place

    result = {key: packed(v) if key in FOLDER_KEYS and v else v for key, v in given.items()}
    if not total:
        raise InputError(f"sets.{name}: holds no sound; pass root=<folder with sound files>")
    size = sum(path.stat().st_size for path in (out / name).rglob("*") if path.is_file())
    print(f"{name:16}{total:8.1f} minutes{size / MIB:8.1f} MiB", flush=True)
    return result


def fetch_wheel(name: str, folder: Path, python: str) -> None:
    """Fetch a wheel in the installed version; one of pure Python is built if there is none.

    Raises:
        InputError: it cannot be had, or is built for this machine only.
    """
    wanted = f"{name}=={importlib.metadata.version(name)}"
    pip = [sys.executable, "-m", "pip"]
    platforms = [f"--platform={platform}" for platform in PLATFORMS]
    place = ["--quiet", "--no-deps"]
    binary = ["--only-binary=:all:", f"--python-version={python}", *platforms]
    download = [*pip, "download", *place, *binary, "--dest", folder, wanted]
    if subprocess.run(download, capture_output=True, check=False).returncode == 0:
        return
    before = set(folder.iterdir())
    built = subprocess.run(
        [*pip, "wheel", *place, "--wheel-dir", folder, wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    new = set(folder.iterdir()) - before
    if built.returncode or not all(path.name.endswith("-none-any.whl") for path in new):
        cause = (built.stderr.strip().splitlines() or ["it is built for this machine only"])[-1]
        raise InputError(f"wheels: {wanted} for Python {python}: {cause}")


def repository_bytes() -> int:
    """Size of the files of the repository that git knows, which travel with the pack."""
    listed = subprocess.run(
        ["git", "-C", REPOSITORY, "ls-files", "-z"], capture_output=True, check=False
    ).stdout.split(b"\0")
    files = (REPOSITORY / name.decode() for name in listed if name)
    return sum(path.stat().st_size for path in files if path.is_file())


def zip_folder(folder: Path, target: Path) -> None:
    """Write the files of a folder to an archive, in the order of their names."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder))


def make_pack(options: Options) -> None:
    """Write the pack.

    Raises:
        InputError: a folder or wheel cannot be had, or the pack is too large; nothing is written.
    """
    within("quality", options.quality, 0, 1)
    positive("rate", options.rate, "Hz")
    for key in ("mono", "minutes"):
        for name in getattr(options, key):
            if name not in options.sets:
                raise InputError(f"{key}: {name} is not one of the sets {', '.join(options.sets)}")
    with staged_folder(Path(options.out)) as temporary:
        sound, wheels = temporary / "sound", temporary / "wheels"
        sound.mkdir()
        sets = {name: pack_set(name, given, options, sound) for name, given in options.sets.items()}
        content = {"stems": options.stems, "groups": options.groups, "sets": sets}
        (sound / "data.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        zip_folder(sound, temporary / "sound.zip")
        shutil.rmtree(sound)
        wheels.mkdir()
        for name in options.wheels:
            fetch_wheel(name, wheels, options.python)
        parts = {
            "sound": (temporary / "sound.zip").stat().st_size,
            "wheels": sum(path.stat().st_size for path in wheels.iterdir()),
            "repository": repository_bytes(),
        }
        total = sum(parts.values()) / MIB
        sizes = ", ".join(f"{name} {size / MIB:.1f}" for name, size in parts.items())
        print(f"{total:.1f} of {options.limit_mib:g} MiB: {sizes}")
        if total > options.limit_mib:
            raise InputError(
                f"limit_mib={options.limit_mib:g}: the pack has {total:.1f} MiB; lower quality, "
                "rate or minutes, or add sets to mono"
            )
        old = Path(options.out) / "wheels"
        if old.is_dir():  # a folder does not replace one that holds files
            for path in visible(old):
                path.unlink()


def main() -> None:
    """Make the pack that the command line describes."""
    options = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    if OmegaConf.is_missing(options, "out") or not options.sets:
        raise InputError("missing required keys: pass out=<folder> and sets={...}, see data=mixed")
    make_pack(OmegaConf.to_object(options))


if __name__ == "__main__":
    try:
        main()
    except (InputError, OmegaConfBaseException, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
    except importlib.metadata.PackageNotFoundError as error:
        sys.exit(f"error: wheels: {error.name} is not installed here, so its version is unknown")
