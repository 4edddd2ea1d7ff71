"""Refine the estimates of several networks with a multichannel Wiener filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from auralflow_pl.errors import InputError
from auralflow_pl.signal.stft import STFT
from auralflow_pl.signal.wiener import refine_once
from auralflow_pl.signal.windows import WindowLayout, overlap_add

REFINEMENT_SECONDS, CONTEXT_SECONDS, FADE_SECONDS = 10.0, 0.25, 1.0


def check_refinable(targets: int, residual: bool, wholes: Sequence[str] = ()) -> None:
    """Raise InputError for sources that do not make up the mixture.

    Args:
        targets: number of targets of all models; the filter would set a single one to the mixture.
        residual: whether the residual is another source, as for `refine_estimates`.
        wholes: targets that are sums of others.
    """
    if wholes:
        raise InputError(
            f"wiener=true: {', '.join(wholes)} holds other stems, which would count twice; pass "
            "keep=false in the steps of the chain"
        )
    if targets == 1 and not residual:
        raise InputError(
            "wiener=true: with one target and no residual, all of the mixture is the target; pass "
            "residual=true or a model of several targets"
        )


def refine_estimates(
    blocks: Iterable[Tensor], sample_rate: int, residual: bool
) -> Iterator[Tensor]:
    """Filter a stream of estimates with the multichannel Wiener filter.

    The filter runs one iteration of EM in windows of 10 s, over which spatial covariances are
    estimated; see `signal.wiener.refine_once`. The sources then sum to the mixture.

    Args:
        blocks: `(1 + targets, channels, time)`, the mixture first.
        sample_rate: in Hz; STFT frames are about 93 ms long.
        residual: add the mixture minus all estimates as another source, which is not returned;
            otherwise the estimates alone sum to the mixture.

    Yields:
        `(targets, channels, time)`, in total as long as the stream.
    """
    n_fft = 2 ** round(torch.log2(torch.tensor(0.093 * sample_rate)).item())
    stft = STFT(n_fft, n_fft, n_fft // 4)

    def process(windows: Tensor) -> Tensor:
        spectra = stft(windows)
        mixture, estimates = spectra[:, 0], spectra[:, 1:]
        count = estimates.shape[1]
        if residual:
            rest = mixture.unsqueeze(1) - estimates.sum(1, keepdim=True)
            estimates = torch.cat([estimates, rest], 1)
        filtered = refine_once(estimates, mixture, iterations=1, exact=True)
        return stft.inverse(filtered[:, :count], windows.shape[-1])

    length, context, fade = (
        round(seconds * sample_rate) // stft.hop_length * stft.hop_length
        for seconds in (REFINEMENT_SECONDS, CONTEXT_SECONDS, FADE_SECONDS)
    )
    return overlap_add(process, blocks, WindowLayout(length, context, fade, stft.hop_length))
