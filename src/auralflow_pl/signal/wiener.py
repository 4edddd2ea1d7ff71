"""The multichannel Wiener filter: estimates that agree with the mixture and with each other.

Every source is Gaussian with a power `v_j(f, t)` and a spatial covariance `R_j(f)`. Both are
estimated from the sources at hand, then the sources from the mixture `x`, in turns:

    v_j = mean over channels of |y_j|^2
    R_j = sum_t y_j y_j^H / sum_t v_j
    y_j = v_j R_j (sum_k v_k R_k)^-1 x

The model and its EM algorithm are those of Duong, Vincent and Gribonval (2010); the covariances are
updated as Nugraha, Liutkus and Vincent (2016) do after a neural network, and as open-unmix does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auralflow_pl.errors import InputError

LOUDEST_LEVEL = 10.0  # magnitude to which louder mixtures are scaled, so that `eps` means the same


def wiener_filter(
    magnitudes: Tensor,
    mixture: Tensor,
    iterations: int = 1,
    soft_mask: bool = False,
    residual: bool = False,
    exact: bool = False,
    eps: float = 1e-10,
    block_frames: int = 128,
) -> Tensor:
    """Complex spectrograms of sources from their magnitudes and the mixture.

    Args:
        magnitudes: `(..., targets, channels, freq, frames)`, not negative.
        mixture: complex, `(..., channels, freq, frames)`.
        iterations: of `refine_once`; 0: what it would begin with.
        soft_mask: begin with the mixture, shared out in proportion to the magnitudes; otherwise
            with the magnitudes, in the phase of the mixture.
        residual: add a source, the last one, that begins as the mixture without the others.
        exact: make the sources sum to the mixture but for rounding; see `refine_once`.
        eps: see `refine_once`.
        block_frames: see `refine_once`.

    Returns:
        complex `(..., targets, channels, freq, frames)`, with one more target for the residual.

    Raises:
        InputError: shapes that do not belong together.
    """
    if magnitudes.ndim < 4 or magnitudes.select(-4, 0).shape != mixture.shape:
        raise InputError(
            f"magnitudes {tuple(magnitudes.shape)} and mixture {tuple(mixture.shape)}: expected "
            "(..., targets, channels, freq, frames) and (..., channels, freq, frames)"
        )
    whole = mixture.unsqueeze(-4)
    if soft_mask:
        estimates = whole * (magnitudes / (eps + magnitudes.sum(-4, keepdim=True)))
    else:
        estimates = torch.sgn(whole) * magnitudes
    if residual:
        rest = whole - estimates.sum(-4, keepdim=True)
        estimates = torch.cat([estimates, rest], -4)
    return refine_once(estimates, mixture, iterations, exact, eps, block_frames)


def refine_once(
    estimates: Tensor,
    mixture: Tensor,
    iterations: int = 1,
    exact: bool = False,
    eps: float = 1e-10,
    block_frames: int = 128,
) -> Tensor:
    """Filter the mixture into sources by EM, beginning with estimates of them.

    Spatial covariances are those of all frames that are given, so long signals are best cut into
    pieces of some seconds. Items of the leading axes do not interact. Gradients flow to both
    arguments.

    Args:
        estimates: complex, `(..., targets, channels, freq, frames)`; left as they are.
        mixture: complex, `(..., channels, freq, frames)`.
        iterations: of covariances and filter in turns.
        exact: share what the filter leaves of the mixture, little more than noise of power
            `sqrt(eps)`, out among the sources.
        eps: the square of the power of a noise that keeps silence from being divided by.
        block_frames: frames whose covariances are in memory at a time.

    Returns:
        complex `(..., targets, channels, freq, frames)`, finite also on silence.
    """
    loudest = mixture.abs().amax((-3, -2, -1), keepdim=True) / LOUDEST_LEVEL
    scale = loudest.clamp(min=1)
    sources, whole = estimates / scale.unsqueeze(-4), mixture / scale
    for _ in range(iterations):
        covariance = spatial_covariance(sources, eps, block_frames)
        updated = torch.empty_like(sources) if sources.requires_grad else sources
        for start in range(0, whole.shape[-1], block_frames):
            part = slice(start, start + block_frames)
            updated[..., part] = apply_filter(sources[..., part], covariance, whole[..., part], eps)
        sources = updated
    if exact:
        rest = whole - sources.sum(-4)
        sources = sources + rest.unsqueeze(-4) / sources.shape[-4]
    return sources * scale.unsqueeze(-4)


def source_power(sources: Tensor) -> Tensor:
    """`(..., targets, channels, freq, frames)` to `(..., targets, freq, frames)`."""
    return (sources.real.square() + sources.imag.square()).mean(-3)


def spatial_covariance(sources: Tensor, eps: float, block_frames: int) -> Tensor:
    """`R_j`, `(..., targets, channels, channels, freq)`, from sources `(..., freq, frames)`."""
    covariance: Tensor | float = 0.0
    weight: Tensor | float = eps
    for block in sources.split(block_frames, -1):
        covariance = covariance + torch.einsum("...cft,...dft->...cdf", block, block.conj())
        weight = weight + source_power(block).sum(-1)
    return covariance / weight[..., None, None, :]


def apply_filter(sources: Tensor, covariance: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """`y_j` from `v_j` of the sources, `R_j` and the mixture `(..., channels, freq, frames)`."""
    powers = source_power(sources)
    model = torch.einsum("...jft,...jcdf->...cdft", powers.to(covariance.dtype), covariance)
    whitened = solve_hermitian(model, mixture, eps**0.5)
    filtered = torch.einsum("...jcdf,...dft->...jcft", covariance, whitened)
    return powers.unsqueeze(-3) * filtered


def solve_hermitian(matrix: Tensor, vector: Tensor, noise: float) -> Tensor:
    """Solve `(matrix + noise) z = vector`, `(..., channels, channels, freq, frames)`.

    The noise is at least what rounding adds to the matrix, -60 dB in float32, so that nearly
    singular ones, such as those of a single source, stay invertible. Two channels are eliminated
    one after the other (Cholesky), which rounding harms less than Cramer's rule does.
    """
    channels = vector.shape[-3]
    trace = matrix.diagonal(dim1=-4, dim2=-3).real.sum(-1)
    ridge = noise + 8 * torch.finfo(trace.dtype).eps * trace
    if channels == 1:
        return vector / (trace + ridge).unsqueeze(-3)
    if channels == 2:
        left, right = matrix[..., 0, 0, :, :].real + ridge, matrix[..., 1, 1, :, :].real + ridge
        cross = matrix[..., 1, 0, :, :]
        first, second = vector.unbind(-3)
        ratio = cross / left
        rest = right - (ratio * cross.conj()).real  # at least the ridge, but for rounding
        second = (second - ratio * first) / torch.maximum(rest, ridge)
        return torch.stack([(first - cross.conj() * second) / left, second], -3)
    eye = torch.eye(channels, dtype=matrix.dtype, device=matrix.device)
    moved = matrix.movedim((-4, -3), (-2, -1)) + ridge[..., None, None] * eye
    return torch.linalg.solve(moved, vector.movedim(-3, -1)).movedim(-1, -3)
