"""The forms in which a model is passed on, and reading them without running anything.

A folder, or one archive, with `model.safetensors`, `config.json` and `README.md`; or an ONNX file,
whose metadata hold what is in `config.json` elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from torch import Tensor

from auralflow_pl import __version__
from auralflow_pl.errors import InputError, printable
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.models.onnx import read_graph

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
ENTRY = "auralflow_pl"  # of the metadata of an ONNX file
LARGEST_CARD = 2**17
LARGEST_CONFIG = 2**20  # bytes
LARGEST_MODEL = 2**32
LARGEST_GRAPH = 2**31 - 1  # what protobuf can hold
SHARED = (  # of the configuration of a training; no key that says where data or runs are
    *("model", "target", "stft", "audio", "chunk_seconds", "seed", "loss", "loss_weights"),
    *("optimizer", "scheduler", "augment", "precision", "trainer"),
)
DAMAGED = (zipfile.BadZipFile, KeyError, EOFError, OSError, ValueError, RuntimeError)
SHARED_DATA = ("stems", "groups", "batch_size", "chunks_per_epoch", "max_tracks")


class Checkpoint(NamedTuple):
    """The part of a checkpoint, or of an exported model, that evaluation and separation need."""

    config: Mapping[str, Any]  # plain, resolved, of the training run
    weights: Mapping[str, Tensor]  # of the network; none if there is a graph
    step: int = 0  # optimizer steps so far
    averaged: bool = False  # whether the weights are an average, beside which the raw ones are kept
    graph: bytes = b""  # an ONNX file
    frame_multiple: int = 1  # of the graph, see MaskEstimator
    frame_reach: int | None = None  # likewise
    exported: bool = False  # without the state of a training, which could go on


def describe(
    config: Mapping[str, Any], step: int, averaged: bool, network: MaskEstimator
) -> dict[str, Any]:
    """The content of `config.json`, but for the digest of the weights.

    Args:
        config: of the training; folders of this machine are left out.
        step: optimizer steps of the training.
        averaged: whether the weights are an average.
        network: which has the weights.
    """
    data = config["data"]
    roots = data.get("roots") or [data.get("root")]
    public = {key: config[key] for key in SHARED if key in config}
    public["data"] = {key: data[key] for key in SHARED_DATA if key in data} | {
        "name": printable(data.get("name") or "+".join(Path(str(r)).name for r in roots if r))
    }
    return {
        "format": FORMAT,
        "auralflow_pl": __version__,
        "step": step,
        "averaged": averaged,
        "frame_multiple": network.frame_multiple,
        "frame_reach": network.frame_reach,
        "config": without_folders(public),
    }


def without_folders(node: Any) -> Any:
    """A copy of nested containers in which paths have lost their folders."""
    if isinstance(node, Mapping):
        return {key: without_folders(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [without_folders(value) for value in node]
    return node.replace("\\", "/").rpartition("/")[2] if isinstance(node, str) else node


def write_weights(
    folder: Path, description: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> str:
    """Write `model.safetensors` and `config.json`; returns the SHA-256 of the former."""
    from safetensors.torch import save

    content = save({name: value.contiguous() for name, value in weights.items()})
    (folder / WEIGHTS).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    text = json.dumps({**description, "sha256": digest}, indent=2)
    (folder / CONFIG).write_text(text + "\n")
    return digest


def write_archive(folder: Path, path: Path) -> None:
    """Put the files of a folder into one archive, uncompressed and without times of change."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            with (
                file.open("rb") as source,
                archive.open(zipfile.ZipInfo(file.name), "w", force_zip64=True) as target,
            ):
                shutil.copyfileobj(source, target)


def read_shared(path: Path) -> Checkpoint | None:
    """Read a folder, an archive or an ONNX file; None if `path` is none of them.

    Raises:
        InputError: it is, but cannot be used, and why.
    """
    if path.is_dir():
        return read_folder(path)
    if path.suffix == ".safetensors":
        raise InputError(f"weights without their {CONFIG}; pass the folder that holds both")
    if path.suffix == ".onnx":
        return read_onnx(path)
    return read_archive(path) if CONFIG in archive_names(path) else None


def archive_names(path: Path) -> list[str]:
    """Names in a zip archive; none if it is not one.

    Raises:
        InputError: it is TorchScript, or its entries are compressed or claim to be larger than the
            archive, as those of no checkpoint and no export are.
    """
    try:
        if not path.is_file():
            return []
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []
    if any(entry.filename.split("/")[1:] == ["constants.pkl"] for entry in entries):
        raise InputError(
            "a TorchScript file, which runs the code in it when it is loaded; pass the checkpoint, "
            "or what export.py format=safetensors or format=onnx makes of it"
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or (
        sum(entry.file_size for entry in entries) > path.stat().st_size
    ):
        raise InputError("damaged or packed again: its entries are compressed; expected them as is")
    return [entry.filename for entry in entries]


def read_folder(folder: Path) -> Checkpoint:
    """Read `config.json` and the weights of a folder, which are mapped, not copied."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(
                f"no such file in this folder: {name}; expected a checkpoint or an exported model"
            )
    with (folder / CONFIG).open("rb") as file:
        description = parse(read_at_most(file, LARGEST_CONFIG, CONFIG))
    path = folder / WEIGHTS
    if path.stat().st_size > LARGEST_MODEL:
        raise InputError(f"{WEIGHTS} is larger than {LARGEST_MODEL / 1e9:.1f} GB")
    with path.open("rb") as file:
        check_digest(description, hashlib.file_digest(file, "sha256").hexdigest())
    return shared(description, weights=tensors_of(path))


def read_archive(path: Path) -> Checkpoint:
    """Read the same from an archive, in memory: no name in it becomes that of a file."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open(CONFIG) as file:
                description = parse(read_at_most(file, LARGEST_CONFIG, CONFIG))
            with archive.open(WEIGHTS) as file:
                content = read_at_most(file, LARGEST_MODEL, WEIGHTS)
        check_digest(description, hashlib.sha256(content).hexdigest())
        return shared(description, weights=load(content))
    except InputError:
        raise
    except (*DAMAGED, SafetensorError) as error:
        cause = " ".join(str(error).split())[:200]
        raise InputError(f"damaged archive: {cause}; copy or export it again") from error


def read_card(path: Path) -> str | None:
    """The model card in an exported folder or archive, if it has one of a usual length."""
    try:
        if (path / CARD).is_file():
            with (path / CARD).open("rb") as file:
                content = read_at_most(file, LARGEST_CARD, CARD)
        else:
            with zipfile.ZipFile(path) as archive, archive.open(CARD) as file:
                content = read_at_most(file, LARGEST_CARD, CARD)
        return content.decode()
    except (InputError, ValueError, *DAMAGED):
        return None


def read_onnx(path: Path) -> Checkpoint:
    """Read an ONNX file and the description in its metadata."""
    if not path.is_file():
        raise InputError("no such file; expected a checkpoint or an exported model")
    with path.open("rb") as file:
        graph = read_at_most(file, LARGEST_GRAPH, path.name)
    text = read_graph(graph).get(ENTRY)
    if text is None:
        raise InputError("not exported by this project: its metadata say nothing about it")
    if len(text) > LARGEST_CONFIG:
        raise InputError(f"metadata of {len(text)} characters; expected at most {LARGEST_CONFIG}")
    return shared(parse(text.encode()), graph=graph)


def read_at_most(file: IO[bytes], size: int, name: str) -> bytes:
    """The whole file, if it is no longer than `size` bytes."""
    content = file.read(size + 1)
    if len(content) > size:
        raise InputError(f"{name} is longer than {size} bytes")
    return content


def parse(content: bytes) -> Mapping[str, Any]:
    """A description, whose form is checked; what the configuration says is checked by its users."""
    try:
        description = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{CONFIG}: not JSON: {' '.join(str(error).split())[:100]}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise InputError(f"{CONFIG}: expected format {FORMAT}, which this version reads")
    kinds = {"config": dict, "step": int, "averaged": bool, "frame_multiple": int}
    for key, kind in kinds.items():
        if not isinstance(description.get(key), kind):
            raise InputError(f"{CONFIG}: {key} is missing or no {kind.__name__}")
    if not 1 <= description["frame_multiple"] <= 2**16:
        raise InputError(f"{CONFIG}: frame_multiple={description['frame_multiple']}")
    reach = description.get("frame_reach")
    if reach is not None and not (type(reach) is int and 0 <= reach <= 2**20):
        raise InputError(f"{CONFIG}: frame_reach={reach!s:.50}: expected a number of frames")
    return description


def shared(
    description: Mapping[str, Any],
    weights: Mapping[str, Tensor] | None = None,
    graph: bytes = b"",
) -> Checkpoint:
    """A description with what belongs to it."""
    return Checkpoint(
        description["config"],
        weights or {},
        description["step"],
        description["averaged"],
        graph,
        description["frame_multiple"],
        description.get("frame_reach"),
        exported=True,
    )


def check_digest(description: Mapping[str, Any], digest: str) -> None:
    """Raise InputError unless the weights are those that the description is about."""
    if description.get("sha256") != digest:
        raise InputError(
            f"{WEIGHTS} is not the file that {CONFIG} describes (SHA-256 {digest[:12]}...); copy "
            "or export both again"
        )


def tensors_of(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, mapped; its header is checked against its size before."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        cause = " ".join(str(error).split())[:200]
        raise InputError(f"{WEIGHTS}: damaged: {cause}; copy or export it again") from error
