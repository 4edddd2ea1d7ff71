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

SAFE_NAME = re.compile(r"[^\W_][\w \-]{0,99}")  # of targets, which become file names


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
    return assemble_separator(config, network, targets, **settings)


def named_targets(config: Mapping[str, Any], stems: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The targets of a configuration, whose names can be those of files."""
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
