"""Targets as sums of stems, and conversion of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from auralflow_pl.errors import InputError, did_you_mean, shown


def resolve_targets(
    target: str | Sequence[str] | None,
    stems: Sequence[str],
    groups: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Return the stems whose sum is the target, for each name in `target`.

    Args:
        target: one or several names, each of a stem, of a group, or `accompaniment` (all stems but
            `vocals`).
        stems: names of all stems.
        groups: stems by the name of a group.

    Raises:
        InputError: no, unknown or repeated names, or a group with unknown stems.
    """
    names = (target,) if isinstance(target, str) else tuple(target or ())
    for name in (*stems, *names):
        if not isinstance(name, str):
            raise InputError(f"target or stem {shown(name)}: expected names, as in vocals")
    sums = {"accompaniment": tuple(stem for stem in stems if stem != "vocals")}
    for name, members in (groups or {}).items():
        for member in members:
            if member not in stems:
                raise InputError(
                    f"data.groups.{shown(name)}: {shown(member)} is no stem, "
                    f"{did_you_mean(str(member), stems)}"
                )
        if not members or len(set(members)) != len(members):
            raise InputError(
                f"data.groups.{shown(name)}={list(members)!s:.200}: expected different stems"
            )
        sums[name] = tuple(members)
    sums |= {stem: (stem,) for stem in stems}
    if not names or len(set(names)) != len(names):
        raise InputError(f"target={list(names)!s:.200}: expected one or several different stems")
    for name in names:
        if name not in sums:
            raise InputError(f"target={shown(name)}: no such stem, {did_you_mean(name, sums)}")
    return {name: sums[name] for name in names}


def check_members(
    targets: Mapping[str, Sequence[str]],
    stems: Sequence[str],
    remedy: str = "if one of them is it, pass data.groups={{{name}:[<stem>]}}",
) -> None:
    """Raise InputError if a data set with these stems lacks a stem of a target.

    `remedy` is the end of the message, in which `{name}` is the target.
    """
    for name, members in targets.items():
        for member in members:
            if member not in stems:
                raise InputError(
                    f"target={name}: needs the stem {member}, the data set has {', '.join(stems)}; "
                    f"{remedy.format(name=name)}"
                )


def sum_stems(sound: Tensor, stems: Sequence[str], targets: Mapping[str, Sequence[str]]) -> Tensor:
    """Sum stems `(..., stems, channels, time)` to targets `(..., targets, channels, time)`.

    Args:
        sound: all stems.
        stems: names of the stems.
        targets: stems whose sum is the target, by name of the target.
    """
    numbers = [[list(stems).index(member) for member in m] for m in targets.values()]
    return torch.stack([sound[..., n, :, :].sum(-3) for n in numbers], dim=-3)


def known_targets(
    holds: Tensor, stems: Sequence[str], targets: Mapping[str, Sequence[str]]
) -> Tensor:
    """Whether chunks can teach a target, `(batch, targets)`.

    They cannot if a sound holds stems of the target and other stems, undivided.

    Args:
        holds: stems that the sound in each place contains, `(batch, stems, stems)`; bool.
        stems: names of the stems.
        targets: stems whose sum is the target, by name of the target.
    """
    members = [[stem in m for stem in stems] for m in targets.values()]
    wanted = torch.tensor(members, device=holds.device, dtype=torch.float32)
    inside = holds.float() @ wanted.T  # (batch, stems, targets), stems of a target in a place
    return ((inside == 0) | (inside == holds.sum(-1, keepdim=True))).all(1)


def to_channels(audio: Tensor, channels: int) -> Tensor:
    """Convert `(..., channels, time)` to mono (by the mean), or from mono to several channels.

    Raises:
        InputError: any other conversion.
    """
    given = audio.shape[-2]
    if given == channels:
        return audio
    if channels == 1:
        return audio.mean(-2, keepdim=True)
    if given == 1:
        return audio.expand(*audio.shape[:-2], channels, audio.shape[-1])
    raise InputError(f"tracks have {given} channels, audio.channels={channels}: not convertible")
