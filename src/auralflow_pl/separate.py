"""The command `separate`: stems of a file, or of every file in a folder."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from omegaconf import DictConfig
from tqdm import tqdm

from auralflow_pl.audio.reading import AUDIO_SUFFIXES, read_audio
from auralflow_pl.audio.writing import (
    check_writable,
    complementary,
    output_subtype,
    staged,
    write_wav,
)
from auralflow_pl.checkpoint import load_separator
from auralflow_pl.config import SeparateKeys, plain, validated
from auralflow_pl.device import choose_device
from auralflow_pl.engine import choose_engine
from auralflow_pl.errors import InputError
from auralflow_pl.separation import Separator

log = logging.getLogger(__name__)


def separate(config: DictConfig) -> None:
    """Separate everything in `input`, and write `<output>/<track>/<target>.wav`.

    Raises:
        InputError: nothing can be separated; or, after all other files are done, some could not.
    """
    config = validated(config, SeparateKeys)
    source, output = Path(config.input), Path(config.output)
    jobs = list(find_jobs(source, output))
    check_writable(output)
    device = choose_device(config.device)
    engine = choose_engine(config.engine, device, config.ckpt)
    separator = load_separator(
        config.ckpt, list(config.trust), engine=engine, **plain(config.separation)
    )
    separator.to(device)
    failures = []
    for path, folder in tqdm(jobs, "separate", unit="file", leave=False, disable=len(jobs) == 1):
        try:
            separate_file(separator, path, folder, config.residual)
        except InputError as error:
            if len(jobs) == 1:
                raise
            failures.append(str(error))
            tqdm.write(f"failed: {error}")
        else:
            tqdm.write(f"{folder}")
    if failures:
        raise InputError(f"{len(failures)} of {len(jobs)} files failed; first: {failures[0]}")


def find_jobs(source: Path, output: Path) -> Iterator[tuple[Path, Path]]:
    """`(file, folder for its stems)` of a file, or of all audio files below a folder.

    The tree below the folder is kept. Files that differ in their suffix only keep it in the name.
    """
    if source.is_file():
        yield source, output / track_name(source)
        return
    if not source.is_dir():
        raise InputError(f"input={source}: no such file or folder")
    files = sorted(
        p
        for p in source.rglob("[!.]*")
        if p.suffix.lower() in AUDIO_SUFFIXES
        and p.is_file()
        and output.resolve() not in p.resolve().parents
    )
    if not files:
        raise InputError(
            f"input={source}: no audio files in this folder; expected WAV, FLAC, MP3 ..."
        )
    folders = [output / p.relative_to(source).parent / track_name(p) for p in files]
    shared = Counter(folders)
    for path, folder in zip(files, folders, strict=True):
        yield path, folder if shared[folder] == 1 else folder.with_name(path.name)


def track_name(path: Path) -> str:
    """The file name without `.wav`, `.stem.mp4` and the like."""
    return path.stem.removesuffix(".stem") or path.stem


@torch.inference_mode()
def separate_file(separator: Separator, path: Path, folder: Path, residual: bool) -> None:
    """Separate one file; its stems appear together, or not at all."""
    audio = read_audio(path)
    device = separator.stft.window.device
    estimates = separator(audio.samples.to(device), audio.sample_rate).cpu()
    named = dict(zip(separator.targets, estimates, strict=True))
    wanted = output_subtype(audio.subtype)
    stems, subtype = complementary(audio.samples, named, wanted, residual)
    if subtype != wanted:
        log.info("%s: stems exceed full scale, written as 32-bit float instead of %s", path, wanted)
    with staged(folder) as temporary:
        for name, samples in stems.items():
            write_wav(temporary / f"{name}.wav", samples, audio.sample_rate, subtype)
