"""From a checkpoint or a configuration to networks and Separators, without running what it says."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from auralflow_pl.arguments import check_arguments
from auralflow_pl.data.tracks import TrackSource, resolve_targets
from auralflow_pl.device import give_back_freed_memory
from auralflow_pl.engine import Plan, engine_for, start
from auralflow_pl.errors import InputError, did_you_mean, printable
from auralflow_pl.model_file import check_values, load_checkpoint
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.models.onnx import OnnxNetwork
from auralflow_pl.models.outline import without_memory
from auralflow_pl.pretrained import chosen
from auralflow_pl.separation import Separator, number_format
from auralflow_pl.sharing import Checkpoint
from auralflow_pl.signal.stft import STFT
from auralflow_pl.strict_yaml import plainly

BUNDLED = Path(__file__).parent / "bundled" / "vocals"  # the model that ships with the package
SAFE_NAME = re.compile(r"[^\W_][\w \-]{0,99}")  # of targets, which become file names


def load_separator(
    path: str | Path = BUNDLED,
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
    check_settings(settings)
    precision = number_format(precision)
    path = chosen(path, target, registries)
    checkpoint = load_checkpoint(path)
    config = checkpoint.config
    try:
        check_plausible(config)
        targets = named_targets(config, config["data"]["stems"])
        channels, freq = config["audio"]["channels"], config["stft"]["n_fft"] // 2 + 1
        if checkpoint.graph:
            engine_for("onnx", precision)
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
            network = start(plan, engine_for(engine, precision))
        separator = assemble(config, network, targets, precision=precision, **settings)
    except InputError as error:
        raise InputError(f"ckpt={path}: {printable(str(error))}") from error
    except (KeyError, TypeError, RuntimeError, AttributeError) as error:
        cause = " ".join(str(error).split())[:200]
        raise InputError(f"ckpt={path}: configuration and weights do not fit: {cause}") from error
    separator.eval()
    if simplify:
        separator.network.simplify()
    give_back_freed_memory()  # reading and rewriting weights leaves holes as large as they are
    return separator


def check_settings(settings: Mapping[str, Any]) -> None:
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
) -> Plan:
    """The network of a checkpoint, compared with its weights, and how to build it.

    Our own are outlined without memory: nothing is allocated for numbers that do not fit.

    Raises:
        InputError: the weights are not those of the network.
    """
    model, weights = checkpoint.config["model"], checkpoint.weights
    with nullcontext() if trust else without_memory():  # others may need real numbers
        outline = build_network(model, targets, trust)
    expected = outline.state_dict()
    for name in (*expected, *weights):
        shapes = [tuple(part[name].shape) if name in part else None for part in (expected, weights)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"configuration and weights do not fit: {plainly(name)} is {shapes[1]}, expected "
                f"{shapes[0]}"
            )
    parameters = {name for name, _ in outline.named_parameters(remove_duplicate=False)}
    for name, value in weights.items():
        check_values(name, value, expected[name].dtype, name in parameters)

    def build() -> MaskEstimator:
        network = build_network(model, targets, trust)
        network.load_state_dict(weights)
        return network.eval()

    return Plan(model, weights, outline, targets, channels, freq, build)


def build_separator(
    config: Mapping[str, Any],
    stems: Sequence[str],
    trust: Sequence[str] | None = (),
    **settings: Any,
) -> Separator:
    """Build network and Separator from a plain, resolved configuration.

    Args:
        config: with `model`, `stft`, `audio` and `target`.
        stems: of the data set, among which the targets must be.
        trust: packages beside `auralflow_pl` whose networks may be built; None: all of them,
            for a configuration that the user wrote.
        **settings: of the Separator.
    """
    targets = named_targets(config, stems)
    network = build_network(config["model"], len(targets), trust)
    return assemble(config, network, targets, **settings)


def named_targets(config: Mapping[str, Any], stems: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The targets of a configuration, whose names can be those of files."""
    targets = resolve_targets(config["target"], stems, config["data"].get("groups"))
    for name in targets:
        if not SAFE_NAME.fullmatch(name):
            raise InputError(f"target={name!r}: not a name for a file; use letters and digits")
    return targets


def assemble(
    config: Mapping[str, Any],
    network: MaskEstimator,
    targets: Mapping[str, Sequence[str]],
    **settings: Any,
) -> Separator:
    """A Separator around a network."""
    audio = config["audio"]
    return Separator(
        network,
        STFT(**config["stft"]),
        targets,
        audio["sample_rate"],
        audio["channels"],
        **settings,
    )


def build_network(
    model: Mapping[str, Any], targets: int, trust: Sequence[str] | None = ()
) -> MaskEstimator:
    """Build the network that `model["_target_"]` names, with the other entries as arguments.

    An argument with a `_target_` of its own is a part of the network, a module that the network
    finishes building.

    Raises:
        InputError: not a MaskEstimator of a trusted package, or an argument that it does not have.
    """
    network = locate(model, MaskEstimator, "model", trust)
    arguments = {key: value for key, value in model.items() if key != "_target_"}
    check_arguments(network, arguments, "model")
    for key, value in arguments.items():
        if isinstance(value, Mapping):
            part = locate(value, nn.Module, f"model.{key}", trust)
            options = {name: option for name, option in value.items() if name != "_target_"}
            check_arguments(part, options, f"model.{key}")
            arguments[key] = partial(part, **options)
    try:
        return network(**arguments, targets=targets)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"model: {' '.join(str(error).split())}") from error


def build_source(node: Mapping[str, Any] | None, trust: Sequence[str] = ()) -> TrackSource:
    """Build the data set that a checkpoint was trained on, from plain arguments only.

    Raises:
        InputError: not a TrackSource of a trusted package, or arguments that are not plain.
    """
    if not isinstance(node, Mapping):
        raise InputError("data.source: the checkpoint names no data set; pass data=<set>")
    source = locate(node, TrackSource, "data.source", trust)
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    check_arguments(source, arguments, "data.source")
    if any(isinstance(value, Mapping) for value in arguments.values()):
        raise InputError("data.source: holds nested nodes; expected plain values")
    try:
        return source(**arguments)
    except TypeError as error:
        raise InputError(f"data.source: {' '.join(str(error).split())}") from error


def locate(
    node: Mapping[str, Any], base: type, where: str, trust: Sequence[str] | None
) -> type[Any]:
    """The class that `_target_` names, if it is a `base` of a trusted package.

    Raises:
        InputError: another package, nothing importable, or no `base`.
    """
    name = str(node.get("_target_"))
    package = name.partition(".")[0]
    if trust is not None and package not in ("auralflow_pl", *trust):
        raise InputError(
            f"{where}._target_={name}: not of auralflow_pl; pass trust=[{package}] if you trust it"
        )
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except (ImportError, ValueError) as error:
        raise InputError(f"{where}._target_={name}: cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{where}._target_={name}: not a {base.__name__}")
    if trust is not None and found.__module__.partition(".")[0] != package:
        raise InputError(f"{where}._target_={name}: comes from {found.__module__}")
    return found
