"""Build networks and Separators, from a configuration or from a checkpoint."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn

from auralflow_pl.checkpoints.contents import Checkpoint, named_settings
from auralflow_pl.checkpoints.tensors import check_tensor_values
from auralflow_pl.checks.arguments import check_arguments
from auralflow_pl.checks.imports import import_class, with_current_arguments
from auralflow_pl.data.targets import resolve_targets
from auralflow_pl.errors import InputError, did_you_mean, one_line, printable, shown
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.separator.engines.engine import engine_of_precision, start_engine
from auralflow_pl.separator.engines.graph_cache import NetworkPlan
from auralflow_pl.separator.engines.onnx import OnnxNetwork
from auralflow_pl.separator.input import check_setting_ranges
from auralflow_pl.separator.outline import on_meta_device
from auralflow_pl.separator.precision import autocast_dtype
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.stft import STFT
from auralflow_pl.system.heap import give_back_freed_memory

SAFE_NAME = re.compile(r"[^\W_][\w \-]{0,99}")  # for targets, which become file names


MODEL_KEYS = ("model", "target", "stft", "audio")  # of a configuration, beside the stems

HYDRA_KEYS = ("_target_", "_partial_")  # of a part of a network


def build_separator(
    checkpoint: Checkpoint,
    engine: str = "torch",
    precision: str | torch.dtype | None = None,
    trust: Sequence[str] = (),
    simplify: bool = True,
    **settings: Any,
) -> Separator:
    """Build the Separator of a checkpoint in hand, in evaluation mode.

    Args:
        checkpoint: from `checkpoints.load_checkpoint`.
        engine: see `load_separator`.
        precision: see `load_separator`.
        trust: packages beside `auralflow_pl` whose networks may be built.
        simplify: make it faster, and unfit to be trained or saved; see `MaskEstimator.simplify`.
        **settings: of the Separator; `speeds` and `mid_side` of None: as the model names them.

    Raises:
        InputError: the checkpoint cannot be used, and why; or a setting that there is not.
    """
    check_separator_settings(settings, build_separator)
    precision = autocast_dtype(precision)
    config, where = checkpoint.config, f"ckpt={checkpoint.path}: " if checkpoint.path else ""
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
                checkpoint.bounded,
                checkpoint.complex_masks,
            )
        else:
            plan = plan_network(checkpoint, len(targets), channels, freq, trust)
            network = start_engine(plan, engine_of_precision(engine, precision))
        stft = STFT(**config["stft"])
        for key, value in named_settings(config).items():
            if settings.get(key) is None:
                settings[key] = value
        check_arguments(Separator, settings, "separation")
        check_setting_ranges(settings)
    except InputError as error:
        raise InputError(f"{where}{printable(str(error))}") from error
    except (KeyError, TypeError, RuntimeError, AttributeError) as error:
        cause = one_line(error)
        raise InputError(f"{where}configuration and weights do not fit: {cause}") from error
    separator = assemble_separator(config, network, stft, targets, precision=precision, **settings)
    separator.eval()
    if simplify:
        separator.network.simplify()
        separator.network.untrainable = separator.network.untrainable or (
            "it was simplified for separation; load it with simplify=False"
        )
    give_back_freed_memory()  # reading and rewriting weights leaves holes as large as they are
    return separator


def check_separator_settings(settings: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Raise InputError for what is no setting of a Separator, or has another type or range.

    Args:
        settings: that were given.
        function: which takes them, beside arguments of its own.
    """
    functions = (function, Separator)
    parameters = [p for f in functions for p in inspect.signature(f).parameters.values()]
    known = [p.name for p in parameters if p.default is not p.empty]
    for name in settings:
        if name == "device":
            raise InputError("device: no such setting; move what was loaded: load(...).to(device)")
        if name not in known:
            raise InputError(f"{name}: no such setting, {did_you_mean(name, known)}")
    check_arguments(Separator, settings, "separation")
    check_setting_ranges(settings)


def new_separator(
    config: Mapping[str, Any],
    stems: Sequence[str],
    trust: Sequence[str] | None = (),
    **settings: Any,
) -> Separator:
    """Build network and Separator from a plain, resolved configuration.

    Args:
        config: configuration with `model`, `stft`, `audio`, `data` and `target`.
        stems: stems of the data set; each target is one of them or a group of them.
        trust: packages besides `auralflow_pl` whose networks may be built; None: all packages,
            for a configuration written by the user.
        **settings: keyword arguments of `Separator`.

    Raises:
        InputError: an unknown target, an unsuitable network, or an invalid setting.
    """
    targets = named_targets(config, stems)
    network = make_network(config["model"], len(targets), trust)
    return assemble_separator(config, network, STFT(**config["stft"]), targets, **settings)


def named_targets(config: Mapping[str, Any], stems: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Targets of a configuration, each with its stems.

    Raises:
        InputError: an unknown target, or a name that is not safe as a file name.
    """
    targets = resolve_targets(config["target"], stems, config["data"].get("groups"))
    for name in targets:
        if not SAFE_NAME.fullmatch(name):
            raise InputError(f"target={name!r}: not a name for a file; use letters and digits")
    return targets


def assemble_separator(
    config: Mapping[str, Any],
    network: MaskEstimator,
    stft: STFT,
    targets: Mapping[str, Sequence[str]],
    **settings: Any,
) -> Separator:
    """Build a Separator around a network, with `audio` of a configuration."""
    audio = config["audio"]
    separator = Separator(
        network, stft, targets, audio["sample_rate"], audio["channels"], **settings
    )
    separator.config = {key: config[key] for key in MODEL_KEYS if key in config} | {
        "data": {key: config["data"].get(key) for key in ("stems", "groups")}
    }
    return separator


def build_network(config: Mapping[str, Any], trust: Sequence[str] | None = ()) -> MaskEstimator:
    """Build the network of a configuration with random weights, a mask for each of its targets.

    The network maps magnitudes `(batch, channels, n_fft // 2 + 1, frames)`, float32 >= 0, to a
    `MaskEstimate`, whose mask `(batch, targets, channels, n_fft // 2 + 1, frames)` is not negative,
    and at most 1 if `MaskEstimator.bounded`.
    `channels` is `config.audio.channels` and `n_fft` is `config.stft.n_fft`.

    Args:
        config: the whole configuration of a training, as `compose()` returns it, or as plain
            containers.
        trust: packages beside `auralflow_pl` whose networks may be built; None: any, for a
            configuration that you wrote yourself.

    Raises:
        InputError: not a whole configuration, a target that its data set does not have, or a
            network that cannot be built or is of another package.
    """
    if not isinstance(config, Mapping) or "_target_" in config:
        given = "its part `model`" if isinstance(config, Mapping) else type(config).__name__
        raise InputError(f"{given}: expected a whole configuration, as compose() returns it")
    for key in ("model", "target", "data"):
        if key not in config:
            raise InputError(f"{key}: not in the configuration; compose() makes a whole one")
    plain = with_current_arguments(
        plain_values({key: config[key] for key in ("model", "target", "data")})
    )
    return make_network(plain["model"], len(named_targets(plain, plain["data"]["stems"])), trust)


def plain_values(node: Any) -> Any:
    """Dicts and lists of nested containers, those of OmegaConf among them, which resolve."""
    if isinstance(node, Mapping):
        return {key: plain_values(node[key]) for key in node}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [plain_values(value) for value in node]
    return node


def make_network(
    model: Mapping[str, Any], targets: int, trust: Sequence[str] | None = ()
) -> MaskEstimator:
    """Build the network of class `model["_target_"]` with the other entries as arguments.

    An argument with its own `_target_`, or each of a list of them, is passed as a partially applied
    module class, which the network calls with the remaining arguments. Its YAML says
    `_partial_: true`, so `hydra.utils.instantiate` does the same.

    Args:
        model: the node `model` of a configuration.
        targets: number of targets.
        trust: packages besides `auralflow_pl` whose classes may be used; None: all packages.

    Raises:
        InputError: the class is not a `MaskEstimator` of a trusted package, or an argument is
            unknown or invalid.
    """
    network = import_class(model, MaskEstimator, "model", trust)
    arguments = {key: value for key, value in model.items() if key != "_target_"}
    check_arguments(network, arguments, "model")
    parts = {key: make_part(value, f"model.{key}", trust) for key, value in arguments.items()}
    try:
        return network(**parts, targets=targets)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"model: {one_line(error)}") from error


def make_part(value: Any, where: str, trust: Sequence[str] | None) -> Any:
    """An argument of a network: a partially applied module class for a node, also in lists.

    Raises:
        InputError: as for `make_network`.
    """
    if isinstance(value, list):
        return [make_part(one, f"{where}.{number}", trust) for number, one in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    part: Callable[..., Any] = import_class(value, nn.Module, where, trust)
    options = {key: option for key, option in value.items() if key not in HYDRA_KEYS}
    check_arguments(part, options, where)
    return partial(part, **{k: make_part(v, f"{where}.{k}", trust) for k, v in options.items()})


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
        outline = make_network(model, targets, trust)
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
        network = make_network(model, targets, trust)
        network.load_state_dict(weights)
        return network.eval()

    return NetworkPlan(model, weights, outline, targets, channels, freq, build)
