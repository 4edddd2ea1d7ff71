"""Trace networks for ONNX without their weights, which are arguments of the trace."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from auralflow_pl.checkpoints.onnx_file import INPUT_NAME, OUTPUT_NAME
from auralflow_pl.separator.engines.graph_file import Graph, without_weights

OPSET_VERSION = 17

LARGEST_KEPT = 4096  # numbers in a tensor that `hollow` keeps


class QuietExport(warnings.catch_warnings):
    """Suppress the warnings of torch's tracer; `largest_difference` checks the result instead."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")


class WeightsAsArguments(nn.Module):
    """A network that takes its weights as arguments, so the exporter does not copy their values.

    Args:
        network: network whose output is a tensor; a call replaces its weights by the arguments.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.networks = (network,)  # no part of this module, whose weights are also exported
        self.names = tuple(network.state_dict())

    def forward(self, magnitude: Tensor, *weights: Tensor) -> Tensor:
        """The output of the network with the given weights, in the order of its state dict."""
        (network,) = self.networks
        for name, weight in zip(self.names, weights, strict=True):
            path, _, attribute = name.rpartition(".")
            module = network.get_submodule(path)
            delattr(module, attribute)  # a parameter could only be replaced by another one
            setattr(module, attribute, weight)
        return network(magnitude)


def traced_graph(network: nn.Module, example: Tensor) -> Graph:
    """Graph of a network for any batch size and number of frames, with its weights.

    Args:
        network: maps magnitudes `(batch, channels, freq, frames)` to masks
            `(batch, targets, channels, freq, frames)`; it loses its weights.
        example: a magnitude.
    """
    weights, file = network.state_dict(), io.BytesIO()
    with torch.no_grad(), QuietExport():
        torch.onnx.export(
            WeightsAsArguments(network).eval(),
            (example, *hollow(weights)),
            file,
            dynamo=False,  # as fast a graph as the other exporter's, in a fifth of the time
            do_constant_folding=False,  # of weights, whose values would be lost
            opset_version=OPSET_VERSION,
            input_names=[INPUT_NAME, *weights],
            output_names=[OUTPUT_NAME],
            dynamic_axes={
                INPUT_NAME: {0: "batch", 3: "frames"},
                OUTPUT_NAME: {0: "batch", 4: "frames"},
            },
        )
    return without_weights(file.getvalue(), weights)


def hollow(weights: Mapping[str, Tensor]) -> list[Tensor]:
    """Tensors of the same shapes that take no memory, for a trace, which needs no values.

    Integers and small tensors are kept: a network may use them as indices or sizes.
    """
    return [
        weight.new_zeros(()).expand(weight.shape)
        if weight.is_floating_point() and weight.numel() > LARGEST_KEPT
        else weight
        for weight in weights.values()
    ]
