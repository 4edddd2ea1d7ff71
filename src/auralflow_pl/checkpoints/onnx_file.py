"""Reading exported ONNX files without running them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from auralflow_pl.checkpoints.contents import (
    MAX_CONFIG_BYTES,
    METADATA_KEY,
    Checkpoint,
    checkpoint_of,
    parse_description,
    read_at_most,
)
from auralflow_pl.errors import InputError
from auralflow_pl.system.extras import require_extra

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

INPUT_NAME, OUTPUT_NAME = "magnitude", "mask"


def read_graph(content: bytes) -> dict[str, str]:
    """Metadata of an ONNX file, after a check that its graph is safe to run.

    Raises:
        InputError: the content is not an ONNX file, or the graph has references to other files,
            functions, nonstandard operators, loops, branches, or tensors with less data than
            their shape needs.
    """
    require_extra("onnx", "ONNX")
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(content)
    except (DecodeError, ValueError) as error:
        raise InputError("damaged or not an ONNX file") from error
    if [value.name for value in model.graph.input] != [INPUT_NAME] or len(model.graph.output) != 1:
        raise InputError(f"not exported by this project: expected one input, {INPUT_NAME}")
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise InputError("holds functions or sparse tensors; expected a plain graph")
    for tensor in (*model.graph.initializer, *read_constants(model)):
        check_tensor(tensor)
    return {entry.key: entry.value for entry in model.metadata_props}


def read_constants(model: ModelProto) -> Iterator[TensorProto]:
    """Yield the tensors among the attributes of the nodes.

    Raises:
        InputError: a node is a loop, a branch or a nonstandard operator.
    """
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise InputError(f"uses {node.domain}.{node.op_type}, no standard operator of ONNX")
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise InputError(f"holds {node.op_type}, a loop or branch; expected a plain graph")
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def check_tensor(tensor: TensorProto) -> None:
    """Raise InputError for a tensor in another file, or one with less data than its shape."""
    if tensor.external_data or tensor.data_location:
        raise InputError(f"tensor {tensor.name!r} is in another file; expected all in one")
    if any(d < 0 for d in tensor.dims) or math.prod(tensor.dims) > 8 * tensor.ByteSize():
        raise InputError(f"tensor {tensor.name!r} claims {list(tensor.dims)} and holds less")


MAX_GRAPH_BYTES = 2**31 - 1  # limit of protobuf


def read_onnx(path: Path) -> Checkpoint:
    """Read an exported ONNX file with the description in its metadata.

    Raises:
        InputError: the file is missing, too large, unsafe, or not exported by this project.
    """
    if not path.is_file():
        raise InputError("no such file; expected a checkpoint or an exported model")
    with path.open("rb") as file:
        graph = read_at_most(file, MAX_GRAPH_BYTES, path.name)
    text = read_graph(graph).get(METADATA_KEY)
    if text is None:
        raise InputError("not exported by this project: its metadata say nothing about it")
    if len(text) > MAX_CONFIG_BYTES:
        raise InputError(f"metadata of {len(text)} characters; expected at most {MAX_CONFIG_BYTES}")
    return checkpoint_of(parse_description(text.encode()), graph=graph)
