"""Load a Separator from a checkpoint or an exported model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from auralflow_pl.checkpoints.contents import Checkpoint
from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.checkpoints.trained import check_tensor_values
from auralflow_pl.checks.arguments import check_arguments
from auralflow_pl.errors import InputError, did_you_mean, one_line, printable, shown
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.pretrained.cache import resolve_model
from auralflow_pl.pretrained.locations import BUNDLED_MODEL
from auralflow_pl.separator.build import assemble_separator, build_network, named_targets
from auralflow_pl.separator.engine import engine_of_precision, start_engine
from auralflow_pl.separator.graph_cache import NetworkPlan
from auralflow_pl.separator.onnx import OnnxNetwork
from auralflow_pl.separator.outline import on_meta_device
from auralflow_pl.separator.precision import autocast_dtype
from auralflow_pl.separator.separator import Separator
from auralflow_pl.system.heap import give_back_freed_memory


def load_separator(
    path: str | Path = BUNDLED_MODEL,
    trust: Sequence[str] = (),
    simplify: bool = True,
    engine: str = "torch",
    target: str | Sequence[str] | None = None,
    registries: str | Sequence[str] = (),
    precision: str | torch.dtype | None = None,
    **settings: Any,
) -> Separator:
    """Load the Separator of a checkpoint or an exported model, in evaluation mode.

    Args:
        path: a training checkpoint or an exported model; or the name or architecture of a model
            in a registry, which is downloaded if it is not cached; default: the vocal model
            bundled with the package.
        trust: packages besides `auralflow_pl` whose networks may be built.
        simplify: fold layers of the network, which makes it faster but unfit for training and
            saving; see `MaskEstimator.simplify`.
        engine: `torch`, `onnx` (faster on the CPU, no gradients), or `auto`: `onnx` if possible,
            else `torch`. An ONNX file always runs in ONNX Runtime, which computes in `fp32`.
        target: target or targets of the wanted model, to choose among several models of an
            architecture.
        registries: registry files or folders besides those of the package and the user.
        precision: number format of the network, `fp32`, `bf16` or `fp16`; with the last two,
            `auto` means `torch`.
        **settings: `window_seconds`, `overlap`, `shifts`, `seed`, `batch_size` of `Separator`.

    Raises:
        InputError: the model cannot be found or used, or a setting is unknown or invalid.
    """
    check_separator_settings(settings)
    precision = autocast_dtype(precision)
    path = resolve_model(path, target, registries)
    checkpoint = load_checkpoint(path)
    config = checkpoint.config
    try:
        check_plausible(config)
        targets = named_targets(config, config["data"]["stems"])
        channels, freq = config["audio"]["channels"], config["stft"]["n_fft"] // 2 + 1
        if checkpoint.graph:
            engine_of_precision("onnx", precision)
            network: MaskEstimator = OnnxNetwork(
                checkpoint.graph,
                len(targets),
                channels,
                freq,
                checkpoint.frame_multiple,
                checkpoint.frame_reach,
            )
        else:
            plan = plan_network(checkpoint, len(targets), channels, freq, trust)
            network = start_engine(plan, engine_of_precision(engine, precision))
        separator = assemble_separator(config, network, targets, precision=precision, **settings)
    except InputError as error:
        raise InputError(f"ckpt={path}: {printable(str(error))}") from error
    except (KeyError, TypeError, RuntimeError, AttributeError) as error:
        cause = one_line(error)
        raise InputError(f"ckpt={path}: configuration and weights do not fit: {cause}") from error
    separator.eval()
    if simplify:
        separator.network.simplify()
    give_back_freed_memory()  # loading leaves free memory as large as the weights
    return separator


def check_separator_settings(settings: Mapping[str, Any]) -> None:
    """Raise InputError for a setting that `Separator` does not have, or of the wrong type."""
    functions = (load_separator, Separator)
    parameters = [p for f in functions for p in inspect.signature(f).parameters.values()]
    known = [p.name for p in parameters if p.default is not p.empty]
    for name in settings:
        if name == "device":
            raise InputError("device: no such setting; move what was loaded: load(...).to(device)")
        if name not in known:
            raise InputError(f"{name}: no such setting, {did_you_mean(name, known)}")
    check_arguments(Separator, settings, "separation")


def check_plausible(config: Mapping[str, Any]) -> None:
    """Raise InputError for audio or STFT settings that are not integers or exhaust the memory."""
    bounds = {
        "audio": {"sample_rate": 10**6, "channels": 64},
        "stft": {"n_fft": 2**20, "win_length": 2**20, "hop_length": 2**20},
    }
    for group, entries in bounds.items():
        for key, largest in entries.items():
            value = config[group][key]
            if type(value) is not int or not 1 <= value <= largest:
                raise InputError(f"{group}.{key}={value!s:.50}: expected 1 to {largest}")


def plan_network(
    checkpoint: Checkpoint, targets: int, channels: int, freq: int, trust: Sequence[str]
) -> NetworkPlan:
    """Check the weights of a checkpoint against its network and return a plan to build it.

    Networks of this package are outlined on the meta device, so no memory is allocated for a
    configuration that does not fit its weights. Networks of trusted packages may need real
    values.

    Raises:
        InputError: the weights do not fit the network, or have invalid values.
    """
    model, weights = checkpoint.config["model"], checkpoint.weights
    with nullcontext() if trust else on_meta_device():  # other packages may need real values
        outline = build_network(model, targets, trust)
    expected = outline.state_dict()
    for name in (*expected, *weights):
        shapes = [tuple(part[name].shape) if name in part else None for part in (expected, weights)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"configuration and weights do not fit: {shown(name)} is {shapes[1]}, expected "
                f"{shapes[0]}"
            )
    parameters = {name for name, _ in outline.named_parameters(remove_duplicate=False)}
    for name, value in weights.items():
        check_tensor_values(name, value, expected[name].dtype, name in parameters)

    def build() -> MaskEstimator:
        network = build_network(model, targets, trust)
        network.load_state_dict(weights)
        return network.eval()

    return NetworkPlan(model, weights, outline, targets, channels, freq, build)
