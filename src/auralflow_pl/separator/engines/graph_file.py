"""ONNX graphs whose weights stay in the tensors of a network until they are written to a file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

ALIGNMENT = 4096  # bytes; weights that begin at a page can be mapped into memory

ROWS = 64  # of a tensor that are written at once

# Tags of fields in a file of protobuf: the number of the field times 8, plus 2 for bytes.
GRAPH_TAG, INITIALIZER_TAG, RAW_DATA_TAG = (bytes([8 * n + 2]) for n in (7, 5, 9))


class Graph(NamedTuple):
    """An ONNX model and its weights, which are not copied into it."""

    model: ModelProto  # without initializers
    weights: dict[str, Tensor]

    def write(self, file: BinaryIO) -> None:
        """Write one ONNX file, weight by weight, so that no second copy of them is made."""
        from onnx import ModelProto, TensorProto

        heads = {}
        for name, weight in self.weights.items():
            head = TensorProto(name=name, data_type=data_type(weight), dims=weight.shape)
            content = head.SerializeToString() + RAW_DATA_TAG + varint(weight.nbytes)
            heads[name] = INITIALIZER_TAG + varint(len(content) + weight.nbytes) + content
        graph = self.model.graph.SerializeToString()
        frame = ModelProto()
        frame.CopyFrom(self.model)
        frame.ClearField("graph")
        size = sum(len(head) + self.weights[name].nbytes for name, head in heads.items())
        file.write(frame.SerializeToString() + GRAPH_TAG + varint(len(graph) + size) + graph)
        for name, head in heads.items():
            file.write(head)
            write_tensor(self.weights[name], file)

    def content(self) -> bytes:
        """Content of that file."""
        file = io.BytesIO()
        self.write(file)
        return file.getvalue()

    def write_weights(self, file: BinaryIO) -> None:
        """Write the file that `beside` refers to, which is mapped into memory when it is read."""
        for name, start in self.places():
            file.seek(start)
            write_tensor(self.weights[name], file)

    def beside(self, weights: str) -> bytes:
        """Content of an ONNX file whose weights are in another file of its folder.

        Args:
            weights: name of that file.
        """
        from onnx import ModelProto, TensorProto

        model = ModelProto()
        model.CopyFrom(self.model)
        for name, start in self.places():
            weight = self.weights[name]
            tensor = model.graph.initializer.add(
                name=name,
                data_type=data_type(weight),
                dims=weight.shape,
                data_location=TensorProto.EXTERNAL,
            )
            facts = {"location": weights, "offset": start, "length": weight.nbytes}
            for key, value in facts.items():
                tensor.external_data.add(key=key, value=str(value))
        return model.SerializeToString()

    def places(self) -> Iterator[tuple[str, int]]:
        """Yield names of weights and where they begin in the file of the weights, in bytes."""
        start = 0
        for name, weight in self.weights.items():
            yield name, start
            start += -(-weight.nbytes // ALIGNMENT) * ALIGNMENT


def without_weights(content: bytes, weights: dict[str, Tensor]) -> Graph:
    """Graph of a model that takes its weights as inputs.

    Args:
        content: the model; it has one input of its own, the first.
        weights: weights by name; those that no node takes are left out.
    """
    import onnx

    model = onnx.load_from_string(content)
    names = [value.name for value in model.graph.input[1:]]
    del model.graph.input[1:]
    used = used_names(model.graph)
    return Graph(model, {name: weights[name] for name in names if name in used})


def used_names(graph: GraphProto) -> set[str]:
    """Names of all values that nodes of a graph take."""
    return {name for node in graph.node for name in node.input}


def data_type(weight: Tensor) -> int:
    """Number of the type of a tensor in ONNX."""
    from onnx import helper

    return helper.np_dtype_to_tensor_dtype(weight.new_empty(0).numpy().dtype)


def write_tensor(weight: Tensor, file: BinaryIO) -> None:
    """Write the values of a tensor in the order of its axes, copying few at a time if at all."""
    for rows in torch.atleast_1d(weight.detach()).split(ROWS):
        file.write(rows.contiguous().numpy().data)


def varint(number: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the lowest first."""
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def weights_file(path: Path) -> Path:
    """File of the weights of a graph that was written with `Graph.beside`."""
    return path.with_suffix(".weights")
