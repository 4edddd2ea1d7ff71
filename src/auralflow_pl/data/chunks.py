"""Training chunks, each a pure function of (seed, epoch, index), and whole validation tracks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, SequentialSampler

from auralflow_pl.data.augment import Addition, Augmentation, ReadPosition
from auralflow_pl.data.draws import PositionDraws, lowest_band
from auralflow_pl.data.sampling import SamplingOptions
from auralflow_pl.data.targets import to_channels
from auralflow_pl.data.tracks import Track, TrackSound
from auralflow_pl.errors import InputError
from auralflow_pl.signal.resampling import limit_band


class ChunkSampler(SequentialSampler):
    """Sampler of chunk numbers `epoch * chunks_per_epoch + index`.

    A number identifies its epoch, so persistent workers need not be told the epoch. Lightning
    calls `set_epoch`. With `devices` devices each one gets every `devices`-th chunk; together they
    process the same chunks as a single device.

    Args:
        chunks_per_epoch: number of chunks for all devices together.
        rank: number of this device.
        devices: number of devices; all get equally many chunks, and a remainder is left out.
        repeated: all epochs have the chunks of the first one, to overfit on them.
    """

    def __init__(
        self, chunks_per_epoch: int, rank: int = 0, devices: int = 1, repeated: bool = False
    ) -> None:
        self.chunks_per_epoch = chunks_per_epoch
        self.rank = rank
        self.devices = devices
        self.repeated = repeated
        self.epoch = 0
        self.skip = 0  # chunks at the start of the next epoch that were used before an interruption

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = 0 if self.repeated else epoch

    def __len__(self) -> int:
        return self.chunks_per_epoch // self.devices

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.chunks_per_epoch + self.rank
        return iter(range(first, first + len(self) * self.devices, self.devices)[self.skip :])


class ChunkDataset(Dataset[dict[str, Tensor]]):
    """Training chunks at random positions of random tracks, drawn with replacement.

    A map-style data set: an item is a function of its number. Numbers from the length on are the
    chunks of later epochs, which `ChunkSampler` asks for.

    Items are `{"mixture": (channels, time), "stems": (stems, channels, time), "number": ()}`; the
    mixture is the sum of the stems after augmentation, if no augmentation changes it. A track that
    is shorter than a chunk is padded with zeros at the end.

    If tracks differ in their stems or in their bandwidth, items also have what a loss needs to
    leave out what they cannot teach: `holds (stems, stems)`, in which row `n` tells which stems the
    sound in the place of stem `n` contains, and `bandwidth ()`, a share of half the sample rate,
    above which there is no sound.

    Args:
        tracks: tracks of the training set, at least one.
        channels: number of audio channels, 1 or 2.
        sample_rate: sample rate in Hz that every track must have.
        chunk_seconds: length of a chunk in seconds.
        seed: seed of all random choices.
        augmentations: augmentations that are applied in order to the stems of every chunk.
        drawing: options for drawing positions; None: the defaults.
        chunks_per_epoch: length of the data set; None: as many chunks as all tracks together are
            long.
        stems: stems of the training, in their order; None: those of the first track.
        groups: names of sums of stems, which tracks may have instead of the stems.

    Raises:
        InputError: a track has another sample rate or stems that do not fit, or the chunk is
            shorter than a sample.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        channels: int,
        sample_rate: int,
        chunk_seconds: float,
        seed: int,
        augmentations: Sequence[Augmentation] = (),
        drawing: SamplingOptions | None = None,
        chunks_per_epoch: int | None = None,
        stems: Sequence[str] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        for track in tracks:
            if track.sample_rate != sample_rate:
                raise InputError(
                    f"{track.split}/{track.name}: {track.sample_rate} Hz, expected "
                    f"audio.sample_rate={sample_rate}; convert the files or set that key"
                )
        self.tracks = tuple(tracks)
        self.channels = channels
        self.sample_rate = sample_rate
        self.frames = round(chunk_seconds * sample_rate)
        self.seed = seed
        self.augmentations = tuple(augmentations)
        self.drawing = drawing or SamplingOptions()
        if self.frames < 1:
            raise InputError(f"chunk_seconds={chunk_seconds}: expected at least one sample")
        self.reach = math.ceil(self.frames * math.prod(a.reach for a in self.augmentations))
        self.stems = tuple(stems or tracks[0].stems)
        self.draws = PositionDraws(
            tracks, self.stems, groups, self.drawing, self.frames, self.reach
        )
        self.is_mixed = any(t.bandwidth or t.loose or t.stems != self.stems for t in tracks)
        whole = math.ceil(sum(track.frames for track in tracks) / self.frames)
        self.chunks_per_epoch = whole if chunks_per_epoch is None else chunks_per_epoch

    def __len__(self) -> int:
        return self.chunks_per_epoch

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, number))
        draws = self.draws_of(number)
        positions = draws.positions(rng, self.augmentations)
        additions = draws.additions(positions, rng, self.augmentations)
        stems = self.add(self.read(positions), additions)
        for augmentation in self.augmentations:
            stems = augmentation(stems, rng)
        stems = stems[..., : self.frames]
        limits = self.limits(positions, additions) if self.is_mixed else {}
        if limits and limits["bandwidth"] < 1:
            stems = limit_band(stems, float(limits["bandwidth"]))
        mixture = stems.sum(0)
        for augmentation in self.augmentations:
            mixture = augmentation.change_mixture(mixture, rng)
        chunk = {"mixture": mixture, "stems": stems, "number": torch.tensor(number)}
        return chunk | limits

    def draws_of(self, number: int) -> PositionDraws:
        """Draws with the probabilities of a chunk, whose number tells its time in epochs."""
        return self.draws.at_epoch(number / self.chunks_per_epoch)

    def positions(self, number: int) -> list[ReadPosition]:
        """Read position of each stem of a chunk, after all augmentations."""
        rng = np.random.default_rng((self.seed, number))
        return self.draws_of(number).positions(rng, self.augmentations)

    def limits(
        self, positions: Sequence[ReadPosition], additions: Sequence[Addition]
    ) -> dict[str, Tensor]:
        """What a chunk can teach: `holds` and `bandwidth`."""
        places = [self.draws.at(position)[n] for n, position in enumerate(positions)]
        heard = [pos.track for pos, place in zip(positions, places, strict=True) if place.stem]
        heard += [addition.place.track for addition in additions]
        holds = [[m in place.holds for m in range(len(places))] for place in places]
        band = lowest_band(heard, self.sample_rate)
        if band < 1:
            band *= math.prod(a.lowest for a in self.augmentations)
        return {"holds": torch.tensor(holds), "bandwidth": torch.tensor(band)}

    def read(self, positions: Sequence[ReadPosition]) -> Tensor:
        """Read stems `(stems, channels, reach)`, enough samples for all augmentations."""
        track, start = positions[0]
        same = all(position == positions[0] for position in positions[1:])
        if same and track.stems == self.stems:
            return self.fit(track.read_stems(start, min(self.reach, track.frames)))
        return torch.stack([self.read_place(n, place) for n, place in enumerate(positions)])

    def read_place(self, number: int, position: ReadPosition) -> Tensor:
        """Read what lies in the place of a stem, `(channels, reach)`."""
        (track, start), stem = position, self.draws.at(position)[number].stem
        if stem is None:
            return torch.zeros(self.channels, self.reach)
        return self.fit(track.read_stem(stem, start, min(self.reach, track.frames)))

    def add(self, stems: Tensor, additions: Sequence[Addition]) -> Tensor:
        """Add further sounds to the stems."""
        total = stems.clone() if additions else stems
        for stem, place, gain in additions:
            total[stem] += gain * self.read_place(stem, place)
        return total

    def fit(self, audio: Tensor) -> Tensor:
        """Convert `(..., channels, time)` to the number of channels and the length of a chunk."""
        return to_channels(F.pad(audio, (0, self.reach - audio.shape[-1])), self.channels)


class WholeTracks(Dataset[dict[str, Tensor | str]]):
    """Whole tracks, as a mapping of name, mixture, stems, total and sample rate.

    Shapes are `(channels, time)` for the mixture and the total, which is what all stems and the
    rest add up to, and `(stems, channels, time)` for the stems; the sample rate is in Hz.

    Args:
        tracks: the tracks.
        channels: number of audio channels, 1 or 2; None: those of the files.
        published: read the samples of published scores, see `Track.read_published`.
    """

    def __init__(
        self, tracks: Sequence[Track], channels: int | None = None, published: bool = False
    ) -> None:
        self.tracks = tuple(tracks)
        self.channels = channels
        self.published = published

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        track = self.tracks[index]
        sound = track.read_published() if self.published else TrackSound.of(*track.read())
        channels = self.channels or sound.mixture.shape[-2]
        return {
            "name": track.name,
            "mixture": to_channels(sound.mixture, channels),
            "stems": to_channels(sound.stems, channels),
            "total": to_channels(sound.total, channels),
            "sample_rate": torch.tensor(track.sample_rate),
        }
