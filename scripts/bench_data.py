"""Benchmark of the data pipeline: rates of training chunks, as ratios within one run.

python scripts/bench_data.py [chunks=300] [minutes=4] [batches=500] [repeats=10]

Chunks of 3 seconds with four stereo stems at 44.1 kHz are read from one song of `minutes`, by one
process with one thread, with files in the page cache. Rates are the best of three alternating
rounds.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
import torch
from omegaconf import OmegaConf

from auralflow_pl.audio.reading import read_streams
from auralflow_pl.data.augment import (
    Augmentation,
    ChannelSwap,
    Codec,
    Compressor,
    Equalizer,
    Gain,
    GainCurve,
    Limiter,
    Loudness,
    PitchTempo,
    Polarity,
    Remix,
    Reverb,
    SoftClip,
)
from auralflow_pl.data.chunks import ChunkDataset
from auralflow_pl.data.pool import Pool, PoolTrack, open_mapped
from auralflow_pl.data.sampling import SamplingOptions
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.system.heap import keep_freed_memory
from auralflow_pl.training.data_module import StemDataModule

STEMS = ("vocals", "drums", "bass", "other")
RATE, SECONDS, ROUNDS = 44100, 3, 3
LIGHT = (Remix(), Gain(), ChannelSwap())
HEAVY = (Remix(), PitchTempo(), Equalizer(RATE), Reverb(RATE), *LIGHT[1:], Polarity())
EACH = {  # every augmentation that computes, for every chunk
    "gain": Gain(),
    "gain_curve": GainCurve(RATE, 1.0),
    "compressor": Compressor(RATE, 1.0),
    "loudness": Loudness(RATE),
    "equalizer": Equalizer(RATE, 1.0),
    "reverb": Reverb(RATE, 1.0),
    "pitch_tempo": PitchTempo(1.0),
    "soft_clip": SoftClip(1.0),
    "limiter": Limiter(RATE, 1.0),
    **{f"codec, {name}": Codec(RATE, 1.0, [name]) for name in ("mp3", "aac", "opus")},
}


@dataclass
class Options:
    """Options of the command line."""

    chunks: int = 300
    minutes: float = 4.0
    batches: int = 500
    repeats: int = 10


def write_song(root: Path, minutes: float) -> None:
    """Write noise as four stereo WAV files, in a train and a valid folder."""
    rng = np.random.default_rng(0)
    noise = rng.integers(-8000, 8000, (round(minutes * 60 * RATE), 2), dtype=np.int16)
    folder = root / "train" / "song"
    folder.mkdir(parents=True)
    for number, stem in enumerate(STEMS):
        soundfile.write(folder / f"{stem}.wav", np.roll(noise, number * 999, axis=0), RATE)
    shutil.copytree(root / "train", root / "valid")


def rates(ways: dict[str, Callable[[int], object]], starts: list[int]) -> dict[str, float]:
    """Chunks per second of each function that reads a chunk from its first sample."""
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            for place in starts:
                way(place)
            best[name] = max(best[name], len(starts) / (time.perf_counter() - start))
    return best


def chunk_rates(root: Path, options: Options) -> dict[str, float]:
    """Chunk rates of the pool and of alternatives, all reading the same positions."""
    track = StemFolder(root, STEMS).tracks("train")[0]
    pool = Pool(root / "pool", RATE)
    pool.build([track])
    pooled = pool.open(track)
    memory = track.read_stems(0, track.frames)
    frames = SECONDS * RATE
    samples = open_mapped(pooled.files[0])
    rng = np.random.default_rng(1)
    starts = rng.integers(0, track.frames - frames, options.chunks).tolist()
    return rates(
        {
            "pool": lambda start: pooled.read_stems(start, frames),
            "seek": lambda start: track.read_stems(start, frames),
            "memory": lambda start: memory[..., start : start + frames].clone(),
            "limit": lambda start: samples[..., start : start + frames].astype(np.float32),
        },
        starts,
    )


def whole_file_ratio(root: Path) -> float:
    """Rate of chunks read by seeking relative to chunks cut from whole decoded files."""
    track = StemFolder(root, STEMS).tracks("train")[0]
    result = rates(
        {
            "seek": lambda start: track.read_stems(start, SECONDS * RATE),
            "whole": lambda _: [soundfile.read(path, dtype="float32") for path in track.files],
        },
        [0, 10 * RATE, 20 * RATE],
    )
    return result["seek"] / result["whole"]


def loader_rate(
    root: Path, workers: int, batches: int, augmentations: Sequence[Augmentation] = LIGHT
) -> tuple[float, float]:
    """Chunks per second of the data loader, and growth of the resident memory."""
    module = StemDataModule(
        StemFolder(root, STEMS),
        2,
        RATE,
        SECONDS,
        chunks_per_epoch=8 * batches,
        batch_size=8,
        seed=0,
        num_workers=workers,
        augmentations=augmentations,
        pool=Pool(root / "pool", RATE),
        drawing=SamplingOptions("length", -60.0, 0.5, ("vocals",)),
    )
    module.prepare_data()
    module.setup("fit")
    warm, start, early = batches // 4, 0.0, 0.0
    for number, _ in enumerate(module.train_dataloader()):
        if number == warm:
            start, early = time.perf_counter(), resident()
        if number == batches - 1:
            rate = 8 * (number - warm) / (time.perf_counter() - start)
            growth = resident() / early - 1
    return rate, growth


def costs(root: Path, options: Options) -> dict[str, float]:
    """Milliseconds that each augmentation takes for a chunk."""
    track = StemFolder(root, STEMS).tracks("train")[0]
    stems = track.read_stems(0, SECONDS * RATE)
    mixture, rng = stems.sum(0), np.random.default_rng(0)

    def once(part: Augmentation) -> None:
        part(stems, rng)
        part.change_mixture(mixture, rng)

    ways = {name: lambda _, part=part: once(part) for name, part in EACH.items()}
    return {name: 1000 / rate for name, rate in rates(ways, [0] * options.repeats).items()}


def resident() -> float:
    """Resident memory of this process and its children in kB."""
    me = Path("/proc/self/task")
    files = [task / "children" for task in me.iterdir()]
    children = [c for file in files for c in file.read_text(encoding="utf-8").split()]
    lines = [
        line
        for pid in ("self", *children)
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    ]
    return sum(float(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def stem_file_ratio() -> tuple[float, float]:
    """Speed of decoding five streams in one pass relative to stempeg, and largest difference."""
    (location,) = find_spec("stempeg").submodule_search_locations
    path = next((Path(location) / "data").glob("*.stem.mp4"))
    if shutil.which("ffmpeg") is None:
        return float("nan"), float("nan")
    import stempeg

    result = rates(
        {
            "ours": lambda _: read_streams(path),
            "stempeg": lambda _: stempeg.read_stems(str(path)),
        },
        [0, 0, 0],
    )
    theirs, _ = stempeg.read_stems(str(path))
    ours = torch.stack([audio.samples.T for audio in read_streams(path)]).numpy()
    length = min(ours.shape[1], theirs.shape[1])
    return result["ours"] / result["stempeg"], float(
        np.abs(ours[:, :length] - theirs[:, :length]).max()
    )


def open_large_pool(root: Path) -> tuple[float, float]:
    """Seconds and MB for opening a pool of 150 sparse tracks of four minutes."""
    folder = root / "large"
    folder.mkdir()
    for number in range(150):
        path = folder / f"{number}.npy"
        with path.open("wb") as file:
            shape = (4, 2, 240 * RATE)
            header = {"descr": "<i2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + 2 * int(np.prod(shape)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    tracks = [
        PoolTrack(p.stem, "train", RATE, 240 * RATE, 2, STEMS, False, (p,), folder)
        for p in folder.glob("*.npy")
    ]
    chunks = ChunkDataset(tracks, 2, RATE, SECONDS, seed=0)
    for track in chunks.tracks:
        open_mapped(track.files[0])
    taken = time.perf_counter() - start
    return taken, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Measure and print all rates."""
    options = OmegaConf.to_object(
        OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    )
    torch.set_num_threads(1)
    keep_freed_memory()  # as in `train`
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_song(root, options.minutes)
        rate = chunk_rates(root, options)
        print(", ".join(f"{name} {value:.0f} chunks/s" for name, value in rate.items()))
        print(f"pool / soundfile seek-reads: {rate['pool'] / rate['seek']:.1f}")
        print(f"pool / slices of float32 in memory: {rate['pool'] / rate['memory']:.2f}")
        print(f"pool / copying and converting the same bytes: {rate['pool'] / rate['limit']:.2f}")
        print(f"seek-reads / whole files: {whole_file_ratio(root):.0f}")
        one, _ = loader_rate(root, 1, options.batches)
        two, growth = loader_rate(root, 2, 4 * options.batches)
        print(f"augment=light, 2 workers / 1 worker: {two / one:.2f} ({two:.0f} chunks/s)")
        print(f"resident memory over the last three quarters, 2 workers: {growth:+.1%}")
        heavy, _ = loader_rate(root, 1, max(4, options.batches // 12), HEAVY)
        print(f"augment=heavy / augment=light, 1 worker: {heavy / one:.2f} ({heavy:.0f} chunks/s)")
        each = (f"{name} {taken:.1f} ms" for name, taken in costs(root, options).items())
        print(f"augmentation of a chunk: {', '.join(each)}")
        taken, megabytes = open_large_pool(root)
        print(f"opening 150 tracks of 4 minutes: {taken:.3f} s, {megabytes:.0f} MB")
    ratio, difference = stem_file_ratio()
    print(f"stem file / stempeg: {ratio:.1f} times as fast, differ by at most {difference:.1e}")


if __name__ == "__main__":
    sys.exit(main())
