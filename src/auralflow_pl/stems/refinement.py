"""Estimates of several networks: averaged, and refined with a multichannel Wiener filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError
from auralflow_pl.models.ensemble import COMBINATIONS, median
from auralflow_pl.signal.stft import STFT
from auralflow_pl.signal.streams import align_blocks, branch_blocks
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
    stft = stft_of(sample_rate)

    def process(windows: Tensor) -> Tensor:
        spectra = stft(windows)
        mixture, estimates = spectra[:, 0], spectra[:, 1:]
        count = estimates.shape[1]
        if residual:
            rest = mixture.unsqueeze(1) - estimates.sum(1, keepdim=True)
            estimates = torch.cat([estimates, rest], 1)
        filtered = refine_once(estimates, mixture, iterations=1, exact=True)
        return stft.inverse(filtered[:, :count], windows.shape[-1])

    return overlap_add(process, blocks, windows_of(stft, sample_rate))


def stft_of(sample_rate: int) -> STFT:
    """The STFT in which estimates are refined, with frames of about 93 ms."""
    n_fft = 2 ** round(torch.log2(torch.tensor(0.093 * sample_rate)).item())
    return STFT(n_fft, n_fft, n_fft // 4)


def windows_of(stft: STFT, sample_rate: int) -> WindowLayout:
    """The windows in which estimates are refined."""
    length, context, fade = (
        round(seconds * sample_rate) // stft.hop_length * stft.hop_length
        for seconds in (REFINEMENT_SECONDS, CONTEXT_SECONDS, FADE_SECONDS)
    )
    return WindowLayout(length, context, fade, stft.hop_length)


@dataclass(frozen=True)
class Averaging:
    """How the estimates of several models of one target become one.

    Raises:
        InputError: an unknown way, or weights that do not fit.
    """

    way: str = "mean"  # mean or median of samples, or the least or greatest bin of spectra
    weights: tuple[float, ...] = ()  # of the mean, one for each model; none: equal ones

    def __post_init__(self) -> None:
        one_of("average", self.way, COMBINATIONS)
        if self.weights and (self.way != "mean" or min(self.weights) < 0 or sum(self.weights) == 0):
            raise InputError(
                f"average_weights={list(self.weights)}: expected numbers of at least 0, not all of "
                "them 0, and average=mean"
            )

    def of_models(self, models: int) -> tuple[float, ...]:
        """A weight for each of so many models.

        Raises:
            InputError: there are more or fewer weights.
        """
        if self.weights and len(self.weights) != models:
            raise InputError(
                f"average_weights={list(self.weights)}: expected a number for each of the "
                f"{models} models"
            )
        return self.weights or (1.0,) * models


def average_stems(
    blocks: Iterable[Tensor], sample_rate: int, targets: Sequence[Sequence[str]], how: Averaging
) -> Iterator[Tensor]:
    """Average the estimates of several models.

    Args:
        blocks: `(1 + estimates, channels, time)`: the mixture, then all targets of all models.
        sample_rate: in Hz.
        targets: names of the targets of each model.
        how: how they are averaged.

    Yields:
        `(1 + targets, channels, time)`: the mixture, then each target once.
    """
    names = [target for model in targets for target in model]
    members = [[n for n, other in enumerate(names) if other == t] for t in dict.fromkeys(names)]
    shares = how.of_models(len(targets))
    weights = [share for share, model in zip(shares, targets, strict=True) for _ in model]
    one, two = branch_blocks(blocks, 2)
    parts = average_estimates((block[1:] for block in two), sample_rate, members, how.way, weights)
    for mixture, estimates in align_blocks([(block[:1] for block in one), parts]):
        yield torch.cat([mixture, estimates])


def average_estimates(
    blocks: Iterable[Tensor],
    sample_rate: int,
    members: Sequence[Sequence[int]],
    way: str,
    weights: Sequence[float],
) -> Iterator[Tensor]:
    """Average a stream of estimates of which several are of one target.

    Args:
        blocks: `(estimates, channels, time)`.
        sample_rate: in Hz.
        members: for each target the numbers of its estimates.
        way: `mean` or `median` over samples; `min` or `max`: each bin of an STFT is that of the
            estimate in which it has the least or greatest magnitude.
        weights: of the mean, for each estimate.

    Yields:
        `(targets, channels, time)`, in total as long as the stream.
    """
    if way in ("mean", "median"):
        for block in blocks:
            yield torch.stack(
                [
                    averaged(block[list(group)], way, [weights[n] for n in group])
                    for group in members
                ]
            )
        return
    stft = stft_of(sample_rate)

    def process(windows: Tensor) -> Tensor:
        spectra = stft(windows)
        chosen = [extreme(spectra[:, list(group)], way) for group in members]
        return stft.inverse(torch.stack(chosen, 1), windows.shape[-1])

    yield from overlap_add(process, blocks, windows_of(stft, sample_rate))


def averaged(estimates: Tensor, way: str, weights: Sequence[float]) -> Tensor:
    """Mean or median of estimates `(models, ...)`; of an even number, a mean of two."""
    if way == "median":
        return median(estimates)
    shares = torch.tensor(weights).div(sum(weights) or 1.0)
    return (shares.reshape(-1, *[1] * (estimates.ndim - 1)).to(estimates) * estimates).sum(0)


def extreme(spectra: Tensor, way: str) -> Tensor:
    """Bins of least or greatest magnitude of `(batch, models, ...)`, `(batch, ...)`.

    Of equal ones the first is the least and the last the greatest, so that two models share them.
    """
    spectra = spectra if way == "min" else spectra.flip(1)
    levels = spectra.abs()
    place = levels.argmin(1, keepdim=True) if way == "min" else levels.argmax(1, keepdim=True)
    return spectra.gather(1, place).squeeze(1)
