"""Our SELU is that of torch, in every type and memory layout, with its gradient and in place."""

import pytest
import torch
from torch import nn

from auralflow_pl.models.blocks import SELU
from auralflow_pl.separator.engines.onnx_trace import QuietExport

TOLERANCES = {torch.float32: 1e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3, torch.float64: 1e-10}


def values(dtype):
    """More than one block of values, and those at which an exponential function overflows."""
    x = torch.randn(2, 8, 64, 130, generator=torch.Generator().manual_seed(0)) * 3
    x[0, 0, 0, :6] = torch.tensor([0.0, -0.0, 1e30, -1e30, torch.inf, -torch.inf])
    return x.clamp(-6e4, 6e4).to(dtype) if dtype == torch.float16 else x.to(dtype)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x,
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: x.transpose(-1, -2),
        lambda x: x[..., ::2],
        lambda x: x.flatten(0, 2),
        lambda x: x[:0],
    ],
    ids=["dense", "channels_last", "transposed", "strided", "matrix", "empty"],
)
def test_values_and_gradients_are_those_of_torch(dtype, layout):
    results = []
    for activation in (SELU(), nn.SELU()):
        given = layout(values(dtype)).detach().requires_grad_()
        output = activation(given * 1)
        output.backward(torch.ones_like(output))
        results.append((output.detach(), given.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


def test_it_works_in_place_and_passes_numbers_that_are_none_on():
    x = torch.tensor([[-1.0, 2.0, torch.nan]])
    y = SELU()(x)
    assert y.data_ptr() == x.data_ptr()
    assert y.isnan().tolist() == [[False, False, True]]
    assert torch.allclose(y[0, :2], torch.selu(torch.tensor([-1.0, 2.0])))


def test_a_gradient_for_a_value_that_was_overwritten_is_refused():
    x = torch.randn(3, requires_grad=True)
    square = (y := x * 1) ** 2  # its gradient needs y
    SELU()(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.sum().backward()


def test_a_traced_network_has_a_single_operator():
    with QuietExport():  # torch deprecates the function
        graph = torch.jit.trace(SELU(), torch.randn(4, 5)).graph
    assert "aten::selu_" in str(graph)
