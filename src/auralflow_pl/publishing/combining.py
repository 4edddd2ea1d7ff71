"""Combine several models into one, and fit the weights of their mean on songs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from auralflow_pl.checkpoints.contents import Checkpoint, named_settings
from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.targets import check_members, sum_stems, to_channels
from auralflow_pl.errors import InputError, shown
from auralflow_pl.models.ensemble import MaskEnsemble, band_of_frequency
from auralflow_pl.separator.build import build_separator
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.resampling import resample
from auralflow_pl.signal.stft import magnitude
from auralflow_pl.system.progress import Progress

ENSEMBLE = "auralflow_pl.models.ensemble.MaskEnsemble"

PIECE = 2**20  # samples of a song that are heard at a time

SAME_KEYS = ("audio", "stft")  # of the configurations of all members


class Combination(NamedTuple):
    """How the masks of members are combined; see `MaskEnsemble`."""

    combine: str = "mean"
    weights: Any = None
    band_edges: Sequence[float] = ()  # Hz


def combined(paths: Sequence[Path], way: Combination, trust: Sequence[str] = ()) -> Checkpoint:
    """The checkpoint of an ensemble of models.

    Args:
        paths: checkpoints or exported models.
        way: how the masks are combined.
        trust: packages besides `auralflow_pl` whose networks may be built.

    Raises:
        InputError: a model cannot be loaded, has no weights, or differs from the first in its
            targets, sound or STFT.
    """
    members = [load_checkpoint(path) for path in paths]
    first = members[0]
    for path, member in zip(paths, members, strict=True):
        if member.graph:
            raise InputError(f"{path}: an ONNX file; pass the checkpoint it was made from")
        for key in SAME_KEYS:
            ours, theirs = (dict(one.config[key]) for one in (first, member))
            if ours != theirs:
                raise InputError(
                    f"{path}: its {key} is {shown(theirs)}, that of {paths[0]} is {shown(ours)}; "
                    "only models of the same sound can be combined"
                )
        if targets_of(member) != targets_of(first):
            raise InputError(
                f"{path}: separates {', '.join(targets_of(member))}, and {paths[0]} "
                f"{', '.join(targets_of(first))}; expected the same targets in the same order"
            )
    model = {
        "_target_": ENSEMBLE,
        "members": [{**member.config["model"], "_partial_": True} for member in members],
        "combine": way.combine,
        "weights": way.weights,
        "band_edges": [2 * edge / first.config["audio"]["sample_rate"] for edge in way.band_edges],
    }
    weights = {
        f"members.{number}.{name}": value
        for number, member in enumerate(members)
        for name, value in member.weights.items()
    }
    config = {**first.config, "model": model}
    if any(named_settings(one.config) != named_settings(first.config) for one in members):
        config["separation"] = {}
    made = first._replace(config=config, weights=weights)
    build_separator(made, trust=trust)  # raises what is wrong with the weights of the mean
    return made


def targets_of(checkpoint: Checkpoint) -> list[str]:
    """Names of the targets of a checkpoint."""
    target = checkpoint.config["target"]
    return [target] if isinstance(target, str) else list(target)


@torch.inference_mode()
def fitted_weights(
    checkpoint: Checkpoint, songs: StemFolder, split: str, trust: Sequence[str] = ()
) -> list[list[list[float]]]:
    """Weights `members x targets x bands` with the least squared error of the spectra.

    For each target and band, the non-negative least squares of the target's spectrum on those of
    the members, all songs counting alike. Where they sum to more than 1, they are divided by it.

    Args:
        checkpoint: an ensemble, from `combined`.
        songs: songs with all stems of the targets.
        split: split of the songs.
        trust: packages besides `auralflow_pl` whose networks may be built.

    Raises:
        InputError: there are no songs, or they lack a stem.
    """
    separator = build_separator(checkpoint, trust=trust)
    network = separator.network
    assert isinstance(network, MaskEnsemble)
    shape = tuple(network.weights.shape)
    products = np.zeros((shape[1], shape[2], shape[0] + 1, shape[0] + 1))
    members = target_members(separator, songs.stems)
    for track in Progress(songs.tracks(split), desc="fit"):
        mixture, stems = track.read()
        mixture, truth = (
            resample(to_channels(x, separator.channels), track.sample_rate, separator.sample_rate)
            for x in (mixture, sum_stems(stems, songs.stems, members))
        )
        energy = truth.double().square().sum((1, 2))
        pieces = zip(mixture.split(PIECE, -1), truth.split(PIECE, -1), strict=True)
        song = sum(piece_products(separator, network, *piece) for piece in pieces)
        products += song / energy.clamp(min=1e-9).numpy()[:, None, None, None]
    weights = np.zeros(shape)
    for target in range(shape[1]):
        for band in range(shape[2]):
            weights[:, target, band] = least_squares(products[target, band])
    return [[list(map(float, row)) for row in member] for member in weights.round(4)]


def target_members(separator: Separator, names: Sequence[str]) -> dict[str, list[str]]:
    """Stems of each target among those of the songs: the target itself, or its members.

    Raises:
        InputError: the songs lack a stem of a target.
    """
    found = {
        target: [target] if target in names else list(members)
        for target, members in separator.target_stems.items()
    }
    check_members(found, names, "name those of the songs with stems=[...]")
    return found


def piece_products(
    separator: Separator, network: MaskEnsemble, mixture: Tensor, truth: Tensor
) -> np.ndarray:
    """Inner products `(targets, bands, n, n)` of the spectra of members and target, the last."""
    spectrum = separator.stft(mixture[None])
    masks = network.masks(magnitude(spectrum))[:, 0]  # (members, targets, channels, freq, frames)
    wanted = separator.stft(truth)
    bands = band_of_frequency(network.band_edges, spectrum.shape[-2], spectrum.device)
    found = np.zeros((*network.weights.shape[1:], len(masks) + 1, len(masks) + 1))
    for target in range(len(wanted)):
        vectors = torch.cat([masks[:, target] * spectrum[0], wanted[target][None]])
        for band in range(found.shape[1]):
            flat = torch.view_as_real(vectors[..., bands == band, :]).flatten(1).double()
            found[target, band] = (flat @ flat.T).numpy()
    return found


def least_squares(products: np.ndarray) -> np.ndarray:
    """Non-negative weights `(members,)` of least error, at most 1 in sum; equal if nothing heard.

    Args:
        products: inner products of the members' spectra and the target's, the last, `(n, n)`.
    """
    count = len(products) - 1
    gram, right = products[:count, :count], products[:count, count]
    if not right.any():
        return np.full(count, 1 / count)
    values, vectors = np.linalg.eigh(gram)
    kept = values > values.max() * 1e-9
    root = (vectors[:, kept] * np.sqrt(values[kept])).T  # root.T @ root is the Gram matrix
    weights, _ = nnls(root, (vectors[:, kept] / np.sqrt(values[kept])).T @ right)
    return weights / max(1.0, weights.sum())
