"""Write stems whose samples sum to the mixture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from auralflow_pl.audio.writing import FLOAT_WAV, Encoding, SoundWriter
from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError
from auralflow_pl.signal.loudness import LoudnessMeter

RESIDUAL_NAME = "residual"

CLIP_MODES = ("none", "rescale", "clamp")

WRITE_FRAMES = 2**16


def peak_level(samples: Tensor) -> float:
    """Largest absolute value of the samples."""
    return max(-float(samples.amin()), float(samples.amax()))  # `aminmax` is slower than both


@dataclass(frozen=True)
class StemLayout:
    """Format of the stems of a track."""

    targets: Sequence[str]
    residual: bool  # also write the mixture minus all stems
    sample_rate: int
    channels: int
    encoding: Encoding
    frames: int | None = None  # expected length in samples; None: unknown
    clip: str = "none"
    tags: Mapping[str, str] | None = None
    wholes: Sequence[str] = ()  # targets that hold others, and so are no part of the sum

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stems, the residual last."""
        return (*self.targets, *([RESIDUAL_NAME] if self.residual else []))

    def total(self, stems: Mapping[str, Tensor]) -> Tensor | int:
        """Sum of the stems that are no `wholes`."""
        return sum(samples for name, samples in stems.items() if name not in self.wholes)


class StemFiles:
    """Open files of all stems of a track, with their peaks, loudness and null error.

    Args:
        folder: folder to create for the files.
        layout: stems of the track.
        encoding: encoding of the files.

    Raises:
        InputError: a file cannot be written.
    """

    def __init__(self, folder: Path, layout: StemLayout, encoding: Encoding) -> None:
        folder.mkdir()
        self.layout, self.encoding = layout, encoding
        self.paths = {name: folder / f"{name}.{encoding.form}" for name in layout.names}
        self.writers: dict[str, SoundWriter] = {}
        self.meters = {n: LoudnessMeter(layout.sample_rate, layout.channels) for n in layout.names}
        self.peaks = dict.fromkeys(layout.names, 0.0)
        self.null_error, self.frames = 0.0, 0
        tags = layout.tags or {}
        try:
            for name, path in self.paths.items():
                self.writers[name] = SoundWriter(
                    path, encoding, layout.sample_rate, layout.channels, layout.frames, tags
                )
        except InputError:
            self.abort()
            raise

    def write(self, stems: Mapping[str, Tensor], mixture: Tensor | None) -> None:
        """Append a block to every file, without rounding.

        Args:
            stems: `(channels, time)` by name.
            mixture: `(channels, time)`, compared with the sum of the stems; None: not compared.

        Raises:
            InputError: a stem has NaN or infinite samples.
        """
        self.frames += stems[self.layout.names[0]].shape[-1]
        for name, samples in stems.items():
            self.writers[name].write(samples)
            self.meters[name].push(samples)
            highest = peak_level(samples)
            if not math.isfinite(highest):
                raise InputError(
                    f"{name}: the model gives NaN or infinite samples; is the input far beyond "
                    "full scale? Else use precision=fp32 or another checkpoint"
                )
            self.peaks[name] = max(self.peaks[name], highest)
        if mixture is not None:
            self.null_error = max(self.null_error, peak_level(mixture - self.layout.total(stems)))

    def close(self) -> None:
        """Complete all files."""
        for writer in self.writers.values():
            writer.close()

    def abort(self) -> None:
        """Close all files without completing them."""
        for writer in self.writers.values():
            writer.abort()

    def read(self) -> Iterator[dict[str, Tensor]]:
        """Read the completed files in blocks; yields float64 `(channels, time)` by name."""
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(soundfile.SoundFile(path))
                for name, path in self.paths.items()
            }
            while True:
                block = {
                    name: torch.from_numpy(file.read(WRITE_FRAMES, "float64", always_2d=True).T)
                    for name, file in files.items()
                }
                if not block[self.layout.names[0]].shape[-1]:
                    return
                yield block

    def remove(self) -> None:
        """Delete the files."""
        for path in self.paths.values():
            path.unlink()


class StemWriter:
    """Quantises estimates to the output format and writes the remainder as `residual`.

    The residual is the mixture minus the *quantised* estimates, so stems and residual sum to the
    mixture within one quantisation step. `clip` decides how samples beyond full scale are written:

    - `none`: unchanged; the files of the track become 32-bit float WAV. FLAC, which has no float
      format, is rescaled instead.
    - `rescale`: one gain for all stems reduces the highest peak to full scale; the stems then sum
      to the mixture times this gain.
    - `clamp`: samples are clipped to full scale; the stems sum to the mixture except where the
      residual itself is clipped.

    With `none`, float formats keep samples above 1. The attribute `files` has the written files.

    Args:
        folder: an empty folder for the files.
        layout: stems of the track.

    Raises:
        InputError: a file cannot be written, also raised by later calls.
    """

    def __init__(self, folder: Path, layout: StemLayout) -> None:
        one_of("clip", layout.clip, CLIP_MODES)
        self.folder, self.layout = folder, layout
        self.gain, self.passes = 1.0, 0
        wanted = layout.encoding
        waits = wanted.lossy and layout.clip == "rescale"  # encoded once the gain is known
        self.files = self.open(FLOAT_WAV if waits else wanted)

    def open(self, encoding: Encoding) -> StemFiles:
        """Open the files of the next pass in a folder of their own."""
        self.passes += 1
        return StemFiles(self.folder / str(self.passes), self.layout, encoding)

    def write(self, mixture: Tensor, estimates: Tensor) -> None:
        """Append a block.

        Args:
            mixture: `(channels, time)`.
            estimates: `(targets, channels, time)`.
        """
        stems = self.rounded(mixture, estimates)
        if self.exceeds(stems):
            self.go_on_in_float()
            stems = self.rounded(mixture, estimates)
        self.files.write(stems, mixture if self.layout.residual else None)

    def rounded(self, mixture: Tensor, estimates: Tensor) -> dict[str, Tensor]:
        """Stems quantised to the format of the files, the residual last."""
        steps = self.files.encoding.steps
        if steps is not None:
            # float32 is exact up to 2 ** 24, which leaves headroom above full scale for 16 bits.
            wide = torch.float64 if steps > 2**15 else mixture.dtype
            mixture, estimates = ((x.to(wide) * steps).round_() for x in (mixture, estimates))
        if self.layout.clip == "clamp":
            low, high = (-1.0, 1.0) if steps is None else (-steps, steps - 1)
            estimates = estimates.clamp(low, high)
            rest = (mixture - self.parts(estimates).sum(0)).clamp(low, high)
        else:
            rest = mixture - self.parts(estimates).sum(0)
        stems = dict(zip(self.layout.names, [*estimates, rest], strict=False))
        return stems if steps is None else {name: x / steps for name, x in stems.items()}

    def parts(self, estimates: Tensor) -> Tensor:
        """Those of the estimates `(targets, channels, time)` that are no `wholes`."""
        wholes, targets = self.layout.wholes, self.layout.targets
        return estimates[[name not in wholes for name in targets]] if wholes else estimates

    def exceeds(self, stems: Mapping[str, Tensor]) -> bool:
        """Return True if samples exceed the integer range of the files."""
        steps = self.files.encoding.steps
        return steps is not None and any(
            x.amax() > 1 - 1 / steps or x.amin() < -1 for x in stems.values()
        )

    def go_on_in_float(self) -> None:
        """Copy the samples written so far to float files, and continue with these."""
        short, self.files = self.files, self.open(FLOAT_WAV)
        if short.frames == 0:
            short.abort()
        else:
            short.close()
            for stems in short.read():
                self.files.write(stems, None)
            self.files.null_error = short.null_error
        short.remove()

    def close(self) -> None:
        """Complete the files; write them again if they need a gain or another encoding."""
        self.files.close()
        wanted, fits = self.layout.encoding, self.files.encoding == self.layout.encoding
        if self.layout.clip == "rescale" or wanted.form == "flac":
            self.gain = self.rescaling(fits)
        if self.gain != 1 or not (fits or wanted.form == "wav"):
            self.write_again(wanted)

    def rescaling(self, fits: bool) -> float:
        """Gain of at most 1 that brings all stems within full scale.

        Args:
            fits: the files have the wanted encoding, so integer samples are within range.
        """
        steps, peak = self.layout.encoding.steps, max(self.files.peaks.values())
        if steps is not None and fits:
            return 1.0
        # The residual contains the rounding errors of all other stems.
        highest = 1.0 if steps is None else 1 - (len(self.layout.names) + 2) / steps
        return min(1.0, highest / peak) if peak else 1.0

    def write_again(self, encoding: Encoding) -> None:
        """Write all stems again, multiplied by the gain, in another encoding."""
        former, self.files = self.files, self.open(encoding)
        for stems in former.read():
            scaled = {name: self.gain * x for name, x in stems.items()}
            estimates = torch.stack([scaled[name] for name in self.layout.targets])
            mixture = self.layout.total(scaled)
            self.files.write(
                self.rounded(mixture, estimates), mixture if self.layout.residual else None
            )
        self.files.close()
        former.remove()

    def abort(self) -> None:
        """Close all files without completing them, whatever their state."""
        self.files.abort()
