"""Import of classes of trusted packages by their dotted names, of today or of former versions."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from auralflow_pl.errors import InputError

# Former names of modules, which existing checkpoints and YAML files contain.
MOVED_MODULES = {
    "auralflow_pl.callbacks.": "auralflow_pl.training.callbacks.",
    "auralflow_pl.data.musdb18.": "auralflow_pl.data.sources.musdb18.",
    "auralflow_pl.data.stem_folder.": "auralflow_pl.data.sources.stem_folder.",
    "auralflow_pl.data.synthetic.": "auralflow_pl.data.sources.synthetic.",
    "auralflow_pl.loggers.": "auralflow_pl.training.loggers.",
    "auralflow_pl.optimizers.": "auralflow_pl.training.optimizers.",
    "auralflow_pl.schedules.": "auralflow_pl.training.schedules.",
    "auralflow_pl.sweep.": "auralflow_pl.training.sweeps.results.",
}

# Former names of arguments, by the present name of their class.
RENAMED_ARGUMENTS = {
    "auralflow_pl.losses.spectral.ComponentLoss": {"alpha": "rest_weight", "beta": "shape_weight"},
    "auralflow_pl.models.unet.UNet": {"leak": "hidden_leak"},
}


def current_name(name: str) -> str:
    """Present dotted name of a class or function, given its present or former name."""
    for before, now in MOVED_MODULES.items():
        if name.startswith(before):
            return now + name.removeprefix(before)
    return name


def with_current_arguments(node: Any, where: str = "") -> Any:
    """Nested plain containers in which the arguments of each `_target_` have their present names.

    Args:
        node: the containers.
        where: key of the node, for messages.

    Raises:
        InputError: an argument has a value under its former name and under the present one.
    """
    if isinstance(node, list):
        return [with_current_arguments(part, where) for part in node]
    if not isinstance(node, dict):
        return node
    names = RENAMED_ARGUMENTS.get(current_name(str(node.get("_target_"))), {})
    for former, now in names.items():
        if former in node and now in node:
            raise InputError(renamed(where, former, now))
    return {
        names.get(key, key): with_current_arguments(part, f"{where}.{key}" if where else str(key))
        for key, part in node.items()
    }


def renamed(where: str, former: str, now: str) -> str:
    """One line for an argument of the node `where` that is given by its former name."""
    return f"{where}.{former}: is called {where}.{now} now; use that name"


def import_class(
    node: Mapping[str, Any], base: type, where: str, trust: Sequence[str] | None
) -> type[Any]:
    """Import the class that `_target_` names.

    Args:
        node: mapping with `_target_`.
        base: required base class.
        where: key of the node, for messages.
        trust: packages that are allowed beside `auralflow_pl`; None: any package.

    Raises:
        InputError: another package, an import error, or not a subclass of `base`.
    """
    name = current_name(str(node.get("_target_")))
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
