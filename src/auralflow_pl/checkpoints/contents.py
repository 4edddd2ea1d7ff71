"""Contents of a model file in any format: configuration, weights or graph, and metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from torch import Tensor

from auralflow_pl.errors import InputError, printable, shown
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.pretrained.locations import WEIGHTS_FILE
from auralflow_pl.version import __version__

EXPORT_FORMAT = 1

CONFIG_FILE, CARD_FILE = "config.json", "README.md"  # beside `WEIGHTS_FILE`

METADATA_KEY = "auralflow_pl"  # entry in the metadata of an ONNX file

MAX_CONFIG_BYTES = 2**20

MAX_MODEL_BYTES = 2**32

SHARED_KEYS = (  # keys of a training configuration to export; none with folders of data or runs
    *("model", "target", "stft", "audio", "chunk_seconds", "seed", "loss", "loss_weights"),
    *("optimizer", "scheduler", "augment", "precision", "trainer"),
)

NAMED_SETTINGS = ("speeds", "mid_side")  # of `separation`, which a model may name

SHARED_DATA_KEYS = ("stems", "groups", "batch_size", "chunks_per_epoch", "max_tracks")


class Checkpoint(NamedTuple):
    """The part of a checkpoint, or of an exported model, that evaluation and separation need."""

    config: Mapping[str, Any]  # plain, resolved configuration of the training run
    weights: Mapping[str, Tensor]  # weights of the network; empty if there is a graph
    step: int = 0  # optimizer steps so far
    averaged: bool = False  # the weights are a moving average over steps
    graph: bytes = b""  # content of an ONNX file
    frame_multiple: int = 1  # see MaskEstimator; for graphs only
    frame_reach: int | None = None  # see MaskEstimator; for graphs only
    bounded: bool = True  # see MaskEstimator; for graphs only
    complex_masks: bool = False  # see MaskEstimator; for graphs only
    exported: bool = False  # has no training state, so training cannot resume from it
    path: Path | None = None  # file or folder it was read from
    batches: int = 0  # batches taken from an epoch that is not finished


def describe_model(
    config: Mapping[str, Any], step: int, averaged: bool, network: MaskEstimator
) -> dict[str, Any]:
    """Content of `config.json`, without the digest of the weights.

    Args:
        config: configuration of the training; folders are removed from it.
        step: optimizer steps of the training.
        averaged: whether the weights are a moving average over steps.
        network: network with these weights.
    """
    data = config["data"]
    roots = data.get("roots") or [data.get("url") or data.get("root")]
    public = {key: config[key] for key in SHARED_KEYS if key in config}
    public["data"] = {key: data[key] for key in SHARED_DATA_KEYS if key in data} | {
        "name": printable(data.get("name") or "+".join(Path(str(r)).name for r in roots if r))
    }
    if named := named_settings(config):
        public["separation"] = named
    return {
        "format": EXPORT_FORMAT,
        "auralflow_pl": __version__,
        "step": step,
        "averaged": averaged,
        "frame_multiple": network.frame_multiple,
        "frame_reach": network.frame_reach,
        "bounded": network.bounded,
        "complex_masks": network.complex_masks,
        "config": without_folders(public),
    }


def named_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of separation that a model names, of those that raise its scores."""
    separation = config.get("separation")
    given = separation if isinstance(separation, Mapping) else {}
    return {key: given[key] for key in NAMED_SETTINGS if given.get(key) is not None}


def without_folders(node: Any) -> Any:
    """Copy nested containers and reduce every path in them to its last part."""
    if isinstance(node, Mapping):
        return {key: without_folders(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [without_folders(value) for value in node]
    return node.replace("\\", "/").rpartition("/")[2] if isinstance(node, str) else node


def read_at_most(file: IO[bytes], size: int, name: str) -> bytes:
    """Read a file whole.

    Raises:
        InputError: the file is longer than `size` bytes; `name` is named in the message.
    """
    content = file.read(size + 1)
    if len(content) > size:
        raise InputError(f"{name} is longer than {size} bytes")
    return content


def parse_description(content: bytes) -> Mapping[str, Any]:
    """Parse and check the content of a `config.json`, except for its entry `config`.

    Raises:
        InputError: the content is not JSON, has another format version, or an invalid entry.
    """
    try:
        description = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{CONFIG_FILE}: not JSON: {' '.join(str(error).split())[:100]}"
        ) from error
    if not isinstance(description, dict) or description.get("format") != EXPORT_FORMAT:
        raise InputError(
            f"{CONFIG_FILE}: expected format {EXPORT_FORMAT}, which this version reads"
        )
    kinds = {"config": dict, "step": int, "averaged": bool, "frame_multiple": int}
    for key, kind in kinds.items():
        if not isinstance(description.get(key), kind):
            raise InputError(f"{CONFIG_FILE}: {key} is missing or no {kind.__name__}")
    if not 1 <= description["frame_multiple"] <= 2**16:
        raise InputError(f"{CONFIG_FILE}: frame_multiple={description['frame_multiple']}")
    reach = description.get("frame_reach")
    if reach is not None and not (type(reach) is int and 0 <= reach <= 2**20):
        raise InputError(f"{CONFIG_FILE}: frame_reach={reach!s:.50}: expected a number of frames")
    for key in ("bounded", "complex_masks"):  # former versions did not state them
        value = description.get(key, True)
        if not isinstance(value, bool):
            raise InputError(f"{CONFIG_FILE}: {key}={shown(value)}: expected true or false")
    return description


def checkpoint_of(
    description: Mapping[str, Any],
    weights: Mapping[str, Tensor] | None = None,
    graph: bytes = b"",
) -> Checkpoint:
    """Checkpoint of a parsed description with its weights or its graph."""
    return Checkpoint(
        description["config"],
        weights or {},
        description["step"],
        description["averaged"],
        graph,
        description["frame_multiple"],
        description.get("frame_reach"),
        description.get("bounded", True),
        description.get("complex_masks", False),
        exported=True,
    )


def check_weights_digest(description: Mapping[str, Any], digest: str) -> None:
    """Raise InputError unless `digest` is the SHA-256 of the weights in the description."""
    if description.get("sha256") != digest:
        raise InputError(
            f"{WEIGHTS_FILE} is not the file that {CONFIG_FILE} describes (SHA-256 "
            f"{digest[:12]}...); copy or export both again"
        )
