"""Read networks of open-unmix: a state dict per target, alone or together in a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from auralflow_pl.checkpoints.archive import archive_names
from auralflow_pl.checkpoints.contents import (
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    MAX_MODEL_BYTES,
    Checkpoint,
    read_at_most,
)
from auralflow_pl.checkpoints.trained import CHECKPOINT_KEY, read_tensors_only
from auralflow_pl.errors import InputError, shown
from auralflow_pl.system.files import file_sha256
from auralflow_pl.system.folders import visible

SUFFIX, OUR_SUFFIXES = ".pth", (".ckpt", ".onnx", ".zip")

FILE_NAME = re.compile(r"(.+?)(?:-([0-9a-f]{8})|_[0-9a-f]{8})?")  # target, start of the SHA-256

TARGET_ORDER = ("vocals", "drums", "bass", "other", "speech", "noise")

PUBLISHED = {4096: (44100, 1024), 1024: (16000, 512)}  # sample rate and hop of a transform

TRANSFORM_KEYS = ("sample_rate", "stft.window", "transform.0.window")  # in files of version 1.0

SETTINGS_FILE = "separator.json"  # which the training of open-unmix writes


def open_unmix_files(path: Path) -> list[Path]:
    """The files of a model of open-unmix: all `.pth` of a folder, or `path`; empty if it is none.

    Folders with a model or models of this project are none.
    """
    if path.is_file():
        return [path] if path.suffix == SUFFIX else []
    files = visible(path) if path.is_dir() else []
    ours = any(
        p.name == CONFIG_FILE or (p / CONFIG_FILE).is_file() or p.suffix in OUR_SUFFIXES
        for p in files
    )
    return [] if ours else [p for p in files if p.suffix == SUFFIX and p.is_file()]


def read_open_unmix(path: Path) -> Checkpoint | None:
    """Read a network of open-unmix or a folder of them; None if `path` holds none.

    The sizes are those of the weights. What weights do not tell, sample rate and hop, is read from
    `separator.json` or `<target>.json` beside them, or is that of the published models.

    Raises:
        InputError: a file is damaged, could run code, or is not what its name says; two files are
            of one target or of different sizes; or sample rate and hop are not known.
    """
    networks: dict[str, dict[str, Tensor]] = {}
    config: dict[str, Any] = {}
    files = open_unmix_files(path)
    if not files or (files == [path] and is_ours(path)):
        return None
    for file in files:
        try:
            name = target_of(file)
            state = read_network(file)
            found = config_of(state, file.parent, name)
            config = config or found
            if name in networks:
                raise InputError(f"another file for {shown(name)}; expected one for each target")
            if found != config:
                raise InputError("has other sizes than the files before; pass a list of files")
        except InputError as error:
            raise InputError(f"{file.name}: {error}" if file != path else str(error)) from error
        networks[name] = {k: v for k, v in state.items() if k not in TRANSFORM_KEYS}
    known = [name for name in TARGET_ORDER if name in networks]
    names = [*known, *sorted(networks.keys() - set(known))]
    weights = {
        f"networks.{number}.{key}": value
        for number, name in enumerate(names)
        for key, value in networks[name].items()
    }
    config |= {"target": names, "data": {"stems": names}}
    return Checkpoint(config, weights, exported=True)


def target_of(file: Path) -> str:
    """Target in the name of a file: `vocals.pth`, `vocals-b62c91ce.pth` or `speech_f5e0d9f9.pth`.

    Raises:
        InputError: digits behind a dash are not the beginning of the file's SHA-256.
    """
    match = FILE_NAME.fullmatch(file.stem)
    assert match is not None  # a stem has a character at least
    target, digits = match.groups()
    if digits and not (found := file_sha256(file)).startswith(digits):
        raise InputError(
            f"its SHA-256 begins with {found[:8]}, its name says {digits}: damaged or not the "
            f"file that was published; download it again, or call your own {target}{SUFFIX}"
        )
    return target


def is_ours(file: Path) -> bool:
    """Whether a file is a checkpoint of this project, which may have any suffix.

    Raises:
        InputError: the file is damaged or could run code.
    """
    content = read_content(file)
    return isinstance(content, dict) and CHECKPOINT_KEY in content


def read_content(file: Path) -> Any:
    """Content of a file of `torch.save`, also of former versions of torch.

    Raises:
        InputError: the file is too large, damaged, or could run code.
    """
    if file.stat().st_size > MAX_MODEL_BYTES:
        raise InputError(f"larger than {MAX_MODEL_BYTES / 1e9:.1f} GB; expected a network")
    archive_names(file)
    return read_tensors_only(file, before_zip=True)


def read_network(file: Path) -> dict[str, Tensor]:
    """State dict of a file.

    Raises:
        InputError: see `read_content`; or it holds no network of open-unmix.
    """
    content = read_content(file)
    if not isinstance(content, dict) or "fc1.weight" not in content:
        raise InputError("no network of open-unmix: expected its state dict, with fc1.weight")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise InputError(f"{shown(key)}: expected names and tensors only, as open-unmix saves")
    return dict(content)


def config_of(state: Mapping[str, Tensor], folder: Path, target: str) -> dict[str, Any]:
    """Entries `model`, `stft` and `audio` of the configuration of a network.

    Args:
        state: its state dict.
        folder: where its settings may be.
        target: name of the target.

    Raises:
        InputError: a weight is missing or has an unsuitable shape, or settings are invalid.
    """
    hidden_size, inputs = shape_of(state, "fc1.weight", 2)
    (heard,), (freq,) = (shape_of(state, key, 1) for key in ("input_mean", "output_mean"))
    channels, rest = divmod(inputs, heard)
    if rest or freq < heard or freq < 2:
        raise InputError(
            f"no network of open-unmix: fc1.weight has {inputs} inputs for {heard} of {freq} "
            "frequencies, expected as many for each channel"
        )
    n_fft = 2 * (freq - 1)
    sample_rate, hop_length = transform_of(state, folder, target, n_fft)
    return {
        "model": {
            "_target_": "auralflow_pl.models.open_unmix.OpenUnmix",
            "channels": channels,
            "n_fft": n_fft,
            "bandwidth": min((heard - 0.5) / (freq - 1), 1.0),
            "hidden_size": hidden_size,
            "layers": sum(re.fullmatch(r"lstm\.weight_ih_l\d+", key) is not None for key in state),
            "unidirectional": "lstm.weight_ih_l0_reverse" not in state,
        },
        "stft": {
            "n_fft": n_fft,
            "win_length": n_fft,
            "hop_length": hop_length,
            "pad_mode": "reflect",
        },
        "audio": {"sample_rate": sample_rate, "channels": channels},
    }


def shape_of(state: Mapping[str, Tensor], key: str, axes: int) -> tuple[int, ...]:
    """Shape of a weight.

    Raises:
        InputError: there is no such weight, or its shape has another number of axes or a 0.
    """
    shape = tuple(state[key].shape) if key in state else ()
    if len(shape) != axes or 0 in shape:
        raise InputError(f"no network of open-unmix: {key} is {shape or 'missing'}")
    return shape


def transform_of(
    state: Mapping[str, Tensor], folder: Path, target: str, n_fft: int
) -> tuple[int, int]:
    """Sample rate in Hz and hop in samples, from files beside the weights or as published.

    Raises:
        InputError: a file is invalid or of another transform, or there is none and no published
            model has this transform.
    """
    own = read_settings(folder / f"{target}.json").get("args")
    own = {key: own[key] for key in ("nfft", "nhop") if key in own} if isinstance(own, dict) else {}
    rate = {}
    if "sample_rate" in state and state["sample_rate"].numel() == 1:
        rate["sample_rate"] = state["sample_rate"].item()
    known = dict(zip(("sample_rate", "nhop"), PUBLISHED.get(n_fft, ()), strict=False))
    settings = {**known, **rate, **own, **read_settings(folder / SETTINGS_FILE)}
    if settings.get("nfft", n_fft) != n_fft:
        raise InputError(f"n_fft is {n_fft} here and {shown(settings['nfft'])} in the file beside")
    missing = [key for key in ("sample_rate", "nhop") if key not in settings]
    if missing:
        raise InputError(
            f"a network for n_fft={n_fft}, whose {' and '.join(missing)} the weights do not tell; "
            f"put the {SETTINGS_FILE} of its training beside it"
        )
    sample_rate, hop_length = (settings[key] for key in ("sample_rate", "nhop"))
    for key, value in (("sample_rate", sample_rate), ("nhop", hop_length)):
        if not (isinstance(value, int | float) and value == value // 1):
            raise InputError(f"{key}={shown(value)}: expected a whole number")
    return int(sample_rate), int(hop_length)


def read_settings(path: Path) -> dict[str, Any]:
    """Content of a settings file of open-unmix; empty if there is no such file.

    Raises:
        InputError: it is too large, or no JSON with keys and values.
    """
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        text = read_at_most(file, MAX_CONFIG_BYTES, path.name)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path.name} beside it: not of open-unmix, or damaged; restore it")
    return content
