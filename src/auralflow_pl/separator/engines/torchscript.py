"""Export networks to TorchScript, for programs that use torch without this package."""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch

from auralflow_pl.errors import InputError, one_line
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.separator.engines.onnx import (
    MaskOnly,
    largest_difference,
    random_probes,
)
from auralflow_pl.separator.engines.onnx_trace import QuietExport


def export_torchscript(
    network: MaskEstimator, channels: int, freq: int, files: Mapping[str, str]
) -> tuple[bytes, float]:
    """Export a network as TorchScript for any batch size and number of frames.

    The exported module maps magnitudes to masks.

    Args:
        network: network in evaluation mode; it is not changed.
        channels: channels of the magnitude.
        freq: frequency bins of the magnitude.
        files: texts to store in the file, by name.

    Returns:
        content of the file, and the largest difference of its masks from those of torch.

    Raises:
        InputError: the network cannot be traced, or the trace computes other masks.
    """
    example = torch.rand(2, channels, freq, 2 * network.frame_multiple + 1)
    content = io.BytesIO()
    try:
        with torch.no_grad(), QuietExport():
            traced = torch.jit.trace(MaskOnly(network), example, check_trace=False)
            torch.jit.save(traced, content, _extra_files=dict(files))
            content.seek(0)
            loaded = torch.jit.load(content)
    except (RuntimeError, TypeError, ValueError) as error:
        cause = one_line(error)
        raise InputError(f"this network cannot be exported to TorchScript: {cause}") from error
    probes = list(random_probes(network, channels, freq))
    return content.getvalue(), largest_difference(loaded, probes)
