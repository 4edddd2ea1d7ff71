"""Write stems that sum to their mixture."""

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
    """The largest absolute value."""
    return max(-float(samples.amin()), float(samples.amax()))  # `aminmax` takes longer than both


@dataclass(frozen=True)
class StemLayout:
    """What is written for a track."""

    targets: Sequence[str]
    residual: bool  # also what is left of the mixture
    sample_rate: int
    channels: int
    encoding: Encoding
    frames: int | None = None  # expected, if that is known
    clip: str = "none"
    tags: Mapping[str, str] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the stems, the residual last."""
        return (*self.targets, *([RESIDUAL_NAME] if self.residual else []))


class StemFiles:
    """The files of a track that grow together, and what they hold.

    Args:
        folder: that is made for them.
        layout: of the track.
        encoding: of the files.
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
        """Append `(channels, time)` to every file, as it is.

        Args:
            stems: by name.
            mixture: that they should add up to; None where there is no residual.
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
            self.null_error = max(self.null_error, peak_level(mixture - sum(stems.values())))

    def close(self) -> None:
        """Complete all files."""
        for writer in self.writers.values():
            writer.close()

    def abort(self) -> None:
        """Let go of all files."""
        for writer in self.writers.values():
            writer.abort()

    def read(self) -> Iterator[dict[str, Tensor]]:
        """What the completed files hold, in blocks `(channels, time)`."""
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
    """Rounds estimates to the grid of the output format, and writes what is left as `residual`.

    Because the residual is taken from the *rounded* estimates, stems and residual add up to the
    mixture within one quantisation step. What happens where a stem exceeds full scale, `clip` says:

    - `none`: nothing is changed; the track goes on as 32-bit float WAV. FLAC, which has no floats,
      is rescaled instead.
    - `rescale`: one gain for all stems brings the highest peak to full scale; the stems then add up
      to the mixture times this gain.
    - `clamp`: single samples are cut; stems add up where the residual itself is not cut.

    Floats stay as they are with `none`, also above 1. What is written is in `files`.

    Args:
        folder: an empty one, where the files are made.
        layout: of the track.

    Raises:
        InputError: here or later: the files cannot be written.
    """

    def __init__(self, folder: Path, layout: StemLayout) -> None:
        one_of("clip", layout.clip, CLIP_MODES)
        self.folder, self.layout = folder, layout
        self.gain, self.passes = 1.0, 0
        wanted = layout.encoding
        waits = wanted.lossy and layout.clip == "rescale"  # for the gain
        self.files = self.open(FLOAT_WAV if waits else wanted)

    def open(self, encoding: Encoding) -> StemFiles:
        """Files of the next pass."""
        self.passes += 1
        return StemFiles(self.folder / str(self.passes), self.layout, encoding)

    def write(self, mixture: Tensor, estimates: Tensor) -> None:
        """Append a block: mixture `(channels, time)`, estimates `(targets, channels, time)`."""
        stems = self.rounded(mixture, estimates)
        if self.exceeds(stems):
            self.go_on_in_float()
            stems = self.rounded(mixture, estimates)
        self.files.write(stems, mixture if self.layout.residual else None)

    def rounded(self, mixture: Tensor, estimates: Tensor) -> dict[str, Tensor]:
        """Stems on the grid of the files, the residual last."""
        steps = self.files.encoding.steps
        if steps is not None:
            # Exact in float32 up to 2 ** 24, which is beyond full scale for 16 bits only.
            wide = torch.float64 if steps > 2**15 else mixture.dtype
            mixture, estimates = ((x.to(wide) * steps).round_() for x in (mixture, estimates))
        if self.layout.clip == "clamp":
            low, high = (-1.0, 1.0) if steps is None else (-steps, steps - 1)
            estimates = estimates.clamp(low, high)
            rest = (mixture - estimates.sum(0)).clamp(low, high)
        else:
            rest = mixture - estimates.sum(0)
        stems = dict(zip(self.layout.names, [*estimates, rest], strict=False))
        return stems if steps is None else {name: x / steps for name, x in stems.items()}

    def exceeds(self, stems: Mapping[str, Tensor]) -> bool:
        """Whether samples do not fit into the integers of the files."""
        steps = self.files.encoding.steps
        return steps is not None and any(
            x.amax() > 1 - 1 / steps or x.amin() < -1 for x in stems.values()
        )

    def go_on_in_float(self) -> None:
        """Continue in float files that begin with what was written so far."""
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
        """Complete the files; if they have to be rescaled or compressed, write them once more."""
        self.files.close()
        wanted, fits = self.layout.encoding, self.files.encoding == self.layout.encoding
        if self.layout.clip == "rescale" or wanted.form == "flac":
            self.gain = self.rescaling(fits)
        if self.gain != 1 or not (fits or wanted.form == "wav"):
            self.write_again(wanted)

    def rescaling(self, fits: bool) -> float:
        """The gain that makes all stems fit, at most 1."""
        steps, peak = self.layout.encoding.steps, max(self.files.peaks.values())
        if steps is not None and fits:
            return 1.0
        # The residual takes up the rounding of all other stems.
        highest = 1.0 if steps is None else 1 - (len(self.layout.names) + 2) / steps
        return min(1.0, highest / peak) if peak else 1.0

    def write_again(self, encoding: Encoding) -> None:
        """Files of another encoding, with the gain."""
        former, self.files = self.files, self.open(encoding)
        for stems in former.read():
            scaled = {name: self.gain * x for name, x in stems.items()}
            estimates = torch.stack([scaled[name] for name in self.layout.targets])
            mixture = sum(scaled.values())
            self.files.write(
                self.rounded(mixture, estimates), mixture if self.layout.residual else None
            )
        self.files.close()
        former.remove()

    def abort(self) -> None:
        """Let go of all files, whatever their state."""
        self.files.abort()
