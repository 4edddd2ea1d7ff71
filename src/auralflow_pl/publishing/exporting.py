"""Export a model as safetensors, ONNX or TorchScript."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auralflow_pl.checkpoints.archive import read_card, read_tensors, write_archive, write_weights
from auralflow_pl.checkpoints.contents import (
    CARD_FILE,
    CONFIG_FILE,
    METADATA_KEY,
    Checkpoint,
    describe_model,
)
from auralflow_pl.checkpoints.quantized import rounding_level, to_float16, to_int8
from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError
from auralflow_pl.pretrained.locations import WEIGHTS_FILE, model_label, output_root
from auralflow_pl.publishing.card import markdown_quote, model_card
from auralflow_pl.publishing.scores import find_scores
from auralflow_pl.separator.build import build_separator
from auralflow_pl.separator.engines.onnx import MASK_TOLERANCE, export_onnx
from auralflow_pl.separator.engines.torchscript import export_torchscript
from auralflow_pl.separator.separator import Separator
from auralflow_pl.system.folders import visible
from auralflow_pl.system.staging import check_writable, staged_folder

EXPORT_SUFFIXES = {"safetensors": "", "onnx": ".onnx", "torchscript": ".pt"}

WEIGHT_FORMATS = ("float16", "int8")


@dataclass(frozen=True)
class ExportedModel:
    """A model to export, with its description and card."""

    separator: Separator  # not simplified
    description: Mapping[str, Any]  # see `describe_model`
    weights: Mapping[str, Tensor]  # as stored in the checkpoint
    card: str

    def sizes(self) -> tuple[int, int]:
        """Channels and frequency bins of what the network takes."""
        return (
            self.separator.channels * self.separator.network.planes,
            self.separator.stft.n_fft // 2 + 1,
        )


def export_path(ckpt: Path, form: str) -> Path:
    """Default output: `export/<ckpt>` with the suffix of a format, in `output_root`."""
    return output_root(ckpt) / "export" / f"{model_label(ckpt)}{EXPORT_SUFFIXES[form]}"


def check_output(output: Path, form: str) -> None:
    """Raise InputError for an output with an unsuitable suffix, of another kind, or in use."""
    suffixes = ("", ".zip") if form == "safetensors" else (EXPORT_SUFFIXES[form],)
    if output.suffix not in suffixes and (
        form != "safetensors" or output.suffix in (".onnx", ".pt")
    ):
        expected = "a folder or a .zip file" if form == "safetensors" else f"a {suffixes[0]} file"
        raise InputError(f"output={output}: expected {expected} for format={form}")
    folder = form == "safetensors" and output.suffix != ".zip"
    if output.exists() and output.is_dir() != folder:
        kind = "a folder" if output.is_dir() else "a file"
        raise InputError(f"output={output}: is {kind} already; choose another name")
    if (
        folder
        and output.is_dir()
        and {p.name for p in visible(output)} - {CARD_FILE, CONFIG_FILE, WEIGHTS_FILE}
    ):
        raise InputError(f"output={output}: holds other files; choose a folder of its own")
    check_writable(output if folder else output.parent)


def load_model(ckpt: Path, trust: list[str], licence: str | None) -> ExportedModel:
    """Load a model to export, and write its description and card.

    Args:
        ckpt: checkpoint or exported model.
        trust: packages besides `auralflow_pl` whose networks may be built.
        licence: licence of the weights; None: not stated.

    Raises:
        InputError: the model cannot be loaded, or is an ONNX file, which has no weights.
    """
    checkpoint = load_checkpoint(ckpt)
    if checkpoint.graph:
        raise InputError(f"ckpt={ckpt}: is exported already; pass the checkpoint it was made from")
    return model_of(checkpoint, trust, licence, [ckpt])


def model_of(
    checkpoint: Checkpoint, trust: list[str], licence: str | None, origins: Sequence[Path]
) -> ExportedModel:
    """A model to export from a checkpoint in hand.

    Args:
        checkpoint: with weights.
        trust: as for `load_model`.
        licence: as for `load_model`.
        origins: models that it was made from, whose cards are quoted; the scores are those of a
            single one.

    Raises:
        InputError: the network cannot be built.
    """
    separator = build_separator(checkpoint, trust=trust, simplify=False)
    description = describe_model(
        checkpoint.config, checkpoint.step, checkpoint.averaged, separator.network
    )
    parameters = sum(p.numel() for p in separator.network.parameters())
    scores = list(find_scores(origins[0], separator.targets)) if len(origins) == 1 else []
    card = model_card(description, separator.targets, parameters, scores, licence)
    for former in filter(None, map(read_card, origins)):
        card += f"\n\n## The card of the model that this was made from\n\n{markdown_quote(former)}"
    return ExportedModel(separator, description, checkpoint.weights, card)


def weight_format(dtype: str | None, half: bool, form: str = "safetensors") -> str | None:
    """Format of the weights from the keys `dtype` and `half`; None: as they are.

    Args:
        dtype: one of `WEIGHT_FORMATS`, or None.
        half: the same as `dtype=float16`.
        form: format of the file, one of `EXPORT_SUFFIXES`.

    Raises:
        InputError: no such format, one that contradicts `half`, or a file that has no such weights.
    """
    if dtype is not None:
        one_of("dtype", dtype, WEIGHT_FORMATS)
    if half and dtype not in (None, "float16"):
        raise InputError(f"dtype={dtype}, half=true: half=true is dtype=float16; pass one of them")
    if form != "safetensors" and (half or dtype):
        key = f"dtype={dtype}" if dtype else "half=true"
        raise InputError(f"{key}: format={form} holds float32; pass format=safetensors")
    return dtype or ("float16" if half else None)


def export_weights(model: ExportedModel, output: Path, dtype: str | None = None) -> str:
    """Write weights, configuration and card to a folder, or to an archive if it ends in `.zip`.

    Args:
        model: model to export.
        output: the folder or archive.
        dtype: one of `WEIGHT_FORMATS`, to which the weights are rounded; None: as they are. What
            reads the model computes with float32 whatever the format.

    Returns:
        line with size and digest of the weights, for the user.

    Raises:
        InputError: the weights read back differ from the model.
    """
    weights = {name: value.contiguous() for name, value in model.weights.items()}
    kind = "bit-identical"
    if dtype is not None:
        weights = (to_int8 if dtype == "int8" else to_float16)(weights)
        level = rounding_level(model.weights, weights)
        kind = f"rounded to {dtype} (difference {level:.0f} dB)"
    archive = output.suffix == ".zip"
    with staged_folder(output.parent if archive else output) as temporary:
        folder = temporary / "files" if archive else temporary
        folder.mkdir(exist_ok=True)
        digest = write_weights(folder, model.description, weights)
        (folder / CARD_FILE).write_text(
            f"{model.card}\n- weights: {kind}\n- SHA-256 of `{WEIGHTS_FILE}`: `{digest}`\n",
            encoding="utf-8",
        )
        written = read_tensors(folder / WEIGHTS_FILE)
        if any(not torch.equal(written[name], value) for name, value in weights.items()):
            raise InputError(f"output={output}: the weights were not written as they are; retry")
        size = (folder / WEIGHTS_FILE).stat().st_size
        if archive:
            write_archive(folder, temporary / output.name)
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    return f"{size / 1e6:.1f} MB of weights, {kind}; SHA-256 {digest}"


def export_file(model: ExportedModel, form: str, output: Path) -> str:
    """Export to one file, after its masks were compared with those of the network.

    Args:
        model: model to export.
        form: `onnx` or `torchscript`.
        output: the file.

    Returns:
        line with the size and the largest difference of masks, for the user.

    Raises:
        InputError: the network cannot be exported, or its masks differ.
    """
    text, network = json.dumps(model.description), model.separator.network
    if form == "onnx":
        metadata = {METADATA_KEY: text, "card": model.card}
        content, difference = export_onnx(network, *model.sizes(), metadata)
    else:
        files = {CONFIG_FILE: text, CARD_FILE: model.card}
        content, difference = export_torchscript(network, *model.sizes(), files)
    with staged_folder(output.parent) as temporary:
        (temporary / output.name).write_bytes(content)
    limit = f"at most {difference:.1e} from those of torch (limit {MASK_TOLERANCE:.0e})"
    return f"{len(content) / 1e6:.1f} MB; masks differ by {limit}"
