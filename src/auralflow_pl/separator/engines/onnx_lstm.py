"""LSTMs in a form that is exported to ONNX without copies of their weights.

The exporter of torch brings the weights of an LSTM into the order of ONNX by nodes of the graph.
Computing these takes three times the memory of the weights in torch, and once more in ONNX Runtime.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

GATES = (0, 3, 1, 2)  # ONNX has input, output, forget and cell; torch input, forget, cell, output


class LayerOperator(torch.autograd.Function):
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
            x, *last = LayerOperator.apply(x, *(self.get_buffer(name) for name in names))
            x = x.transpose(1, 2).flatten(2)  # (time, batch, directions * hidden)
            states.append(last)
        hidden, cell = (torch.cat(parts) for parts in zip(*states, strict=True))
        return x.transpose(0, 1) if self.lstm.batch_first else x, (hidden, cell)


def replace_lstms(module: nn.Module) -> None:
    """Replace LSTMs below a module by `ExportedLSTM`; those that it does not know stay."""
    for name, part in module.named_children():
        if type(part) is nn.LSTM and part.bias and not part.proj_size:
            setattr(module, name, ExportedLSTM(part))
        else:
            replace_lstms(part)
