"""LSTMs and convolutions in a form that is exported to ONNX without copies of their weights.

The exporter of torch brings the weights of an LSTM into the order of ONNX by nodes of the graph.
Computing these takes three times the memory of the weights in torch, and once more in ONNX Runtime.
A traced convolution has two copies of its weights for a while. ONNX Runtime has four while it
brings them into the order of its kernels, so a large convolution is exported in parts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LARGEST_PART = 2**22  # bytes of the weights of a convolution in the graph

CHANNEL_BLOCK = 64  # output channels that the kernels of ONNX Runtime compute at once

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)

GATES = (0, 3, 1, 2)  # ONNX has input, output, forget and cell; torch input, forget, cell, output


class LSTMOperator(torch.autograd.Function):
    """The operator LSTM of ONNX; in torch it only gives tensors of the right shape."""

    @staticmethod
    def forward(
        _ctx: Any, x: Tensor, weight: Tensor, recurrent: Tensor, _bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Zeros in the shapes of the outputs `(time, directions, batch, hidden)` and two states."""
        time, batch, _ = x.shape
        shape = weight.shape[0], batch, recurrent.shape[-1]
        return x.new_zeros(time, *shape), x.new_zeros(shape), x.new_zeros(shape)

    @staticmethod
    def symbolic(graph: Any, x: Any, weight: Any, recurrent: Any, bias: Any) -> Any:
        """Node of the graph for a call."""
        directions, _, hidden = recurrent.type().sizes()
        return graph.op(
            "LSTM",
            x,
            weight,
            recurrent,
            bias,
            hidden_size_i=hidden,
            direction_s="bidirectional" if directions == 2 else "forward",
            outputs=3,
        )


class ExportedLSTM(nn.Module):
    """An LSTM for export; it computes nothing in torch.

    Args:
        lstm: LSTM with biases and without projections, in evaluation mode.
    """

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm, self.layers = lstm, lstm.num_layers
        endings = ("", "_reverse") if lstm.bidirectional else ("",)
        for layer in range(self.layers):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                parts = [getattr(lstm, f"{name}_l{layer}{ending}").detach() for ending in endings]
                values = torch.stack([part.chunk(4)[g] for part in parts for g in GATES])
                shape = (len(endings), -1, *parts[0].shape[1:])
                self.register_buffer(f"{name}{layer}", values.reshape(shape))
            biases = [self.get_buffer(f"{name}{layer}") for name in ("bias_ih", "bias_hh")]
            self.register_buffer(f"bias{layer}", torch.cat(biases, dim=1))

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Shapes of the outputs of the LSTM; with a given state, or one signal, its outputs."""
        if state is not None or not isinstance(x, Tensor) or x.ndim != 3:
            return self.lstm(x, state)
        x = x.transpose(0, 1) if self.lstm.batch_first else x
        states = []
        for layer in range(self.layers):
            names = (f"weight_ih{layer}", f"weight_hh{layer}", f"bias{layer}")
            x, *last = LSTMOperator.apply(x, *(getattr(self, name) for name in names))
            x = x.transpose(1, 2).flatten(2)  # (time, batch, directions * hidden)
            states.append(last)
        hidden, cell = (torch.cat(parts) for parts in zip(*states, strict=True))
        return x.transpose(0, 1) if self.lstm.batch_first else x, (hidden, cell)


class ConvOperator(torch.autograd.Function):
    """The operators Conv and ConvTranspose of ONNX; in torch they only give the right shape."""

    @staticmethod
    def forward(_ctx: Any, conv: Any, x: Tensor, weight: Tensor, *_bias: Tensor) -> Tensor:
        """Zeros in the shape of the output `(batch, outputs, ...)`."""
        batch, _, *sizes = map(int, x.shape)  # in a trace they are tensors
        reaches = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        axes = zip(sizes, reaches, conv.stride, conv.padding, conv.output_padding, strict=True)
        if conv.transposed:
            shape = [
                (size - 1) * s - 2 * pad + reach + out + 1 for size, reach, s, pad, out in axes
            ]
            return x.new_zeros(batch, conv.out_channels, *shape)
        shape = [(size + 2 * pad - reach - 1) // s + 1 for size, reach, s, pad, _ in axes]
        return x.new_zeros(batch, len(weight), *shape)

    @staticmethod
    def symbolic(graph: Any, conv: Any, x: Any, *tensors: Any) -> Any:
        """Node of the graph for a call."""
        more = {"output_padding_i": conv.output_padding} if conv.transposed else {}
        return graph.op(
            "ConvTranspose" if conv.transposed else "Conv",
            x,
            *tensors,
            kernel_shape_i=conv.kernel_size,
            strides_i=conv.stride,
            pads_i=(*conv.padding, *conv.padding),
            dilations_i=conv.dilation,
            group_i=conv.groups,
            **more,
        )


class ExportedConv(nn.Module):
    """A convolution for export, if large in parts with some of its outputs; it computes nothing.

    Args:
        conv: convolution with a fixed padding of zeros.
    """

    def __init__(
        self, conv: nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d
    ) -> None:
        super().__init__()
        weight, rows = conv.weight.detach(), LARGEST_PART // conv.weight[0].nbytes
        rows = max(rows // CHANNEL_BLOCK, 1) * CHANNEL_BLOCK
        whole = conv.transposed or conv.groups > 1
        tensors = [weight] if conv.bias is None else [weight, conv.bias.detach()]
        self.conv = conv
        parts = [[tensor] if whole else tensor.split(rows) for tensor in tensors]
        self.tensors = nn.ModuleList(
            nn.ParameterList(nn.Parameter(part, requires_grad=False) for part in some)
            for some in parts
        )

    def forward(self, x: Tensor) -> Tensor:
        """Zeros in the shape of the output `(batch, outputs, ...)`; without batch, the output."""
        if x.ndim != self.conv.weight.ndim:
            return self.conv(x)
        parts = [
            ConvOperator.apply(self.conv, x, *part) for part in zip(*self.tensors, strict=True)
        ]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def replace_layers(module: nn.Module) -> None:
    """Replace layers below a module by those for export; other layers stay."""
    for name, part in module.named_children():
        layer = exported_layer(part)
        if layer is None:
            replace_layers(part)
        else:
            setattr(module, name, layer)


def exported_layer(layer: Any) -> nn.Module | None:
    """An LSTM or convolution in the form for export; None for what has no such form."""
    if type(layer) is nn.LSTM and layer.bias and not layer.proj_size:
        return ExportedLSTM(layer)
    known = type(layer) in CONVOLUTIONS and layer.padding_mode == "zeros"
    if known and not isinstance(layer.padding, str):
        return ExportedConv(layer)
    return None
