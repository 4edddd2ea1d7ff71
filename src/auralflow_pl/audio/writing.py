"""Writing of sound files block by block, in the formats of libsndfile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from auralflow_pl.audio.checks import RATES_HZ
from auralflow_pl.audio.ffmpeg import reason_of
from auralflow_pl.audio.id3 import prepend_tags
from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError, WriteError

PCM_BITS = {"PCM_16": 16, "PCM_24": 24}

WAV_SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}

LOSSY_FORMATS = {"ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}

AUDIO_FORMATS = ("wav", "flac", *LOSSY_FORMATS)

MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

# Sample rates in Hz, and their description. libvorbis crashes above 200 kHz; libFLAC cannot read
# files with rates that its frame header cannot hold.
FORMAT_RATES: Mapping[str, tuple[tuple[Sequence[int], ...], str]] = {
    "mp3": ((MP3_RATES,), f"{', '.join(map(str, MP3_RATES))} Hz"),
    "ogg": ((range(4000, 200001),), "4000 to 200000 Hz"),
    "flac": (
        (range(4000, 65536), range(65540, 655351, 10)),
        "4000 to 65535 Hz, multiples of 10 up to 655350 Hz",
    ),
    "wav": ((RATES_HZ,), f"{RATES_HZ[0]} to {RATES_HZ[-1]} Hz"),
}

MOST_CHANNELS = {"mp3": 2, "ogg": 255, "flac": 8, "wav": 1024}

COMPRESSION_LEVELS = {"mp3": (0.0, "CONSTANT"), "ogg": (0.1, None)}  # 320 kbit/s; about the same

WAV_TAG_LIMIT = 2045  # bytes of a tag; libsndfile ignores all tags after a longer one

WAV_LIMIT = 2**32 - 2**20  # bytes of samples that fit into a WAV file, with room for the header


@dataclass(frozen=True)
class Encoding:
    """Format and sample format of a sound file."""

    form: str  # one of `AUDIO_FORMATS`
    subtype: str  # libsndfile's name of the sample format

    @property
    def steps(self) -> float | None:
        """Quantisation steps from 0 to full scale; None for floats and lossy formats."""
        bits = PCM_BITS.get(self.subtype)
        return None if bits is None else 2.0 ** (bits - 1)

    @property
    def lossy(self) -> bool:
        """Whether decoded samples differ from the encoded ones."""
        return self.form in LOSSY_FORMATS


FLOAT_WAV = Encoding("wav", "FLOAT")


def choose_encoding(form: str, subtype: str | None, source: str) -> Encoding:
    """Choose the encoding of stems.

    Args:
        form: wav, flac, ogg or mp3.
        subtype: 16, 24 or float; None: like the source. 24-bit and floating-point sources keep
            their resolution, 32-bit integers become float, everything else becomes 16 bit. FLAC
            holds at most 24 bits.
        source: libsndfile's name of the sample format of the input.

    Raises:
        InputError: an unknown value, or a subtype that the format does not have.
    """
    one_of("format", form, AUDIO_FORMATS)
    if subtype is not None and subtype not in WAV_SUBTYPES:
        raise InputError(f"subtype={subtype}: expected one of {', '.join(WAV_SUBTYPES)}")
    if form in LOSSY_FORMATS:
        if subtype is not None:
            raise InputError(f"subtype={subtype}: format={form} has none; use format=wav or flac")
        return Encoding(form, LOSSY_FORMATS[form])
    if form == "flac" and subtype == "float":
        raise InputError("subtype=float: format=flac holds 16 or 24 bits; use format=wav")
    wanted = output_subtype(source) if subtype is None else WAV_SUBTYPES[subtype]
    return Encoding(form, "PCM_24" if form == "flac" and wanted == "FLOAT" else wanted)


def output_subtype(source: str) -> str:
    """Sample format of WAV stems for an input of libsndfile subtype `source`."""
    if source in ("PCM_24", "ALAC_24"):
        return "PCM_24"
    return "FLOAT" if source in ("FLOAT", "DOUBLE", "PCM_32", "ALAC_32") else "PCM_16"


def check_encoding(encoding: Encoding, sample_rate: int, channels: int) -> None:
    """Raise InputError if the format does not support the sample rate or number of channels."""
    if sample_rate not in RATES_HZ:
        raise InputError(f"sample_rate={sample_rate}: expected {RATES_HZ[0]} to {RATES_HZ[-1]} Hz")
    rates, known = FORMAT_RATES[encoding.form]
    most = MOST_CHANNELS[encoding.form]
    if channels > most or not any(sample_rate in some for some in rates):
        raise InputError(
            f"format={encoding.form}: has no {channels} channels at {sample_rate} Hz, only "
            f"{known} and up to {most} channels; use format=wav, or another sample_rate"
        )


class SoundWriter:
    """A sound file that is written block by block.

    Args:
        path: path of the file.
        encoding: format and sample format.
        sample_rate: in Hz.
        channels: number of channels.
        frames: expected number of samples; None: unknown. A WAV file that may grow beyond 4 GiB is
            written as RF64.
        tags: tags by name, such as title and artist; in WAV files each is cut to 2045 bytes.

    Raises:
        InputError: the file cannot be written, or the disk is full; also from the methods.
    """

    def __init__(
        self,
        path: Path,
        encoding: Encoding,
        sample_rate: int,
        channels: int,
        frames: int | None,
        tags: Mapping[str, str],
    ) -> None:
        self.path, self.encoding, self.frames, self.tags = path, encoding, 0, tags
        width = {"PCM_16": 2, "PCM_24": 3}.get(encoding.subtype, 4)
        most = WAV_LIMIT // (channels * width)
        large = encoding.form == "wav" and (frames is None or frames > most)
        self.limit = None if large or encoding.form != "wav" else most
        form = "RF64" if large else encoding.form.upper()
        level, mode = COMPRESSION_LEVELS.get(encoding.form, (None, None))
        try:
            self.file = soundfile.SoundFile(
                path,
                "w",
                sample_rate,
                channels,
                encoding.subtype,
                format=form,
                compression_level=level,
                bitrate_mode=mode,
            )
            if encoding.form != "mp3":
                longest = WAV_TAG_LIMIT if encoding.form == "wav" else None
                for name, text in tags.items():
                    kept = text.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore")
                    setattr(self.file, name, kept)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise self.fault(error) from error

    def write(self, samples: Tensor) -> None:
        """Append samples `(channels, time)`; for integer formats see `encode`."""
        self.frames += samples.shape[-1]
        if self.limit is not None and self.frames > self.limit:
            raise InputError(f"{self.path.name}: longer than the input announced, too long for WAV")
        try:
            self.file.write(encode(samples, self.encoding.subtype))
        except (soundfile.LibsndfileError, AssertionError) as error:
            raise self.fault(error) from error

    def close(self) -> None:
        """Complete the file, and check that all samples were written."""
        try:
            self.file.close()
            if self.encoding.form == "mp3" and self.tags:
                prepend_tags(self.path, self.tags)
            written = soundfile.info(self.path).frames
        except (soundfile.LibsndfileError, OSError) as error:
            raise self.fault(error) from error
        if written != self.frames:
            raise self.fault(RuntimeError(f"{written} of {self.frames} samples were written"))

    def abort(self) -> None:
        """Close the file without completing it."""
        self.file.close()

    def fault(self, error: Exception) -> WriteError:
        """Make the error for a failed write."""
        size = self.path.stat().st_size if self.path.exists() else 0
        return WriteError(
            f"{self.path.name}: {size / 1e6:.1f} MB written, then writing failed "
            f"({reason_of(error)}); is the disk full?"
        )


def write_wav(path: Path, samples: Tensor, sample_rate: int, subtype: str) -> None:
    """Write `(channels, time)` as WAV, or as RF64 if it does not fit into a WAV file."""
    channels, frames = samples.shape
    writer = SoundWriter(path, Encoding("wav", subtype), sample_rate, channels, frames, {})
    writer.write(samples)
    writer.close()


def encode(samples: Tensor, subtype: str) -> np.ndarray:
    """Convert `(channels, time)` to an array `(time, channels)` that libsndfile stores exactly.

    Samples of integer formats are rounded here: libsndfile scales floats by 32767 when it writes
    them and by 1/32768 when it reads them.
    """
    if subtype == "PCM_16":
        stored = (samples * 2**15).round_().to(torch.int16)
    elif subtype == "PCM_24":  # libsndfile keeps the upper 24 of 32 bits
        stored = (samples.double() * 2**23).round_().to(torch.int32) * 256
    else:
        stored = samples.float()
    return torch.stack(tuple(stored), -1).numpy()  # several times faster than a transposed copy
