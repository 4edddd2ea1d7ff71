"""Normal equations of least-squares filters: block Toeplitz matrices of correlations."""

from __future__ import annotations

import torch
from torch import Tensor

FACTORISATION_ATTEMPTS = 10  # attempts to factorise nearly singular equations

MOST_REFINEMENTS = 3  # iterative refinements of the solution of nearly singular equations


def toeplitz_matrix(lags: Tensor) -> Tensor:
    """Gram matrix of the delayed planes, `(planes, taps, planes, taps)`.

    Args:
        lags: correlations `(planes, planes, taps)` over lags from 0 on.
    """
    planes, _, taps = lags.shape
    gram = lags.new_empty(planes, taps, planes, taps)
    backwards = torch.cat([lags.flip(-1), lags.transpose(0, 1)[..., 1:]], -1)
    # Entry (i, a, j, b) is the correlation at lag a - b; `backwards` begins with the longest lag.
    for delay in range(taps):
        gram[:, delay] = backwards[..., taps - 1 - delay : 2 * taps - 1 - delay]
    return gram


def solve_toeplitz(gram: Tensor, cross: Tensor) -> Tensor:
    """Solve `gram @ x = cross`; rows of `gram` that are 0 give 0 in `x`.

    As in museval, the machine epsilon is added to the diagonal. If targets or channels are
    linearly dependent, more is added, up to the size of rounding errors or beyond. The solution
    is then refined iteratively with the original matrix, so the projections stay those of the
    given targets. The diagonal of `gram` is changed in place.
    """
    eps = torch.finfo(gram.dtype).eps
    diagonal = gram.diagonal().clone()
    raise_by, largest = eps, len(gram) * eps * float(diagonal.max())
    for _ in range(FACTORISATION_ATTEMPTS):
        gram.diagonal().copy_(torch.where(diagonal > 0, diagonal + raise_by, 1.0))
        factor, failed = torch.linalg.cholesky_ex(gram)
        if not failed:
            break
        raise_by = max(10 * raise_by, largest)
    solution = back_substitute(factor, cross)
    if raise_by > eps:
        gram.diagonal().copy_(diagonal)
        for _ in range(MOST_REFINEMENTS):
            solution += back_substitute(factor, cross - gram @ solution)
    return solution


def back_substitute(factor: Tensor, cross: Tensor) -> Tensor:
    """Solve `factor @ factor.mT @ x = cross` without the copy that `cholesky_solve` makes."""
    half = torch.linalg.solve_triangular(factor, cross, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True)
