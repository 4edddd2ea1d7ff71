"""Multichannel Wiener filter: sources from their magnitudes and the mixture.

Every source is Gaussian with a power `v_j(f, t)` and a spatial covariance `R_j(f)`. Two steps
alternate: powers and covariances are estimated from the sources `y_j`, then the sources from the
mixture `x`:

    v_j = mean over channels of |y_j|^2
    R_j = sum_t y_j y_j^H / sum_t v_j
    y_j = v_j R_j (sum_k v_k R_k)^-1 x

The model and its EM algorithm are those of Duong, Vincent and Gribonval (2010). The covariances are
updated as by Nugraha, Liutkus and Vincent (2016) and open-unmix, after a neural network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auralflow_pl.errors import InputError

LOUDEST_LEVEL = 10.0  # largest magnitude; louder mixtures are scaled down, as `eps` is absolute


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
    """Estimate complex spectrograms of sources from their magnitudes and the mixture.

    Args:
        magnitudes: `(..., targets, channels, freq, frames)`, not negative.
        mixture: complex, `(..., channels, freq, frames)`.
        iterations: number of EM steps; 0: return the initial estimates.
        soft_mask: initial estimates are the mixture times a ratio mask of the magnitudes; otherwise
            the magnitudes with the phase of the mixture.
        residual: add a source, as the last one, that is initially the mixture minus the others.
        exact: make the sources sum to the mixture up to rounding; see `refine_once`.
        eps: see `refine_once`.
        block_frames: see `refine_once`.

    Returns:
        complex `(..., targets, channels, freq, frames)`, with one more target for the residual.

    Raises:
        InputError: the shapes of magnitudes and mixture do not match.
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
    """Refine estimates of sources by EM steps of the multichannel Wiener filter.

    Spatial covariances are averaged over all given frames, so long signals should be cut into
    pieces of some seconds. Items of the leading axes do not interact. Gradients flow to both
    arguments.

    Args:
        estimates: complex, `(..., targets, channels, freq, frames)`; not changed.
        mixture: complex, `(..., channels, freq, frames)`.
        iterations: number of EM steps; each updates the covariances and filters the mixture.
        exact: distribute the remainder of the mixture evenly among the sources; it is little more
            than noise of power `sqrt(eps)`.
        eps: regularisation against division by 0: the squared power of a noise that is added.
        block_frames: number of frames whose covariances are in memory at a time.

    Returns:
        complex `(..., targets, channels, freq, frames)`, finite also for silence.
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


def refine_blocks(
    masks: Tensor, mixture: Tensor, frames: int, iterations: int = 1, residual: bool = False
) -> Tensor:
    """Mask a mixture and refine each block of frames by itself, as open-unmix does.

    The filter computes in float64 where the device can: covariances of quiet or nearly mono music
    are close to singular.

    Args:
        masks: `(..., targets, channels, freq, frames)`.
        mixture: complex, `(..., channels, freq, frames)`.
        frames: frames of a block, over which spatial covariances are averaged; the last one may be
            shorter.
        iterations: see `refine_once`.
        residual: the mixture minus all estimates is another source, which is not returned.

    Returns:
        complex `(..., targets, channels, freq, frames)`.
    """
    targets, parts = masks.shape[-4], []
    for mask, block in zip(masks.split(frames, -1), mixture.split(frames, -1), strict=True):
        whole = block if block.device.type == "mps" else block.to(torch.complex128)
        sources = mask * whole.unsqueeze(-4)
        if residual:
            rest = whole.unsqueeze(-4) - sources.sum(-4, keepdim=True)
            sources = torch.cat([sources, rest], -4)
        refined = refine_once(sources, whole, iterations).narrow(-4, 0, targets)
        parts.append(refined.to(block.dtype))
    return torch.cat(parts, -1)


def source_power(sources: Tensor) -> Tensor:
    """Mean power over channels, `(..., channels, freq, frames)` to `(..., freq, frames)`."""
    return (sources.real.square() + sources.imag.square()).mean(-3)


def spatial_covariance(sources: Tensor, eps: float, block_frames: int) -> Tensor:
    """`R_j`, `(..., targets, channels, channels, freq)`, of sources `(..., freq, frames)`."""
    covariance: Tensor | float = 0.0
    weight: Tensor | float = eps
    for block in sources.split(block_frames, -1):
        covariance = covariance + torch.einsum("...cft,...dft->...cdf", block, block.conj())
        weight = weight + source_power(block).sum(-1)
    return covariance / weight[..., None, None, :]


def apply_filter(sources: Tensor, covariance: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """`y_j` from the powers `v_j` of the sources, `R_j` and the mixture `(..., freq, frames)`."""
    powers = source_power(sources)
    model = torch.einsum("...jft,...jcdf->...cdft", powers.to(covariance.dtype), covariance)
    whitened = solve_hermitian(model, mixture, eps**0.5)
    filtered = torch.einsum("...jcdf,...dft->...jcft", covariance, whitened)
    return powers.unsqueeze(-3) * filtered


def solve_hermitian(matrix: Tensor, vector: Tensor, noise: float) -> Tensor:
    """Solve `(matrix + noise) z = vector`; the axes are `(..., channels, channels, freq, frames)`.

    The noise is at least 8 machine epsilons of the trace (-60 dB in float32), which keeps nearly
    singular matrices, such as those of a single source, invertible. For two channels a Cholesky
    elimination is used, which is less sensitive to rounding than Cramer's rule.
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
        rest = right - (ratio * cross.conj()).real  # at least the ridge, up to rounding
        second = (second - ratio * first) / torch.maximum(rest, ridge)
        return torch.stack([(first - cross.conj() * second) / left, second], -3)
    eye = torch.eye(channels, dtype=matrix.dtype, device=matrix.device)
    moved = matrix.movedim((-4, -3), (-2, -1)) + ridge[..., None, None] * eye
    return torch.linalg.solve(moved, vector.movedim(-3, -1)).movedim(-1, -3)
