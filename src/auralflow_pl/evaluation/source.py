"""The data set of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from auralflow_pl.checkpoints.contents import Checkpoint
from auralflow_pl.checks.arguments import check_arguments
from auralflow_pl.checks.imports import import_class
from auralflow_pl.config.instantiate import build
from auralflow_pl.data.tracks import TrackSource
from auralflow_pl.errors import InputError, one_line, printable, shown


def build_source(node: Mapping[str, Any] | None, trust: Sequence[str] = ()) -> TrackSource:
    """Build the data set that a checkpoint was trained on, from plain arguments only.

    Args:
        node: node `data.source` in the configuration of the checkpoint.
        trust: packages besides `auralflow_pl` whose data sets may be built.

    Raises:
        InputError: the class is not a `TrackSource` of a trusted package or connects to an address,
            or an argument is unknown or not plain.
    """
    if not isinstance(node, Mapping):
        raise InputError("data.source: the checkpoint names no data set; pass data=<set>")
    source = import_class(node, TrackSource, "data.source", trust)
    if source.opens_addresses:
        raise InputError(
            f"data.source: the checkpoint names the address {shown(node.get('url'))}, which is "
            "opened only if you name it; pass data=shards data.url=<address>"
        )
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    check_arguments(source, arguments, "data.source")
    if any(isinstance(value, Mapping) for value in arguments.values()):
        raise InputError("data.source: holds nested nodes; expected plain values")
    try:
        return source(**arguments)
    except TypeError as error:
        raise InputError(f"data.source: {one_line(error)}") from error


def find_source(config: DictConfig, checkpoint: Checkpoint | None) -> tuple[str, TrackSource]:
    """The data set that the command names, or else the one that the checkpoint was trained on.

    Only a data set given by the user may write files in `TrackSource.prepare`.

    Raises:
        InputError: not exactly one of `ckpt` and `estimates` is given, or no data set is found.
    """
    if config.data is not None:
        source = build(config.data.source)
        source.prepare()
        return source_label(config.data), source
    if checkpoint is None:
        raise InputError("estimates: of which data set? pass data=<set> data.root=<folder>")
    data = checkpoint.config["data"]
    if data.get("url"):
        build_source(data.get("source"), list(config.trust))
    for place in places(data):
        if place is None or not Path(place).exists():
            key = "file" if data.get("file") else "root"
            missing = f"was trained on data.{key}={printable(str(place))}, which is not here"
            raise InputError(
                f"the checkpoint {missing if place else 'names no data set'}; "
                "pass data=<set> data.root=<folder>"
            )
    return source_label(data), build_source(data.get("source"), list(config.trust))


def source_label(data: Mapping[str, Any]) -> str:
    """Name of a data set: the names of its folders or its file, or of its sets, joined by `+`."""
    if data.get("sets"):
        return "+".join(data["sets"])
    return "+".join(Path(str(place)).name for place in places(data))


def places(data: Mapping[str, Any]) -> Sequence[str | None]:
    """Folders of a data set, its address, or the file that lists its tracks; None: it has none."""
    return data.get("roots") or [data.get("url") or data.get("file") or data.get("root")]
