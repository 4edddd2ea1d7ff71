"""What a study may choose from: Hydra's overrides as distributions of Optuna, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from auralflow_pl.errors import InputError, one_line


@dataclass
class SearchSpace:
    """The keys of a study, those that it chooses and those that stay.

    Args:
        fixed: overrides that every trial has, by key.
        distributions: what is chosen, by key.
        words: how Hydra's grammar spells the choices, by key and choice.
    """

    fixed: dict[str, str] = field(default_factory=dict)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    words: dict[str, dict[Any, str]] = field(default_factory=dict)

    def add(self, override: Override) -> None:
        """Take an override; it replaces an earlier one of its key.

        Raises:
            InputError: its values cannot be searched.
        """
        key = override.get_key_element()
        self.fixed.pop(key, None)
        self.distributions.pop(key, None)
        if not override.is_sweep_override():
            self.fixed[key] = str(override.input_line)
            return
        try:
            self.distributions[key], self.words[key] = searched_values(override)
        except (ValueError, IndexError) as error:
            raise InputError(f"{override.input_line}: {one_line(error)}") from error

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The overrides of a trial with these values."""
        chosen = (
            f"{key}={self.words[key].get(value, value)}"
            for key, value in params.items()
            if key in self.words
        )
        return [*self.fixed.values(), *chosen]

    def examples(self) -> Iterator[list[str]]:
        """Overrides of a few trials, in which every choice occurs."""
        choices = {
            key: getattr(values, "choices", None) or (values.low,)  # type: ignore[attr-defined]
            for key, values in self.distributions.items()
        }
        for number in range(max(map(len, choices.values()))):
            yield self.overrides({k: each[number % len(each)] for k, each in choices.items()})

    def grid(self) -> dict[str, list[Any]]:
        """All values of each key.

        Raises:
            InputError: there is no end of them.
        """
        return {key: listed(key, values) for key, values in self.distributions.items()}


def parse_search_space(overrides: Sequence[str], loader: ConfigLoader) -> SearchSpace:
    """Take the overrides of a command line, of which the last one of a key counts.

    Raises:
        InputError: values that cannot be searched, or none.
    """
    space = SearchSpace()
    for override in OverridesParser.create(config_loader=loader).parse_overrides(list(overrides)):
        space.add(override)
    if not space.distributions:
        raise InputError(
            "sweep=optuna: no key has values to choose from; give some, for example "
            "'optimizer.lr=tag(log,interval(1e-4,1e-1))'"
        )
    return space


def searched_values(override: Override) -> tuple[BaseDistribution, dict[Any, str]]:
    """The distribution of an override with several values, and how its choices are spelled."""
    values = override.value()
    if isinstance(values, IntervalSweep):
        return numbers(values.start, values.end, None, "log" in values.tags), {}
    if isinstance(values, RangeSweep) and not values.shuffle:
        each = sorted(values.range())  # without its end, as in other sweeps
        return numbers(each[0], each[-1], abs(values.step), "log" in values.tags), {}
    elements = list(override.sweep_iterator())
    words = {Transformer.encode(element): Transformer.str(element) for element in elements}
    return CategoricalDistribution(list(words)), words


def numbers(low: Any, high: Any, step: Any, log: bool) -> BaseDistribution:
    """Whole numbers, if both ends and the step are."""
    if isinstance(low, int) and isinstance(high, int) and isinstance(step, int | None):
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(low, high, log=log, step=step)


def listed(key: str, values: BaseDistribution) -> list[Any]:
    """All values of a distribution, if it has an end of them."""
    if isinstance(values, CategoricalDistribution):
        return list(values.choices)
    if isinstance(values, IntDistribution):
        return list(range(values.low, values.high + 1, values.step))
    if isinstance(values, FloatDistribution) and values.step:
        count = round((values.high - values.low) / values.step) + 1
        return [values.low + number * values.step for number in range(count)]
    raise InputError(
        f"{key}: an interval cannot be listed; with hydra/sweeper/sampler=grid give choice(...) or "
        "range(...)"
    )
