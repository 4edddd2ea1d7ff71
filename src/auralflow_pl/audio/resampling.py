"""Changing the sample rate."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad


def resample(audio: Tensor, source_rate: int, target_rate: int) -> Tensor:
    """Band-limited resampling of `(..., time)`; `ceil(time * target_rate / source_rate)` samples.

    Windowed-sinc interpolation of torchaudio with a Kaiser window and 64 zero crossings.
    """
    if source_rate == target_rate:
        return audio
    from torchaudio.functional import resample as windowed_sinc

    resampled = windowed_sinc(
        audio,
        source_rate,
        target_rate,
        lowpass_filter_width=64,
        rolloff=0.95,
        resampling_method="sinc_interp_kaiser",
        beta=14.8,
    )
    # torchaudio 2.11 counts the samples in float32 and is one off beyond 2**24 of them.
    return match_length(resampled, -(-audio.shape[-1] * target_rate // source_rate))


def match_length(audio: Tensor, length: int) -> Tensor:
    """Cut or zero-pad `(..., time)` at the end to `length` samples."""
    return pad(audio, (0, length - audio.shape[-1]))
