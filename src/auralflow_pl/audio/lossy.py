"""What lossy codecs leave of a sound: encoded and decoded again, in memory."""

from __future__ import annotations

import io
from typing import NamedTuple

import torch
from torch import Tensor

from auralflow_pl.signal.resampling import match_length, resample


class LossyCodec(NamedTuple):
    """A codec of FFmpeg, and a container that keeps the length of the encoder's delay."""

    encoder: str
    container: str
    sample_format: str
    rates: tuple[int, ...]  # in Hz


LOSSY_CODECS = {
    "mp3": LossyCodec("libmp3lame", "mp3", "fltp", (32000, 44100, 48000)),
    "aac": LossyCodec("aac", "matroska", "fltp", (16000, 22050, 24000, 32000, 44100, 48000)),
    "opus": LossyCodec("libopus", "ogg", "flt", (48000,)),
}


def through_codec(samples: Tensor, sample_rate: int, name: str, kbps: int) -> Tensor:
    """Encode and decode samples.

    Sample rates that the codec does not have are converted to its next higher one, or to its
    highest, and back. Encoder delays are removed, so the result is aligned with the samples.

    Args:
        samples: one or two channels, `(channels, time)`.
        sample_rate: in Hz.
        name: one of `LOSSY_CODECS`.
        kbps: bit rate in kbit/s, of all channels together.

    Returns:
        Decoded samples, of the same shape.
    """
    import av

    codec = LOSSY_CODECS[name]
    rate = min((r for r in codec.rates if r >= sample_rate), default=codec.rates[-1])
    content = encode_in_memory(resample(samples, sample_rate, rate), rate, codec, kbps)
    with av.open(io.BytesIO(content)) as file:
        parts = [torch.from_numpy(frame.to_ndarray()) for frame in file.decode(audio=0)]
    decoded = torch.cat(parts, -1) if parts else samples.new_zeros(len(samples), 0)
    return match_length(resample(decoded, rate, sample_rate), samples.shape[-1])


def encode_in_memory(samples: Tensor, sample_rate: int, codec: LossyCodec, kbps: int) -> bytes:
    """Encode `(channels, time)` into the bytes of a file, with one thread."""
    import av

    layout = "mono" if len(samples) == 1 else "stereo"
    content = io.BytesIO()
    planar = codec.sample_format.endswith("p")
    array = (samples if planar else samples.T.reshape(1, -1)).contiguous().numpy()
    with av.open(content, "w", format=codec.container) as file:
        stream = file.add_stream(codec.encoder, rate=sample_rate, layout=layout)
        stream.codec_context.format = codec.sample_format
        stream.codec_context.bit_rate = 1000 * kbps
        stream.codec_context.thread_count = 1
        frame = av.AudioFrame.from_ndarray(array, codec.sample_format, layout)
        frame.sample_rate = sample_rate
        file.mux([packet for part in (frame, None) for packet in stream.encode(part)])
    return content.getvalue()
