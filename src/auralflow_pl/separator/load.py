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
    """The Separator of a checkpoint or an exported model, in evaluation mode.

    Args:
        path: a checkpoint of train.py, or what export.py made of it; or the name or architecture
            of a model in a registry, which is fetched if it is not here yet; default: the vocal
            model that ships with the package.
        trust: packages beside `auralflow_pl` whose networks may be built.
        simplify: make it faster, and unfit to be trained or saved; see `MaskEstimator.simplify`.
        engine: `torch`, `onnx` (faster on the CPU, no gradients), or `auto` for `onnx` where that
            is possible. An ONNX file always runs in ONNX Runtime, which computes in `fp32`.
        target: what a model of a registry shall separate, if there are several.
        registries: files or folders beside those of the package and the user.
        precision: number format of the network, `fp32`, `bf16` or `fp16`; for the last two, `auto`
            is `torch`.
        **settings: `window_seconds`, `overlap`, `shifts`, `seed`, `batch_size` of the Separator.

    Raises:
        InputError: the checkpoint cannot be used, and why; or a setting that there is not.
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
    give_back_freed_memory()  # reading and rewriting weights leaves holes as large as they are
    return separator


def check_separator_settings(settings: Mapping[str, Any]) -> None:
    """Raise InputError for what is no setting of a Separator, or has another type."""
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
    """Raise InputError for numbers in a checkpoint that would take all memory, or are none."""
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
    """The network of a checkpoint, compared with its weights, and how to build it.

    Our own are outlined without memory: nothing is allocated for numbers that do not fit.

    Raises:
        InputError: the weights are not those of the network.
    """
    model, weights = checkpoint.config["model"], checkpoint.weights
    with nullcontext() if trust else on_meta_device():  # others may need real numbers
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
