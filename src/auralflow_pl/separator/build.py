"""Build networks and Separators from a plain configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from auralflow_pl.checks.arguments import check_arguments
from auralflow_pl.checks.imports import import_class
from auralflow_pl.data.targets import resolve_targets
from auralflow_pl.errors import InputError, one_line
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.stft import STFT

SAFE_NAME = re.compile(r"[^\W_][\w \-]{0,99}")  # for targets, which become file names


def build_separator(
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
    network = build_network(config["model"], len(targets), trust)
    return assemble_separator(config, network, targets, **settings)


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
    targets: Mapping[str, Sequence[str]],
    **settings: Any,
) -> Separator:
    """Build a Separator around a network, with `stft` and `audio` of a configuration."""
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
    """Build the network of class `model["_target_"]` with the other entries as arguments.

    An argument with its own `_target_` is passed as a partially applied module class, which the
    network calls with the remaining arguments.

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
    for key, value in arguments.items():
        if isinstance(value, Mapping):
            part = import_class(value, nn.Module, f"model.{key}", trust)
            options = {name: option for name, option in value.items() if name != "_target_"}
            check_arguments(part, options, f"model.{key}")
            arguments[key] = partial(part, **options)
    try:
        return network(**arguments, targets=targets)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"model: {one_line(error)}") from error
