"""Layers in a form of our own for export: ONNX Runtime computes what torch does."""

import pytest
import torch
from torch import nn

from auralflow_pl.checkpoints.onnx_file import INPUT_NAME
from auralflow_pl.separator.engines.onnx import make_session
from auralflow_pl.separator.engines.onnx_layers import ExportedConv, replace_layers
from auralflow_pl.separator.engines.onnx_trace import traced_graph


def exported(layer, x):
    """The layer that replaces one in an export, the nodes of the graph, and what they compute."""
    whole = nn.Sequential(layer, nn.Unflatten(1, (1, -1)))
    replace_layers(whole)
    graph = traced_graph(whole, x)
    (values,) = make_session(graph.content()).run(None, {INPUT_NAME: x.numpy()})
    nodes = [node.op_type for node in graph.model.graph.node]
    return whole[0], nodes, torch.from_numpy(values).flatten(1, 2)


@pytest.mark.parametrize(
    "layer, parts",
    [
        (nn.Conv2d(8, 6, (3, 5), (1, 2), padding=(0, 2), dilation=(2, 1)), 1),
        (nn.Conv2d(8, 8, 3, groups=4, bias=False), 1),
        (nn.ConvTranspose2d(8, 6, 4, 2, padding=1), 1),
        (nn.ConvTranspose2d(8, 6, 3, 2, output_padding=1, groups=2), 1),
        (nn.Conv2d(256, 200, 5, 2, padding=2), 2),  # weights of 4.9 MiB
    ],
    ids=str,
)
@torch.no_grad()
def test_convolutions(layer, parts):
    x = torch.randn(2, layer.in_channels, 11, 14)
    expected = layer(x)
    replacement, nodes, values = exported(layer, x)
    assert type(replacement) is ExportedConv
    assert nodes.count("Conv") + nodes.count("ConvTranspose") == parts
    torch.testing.assert_close(values, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Conv2d(3, 4, 3, padding="valid"),
    ],
    ids=str,
)
@torch.no_grad()
def test_convolutions_with_other_paddings_are_left_to_the_exporter_of_torch(layer):
    x = torch.randn(2, 3, 11, 14)
    expected = layer(x)
    replacement, _, values = exported(layer, x)
    assert replacement is layer
    torch.testing.assert_close(values, expected)
