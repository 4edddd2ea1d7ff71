"""Chains of Separators: the stems of one are the input of the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.separator.build import SAFE_NAME
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.resampling import resample_blocks
from auralflow_pl.signal.streams import align_blocks, branch_blocks

MIXTURE_NAME = "mixture"


@dataclass(frozen=True)
class Step:
    """One step of a chain: which stem a model separates, and what its stems are called."""

    name: str  # for messages and reports
    input: str = MIXTURE_NAME  # the mixture, or a stem of an earlier step
    names: str | Mapping[str, str] | None = None  # of the stem of a single target, or by target
    rest: str | None = None  # stem of the input minus all estimates; None: there is no such stem
    keep: bool = False  # stems that later steps separate are results as well

    def stems(self, targets: Sequence[str]) -> tuple[str, ...]:
        """Names of the stems that a model with these targets gives, the rest last.

        Raises:
            InputError: the model has other targets than `names`.
        """
        if isinstance(self.names, str):
            if len(targets) > 1:
                raise InputError(
                    f"chain.{self.name}.names={self.names}: the model has the targets "
                    f"{', '.join(targets)}; expected names for them, {{{targets[0]}:<stem>,...}}"
                )
            return self.with_rest([self.names])
        renamed = self.names or {}
        for target in renamed:
            if target not in targets:
                hint = did_you_mean(str(target), targets)
                raise InputError(f"chain.{self.name}.names: no target {target!r}, {hint}")
        return self.with_rest([renamed.get(target, target) for target in targets])

    def with_rest(self, names: Sequence[str]) -> tuple[str, ...]:
        """Names of stems, the rest last if there is one."""
        return (*names, *([] if self.rest is None else [self.rest]))


class Chain:
    """Separators, each of which separates the mixture or a stem of an earlier one.

    All of them are branches of one stream: memory does not grow with the length of the signal.
    The attribute `stems` has the names of the results: the stems that no step separates further,
    and those of steps with `keep`. The attribute `wholes` has those of them that a later step
    separates, so the other results hold them once more. If every step has a `rest`, the results
    without `wholes` sum to the mixture, up to rounding.

    Args:
        steps: in the order in which they run.
        separators: one for each step; one may serve several steps.

    Raises:
        InputError: no steps, an input that no earlier step gives, two stems or steps of one name,
            a name that is not safe as a file name, other targets than in `names`, or an input
            that is separated by a step with a `rest` and by another one.
    """

    def __init__(self, steps: Sequence[Step], separators: Sequence[Separator]) -> None:
        if not steps:
            raise InputError("chain: has no steps; expected chain.<step>.ckpt=...")
        self.steps, self.separators = tuple(steps), tuple(separators)
        self.given = [
            step.stems(separator.targets)
            for step, separator in zip(steps, self.separators, strict=True)
        ]
        self.check_names()
        self.check_inputs()
        self.inputs = Counter(step.input for step in steps)  # how many steps separate a signal
        self.stems = tuple(
            stem
            for step, stems in zip(steps, self.given, strict=True)
            for stem in stems
            if step.keep or stem not in self.inputs
        )
        self.wholes = tuple(stem for stem in self.stems if stem in self.inputs)
        self.is_flat = {*self.inputs} == {MIXTURE_NAME} and all(s.rest is None for s in steps)

    def check_names(self) -> None:
        """Raise InputError for names that are not safe as file names, or not unique."""
        taken = {MIXTURE_NAME: "the mixture"}
        for step, stems in zip(self.steps, self.given, strict=True):
            where = f"chain.{step.name}"
            for stem in stems:
                if not isinstance(stem, str) or not SAFE_NAME.fullmatch(stem):
                    raise InputError(
                        f"{where}: {stem!r} is not a name for a file; use letters and digits"
                    )
                if stem.casefold() in taken:
                    raise InputError(
                        f"{where}: {taken[stem.casefold()]} has the name {stem} already; pass "
                        f"another with {where}.names or {where}.rest"
                    )
                taken[stem.casefold()] = f"a stem of {where}"

    def check_inputs(self) -> None:
        """Raise InputError for inputs that no earlier step gives, or that count twice."""
        whose = {
            stem: step.name
            for step, stems in zip(self.steps, self.given, strict=True)
            for stem in stems
        }
        known, takers = [MIXTURE_NAME], dict[str, list[Step]]()
        for step, stems in zip(self.steps, self.given, strict=True):
            where = f"chain.{step.name}.input={step.input}"
            if step.input in stems:
                raise InputError(f"{where}: is a stem of this step; {did_you_mean('', known)}")
            if step.input in whose and step.input not in known:
                raise InputError(
                    f"{where}: chain.{whose[step.input]}, which gives it, comes later; expected "
                    "a stem of an earlier step"
                )
            if step.input not in known:
                raise InputError(f"{where}: no such stem, {did_you_mean(step.input, known)}")
            others = takers.setdefault(step.input, [])
            others.append(step)
            resting = next((other for other in others if other.rest is not None), None)
            if resting and len(others) > 1:
                raise InputError(
                    f"{where}: chain.{others[0].name} separates it as well, and with "
                    f"chain.{resting.name}.rest={resting.rest} it would count twice; let one step "
                    f"separate {resting.rest}, or pass chain.{resting.name}.rest=null"
                )
            known += stems

    def stream(
        self, blocks: Iterable[Tensor], sample_rate: int, output_rate: int | None = None
    ) -> Iterator[Tensor]:
        """Separate a signal block by block.

        The results do not depend on how the signal is cut into blocks.

        Args:
            blocks: `(channels, time)`, in [-1, 1].
            sample_rate: in whole Hz, 4000 to 768000. Stems pass from step to step at this rate.
            output_rate: sample rate of the results; default: `sample_rate`.

        Yields:
            float32 `(1 + stems, channels, time)`: the mixture, then `stems`.

        Raises:
            InputError: as `Separator.stream`.
        """
        wanted = output_rate or sample_rate
        rate = wanted if self.is_flat else sample_rate  # of the stems
        mixture, *branches = branch_blocks(blocks, 1 + self.uses(MIXTURE_NAME))
        signals = {MIXTURE_NAME: branches}  # branches that no step took yet, by signal
        results: list[Iterable[Tensor]] = [
            (block[None] for block in resample_blocks(mixture, sample_rate, rate))
        ]
        for step, separator, stems in zip(self.steps, self.separators, self.given, strict=True):
            ready = signals[step.input]
            estimates = separator.stream(ready.pop(), sample_rate, rate)
            parts = map(torch.as_tensor, named_errors(step, estimates))
            if step.rest is not None:
                parts = append_rest(ready.pop(), parts)
            kept = [number for number, stem in enumerate(stems) if stem in self.stems]
            uses = [number for number, stem in enumerate(stems) for _ in range(self.uses(stem))]
            copies = iter(branch_blocks(parts, bool(kept) + len(uses)))
            if kept:
                results.append(chosen_stems(next(copies), kept))
            for number, copy in zip(uses, copies, strict=True):
                signals.setdefault(stems[number], []).append(one_stem(copy, number))
        joined = (torch.cat(parts) for parts in align_blocks(results))
        yield from resample_blocks(joined, rate, wanted)

    def uses(self, stem: str) -> int:
        """How often steps read a signal: as their input, and once more for its rest."""
        return sum(1 + (step.rest is not None) for step in self.steps if step.input == stem)


def chosen_stems(blocks: Iterable[Tensor], numbers: Sequence[int]) -> Iterator[Tensor]:
    """Blocks `(stems, channels, time)` with some of the stems."""
    for block in blocks:
        yield block if len(numbers) == len(block) else block[numbers]


def one_stem(blocks: Iterable[Tensor], number: int) -> Iterator[Tensor]:
    """One of the stems of blocks `(stems, channels, time)`, `(channels, time)`."""
    for block in blocks:
        yield block[number]


def append_rest(mixtures: Iterable[Tensor], estimates: Iterable[Tensor]) -> Iterator[Tensor]:
    """Append to estimates `(targets, channels, time)` what they leave of their mixture."""
    for mixture, parts in align_blocks([mixtures, estimates]):
        rest = mixture
        for part in parts:  # one by one: a sum may round differently in blocks of other lengths
            rest = rest - part
        yield torch.cat([parts, rest[None]])


def named_errors(step: Step, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Blocks of the estimates of a step; errors about its input name step and stem.

    Raises:
        InputError: as the blocks, with the step in front unless its input is the mixture.
    """
    try:
        yield from blocks
    except InputError as error:
        if step.input == MIXTURE_NAME:
            raise
        raise InputError(f"chain.{step.name}.input={step.input}: {error}") from error
