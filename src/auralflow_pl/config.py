"""The configuration: where it lives, what its closed keys are, and how its nodes become objects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_method, instantiate
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.arguments import check_arguments
from auralflow_pl.errors import InputError, did_you_mean

POSITIVE = (
    "chunk_seconds",
    "audio.sample_rate",
    "audio.channels",
    "separation.window_seconds",
    "separation.batch_size",
    "separation.shifts",
    "data.batch_size",
    "data.chunks_per_epoch",
    "data.max_tracks",
    "data.prefetch_factor",
    "duration",
    "jobs",
    "keep_minutes",
    "max_mb",
    "max_minutes",
    "queue",
    "resamples",
    "sample_rate",
    "raw.sample_rate",
    "raw.channels",
)
NOT_NEGATIVE = (
    "offset",
    "seed",
    "separation.seed",
    "draws",
    "port",
    "data.num_workers",
    "separation.overlap",
)


def config_dir() -> Path:
    """The folder of the YAML groups: in the installed package, or at the top of the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parents[1] / "configs"


@dataclass
class AudioKeys:
    """What the network hears."""

    sample_rate: int = MISSING
    channels: int = MISSING


@dataclass
class STFTKeys:
    """Arguments of `signal.stft.STFT`."""

    n_fft: int = MISSING
    win_length: int = MISSING
    hop_length: int = MISSING


@dataclass
class SeparationKeys:
    """How whole signals are cut into windows; arguments of `separation.Separator`."""

    window_seconds: float | None = None
    overlap: float | None = None
    shifts: int = MISSING
    seed: int = MISSING
    batch_size: int = MISSING


@dataclass
class DataKeys:
    """A data set, how chunks are drawn from it (`Drawing`) and loaded (`StemDataModule`)."""

    source: Any = MISSING
    root: str | None = None
    roots: list[str] | None = None
    weights: list[float] | None = None
    stems: list[str] = MISSING
    groups: dict[str, list[str]] | None = None
    max_tracks: int | None = None
    balance: str = MISSING
    silence_db: float | None = None
    keep_silent: float = MISSING
    chunks_per_epoch: int = MISSING
    batch_size: int = MISSING
    num_workers: int | None = None
    persistent_workers: bool = MISSING
    pin_memory: bool = MISSING
    prefetch_factor: int = MISSING


@dataclass
class PrecisionKeys:
    """Number format of the training."""

    precision: str = MISSING
    channels_last: bool = MISSING
    init_scale: float | None = None


@dataclass
class PathKeys:
    """Where things are kept."""

    data_dir: str = MISSING
    runs_dir: str = MISSING
    run_dir: str = MISSING


@dataclass
class TrainKeys:
    """Top level of configs/train.yaml."""

    target: Any = MISSING
    loss_weights: dict[str, float] | None = None
    seed: int = MISSING
    chunk_seconds: float = MISSING
    resume: str | None = None
    compile: bool = MISSING
    print_config: bool = MISSING
    silent: bool = MISSING
    audio: AudioKeys = field(default_factory=AudioKeys)
    stft: STFTKeys = field(default_factory=STFTKeys)
    separation: SeparationKeys = field(default_factory=SeparationKeys)
    paths: PathKeys = field(default_factory=PathKeys)
    data: DataKeys = field(default_factory=DataKeys)
    precision: PrecisionKeys = field(default_factory=PrecisionKeys)
    pool: Any = None
    augment: Any = None
    model: Any = MISSING
    loss: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = None
    trainer: Any = MISSING
    metrics: Any = None
    callbacks: Any = None
    logger: Any = None


@dataclass
class SelfcheckKeys(TrainKeys):
    """Top level of configs/selfcheck.yaml."""

    check: str = MISSING
    kills: int = MISSING
    steps: int = MISSING


@dataclass
class DoctorKeys:
    """Top level of configs/doctor.yaml."""

    target: Any = MISSING
    seed: int = MISSING
    chunk_seconds: float = MISSING
    draws: int = MISSING
    output: str = MISSING
    audio: AudioKeys = field(default_factory=AudioKeys)
    stft: STFTKeys = field(default_factory=STFTKeys)
    paths: PathKeys = field(default_factory=PathKeys)
    data: DataKeys = field(default_factory=DataKeys)
    pool: Any = None
    augment: Any = None


@dataclass
class EvaluateKeys:
    """Top level of configs/evaluate.yaml."""

    ckpt: str | None = None
    estimates: str | None = None
    split: str = MISSING
    output: str | None = None
    references: list[str] = MISSING
    rest: bool = MISSING
    report: bool = MISSING
    jobs: int | None = None
    device: str = MISSING
    engine: str = MISSING
    registries: Any = MISSING
    trust: list[str] = MISSING
    separation: SeparationKeys = field(default_factory=SeparationKeys)
    paths: PathKeys = field(default_factory=PathKeys)
    metrics: Any = None
    trainer: Any = None
    data: Any = None


@dataclass
class CompareKeys:
    """Top level of configs/compare.yaml."""

    runs: list[str] = MISSING
    output: str | None = None
    confidence: float = MISSING
    resamples: int = MISSING
    seed: int = MISSING


@dataclass
class ExportKeys:
    """Top level of configs/export.yaml."""

    ckpt: str = MISSING
    format: str = MISSING
    output: str | None = None
    half: bool = MISSING
    licence: str | None = None
    registries: Any = MISSING
    trust: list[str] = MISSING
    paths: PathKeys = field(default_factory=PathKeys)


@dataclass
class DownloadKeys:
    """Top level of configs/download.yaml."""

    name: str = MISSING
    target: Any = None
    save: str | None = None
    registries: Any = MISSING


@dataclass
class ModelsKeys:
    """Top level of configs/models.yaml."""

    name: str | None = None
    remove: str | None = None
    registries: Any = MISSING


@dataclass
class PublishKeys:
    """Top level of configs/publish.yaml."""

    ckpt: str = MISSING
    name: str = MISSING
    licence: str = MISSING
    output: str = MISSING
    sources: Any = MISSING
    architecture: str | None = None
    trained_on: str | None = None
    description: str | None = None
    half: bool = MISSING
    overwrite: bool = MISSING
    registries: Any = MISSING
    trust: list[str] = MISSING


@dataclass
class RawKeys:
    """Raw PCM on standard input, little-endian."""

    sample_rate: int | None = None
    channels: int = MISSING
    subtype: str = MISSING


@dataclass
class SeparateKeys:
    """Top level of configs/separate.yaml."""

    ckpt: Any = None
    input: Any = MISSING
    output: str = MISSING
    format: str | None = None
    subtype: str | None = None
    sample_rate: int | None = None
    residual: bool = MISSING
    wiener: bool = MISSING
    clip: str = MISSING
    offset: float = MISSING
    duration: float | None = None
    raw: RawKeys = field(default_factory=RawKeys)
    plot: bool = MISSING
    overwrite: bool = MISSING
    jobs: int = MISSING
    shard: str | None = None
    device: Any = MISSING
    max_ram: str | None = None
    engine: str = MISSING
    registries: Any = MISSING
    trust: list[str] = MISSING
    precision: PrecisionKeys = field(default_factory=PrecisionKeys)
    separation: SeparationKeys = field(default_factory=SeparationKeys)
    paths: PathKeys = field(default_factory=PathKeys)


@dataclass
class DemoKeys:
    """Top level of configs/demo.yaml."""

    ckpt: Any = None
    host: str = MISSING
    port: int = MISSING
    max_minutes: float = MISSING
    max_mb: float = MISSING
    keep_minutes: float = MISSING
    queue: int = MISSING
    device: str = MISSING
    engine: str = MISSING
    registries: Any = MISSING
    trust: list[str] = MISSING
    precision: PrecisionKeys = field(default_factory=PrecisionKeys)
    separation: SeparationKeys = field(default_factory=SeparationKeys)
    paths: PathKeys = field(default_factory=PathKeys)


def validated(config: DictConfig, schema: type) -> DictConfig:
    """A copy of `config` with checked keys, types and arguments.

    Raises:
        InputError: an unknown key (with the nearest valid one), a missing one, a wrong type, or an
            argument that its `_target_` does not have.
    """
    for key in missing_keys(OmegaConf.to_container(config)):
        raise InputError(f"missing required key: {key}; pass {key}=...")
    check_keys(config, schema, "")
    try:
        checked = OmegaConf.merge(OmegaConf.structured(schema), config)
        OmegaConf.resolve(checked)
    except OmegaConfBaseException as error:
        raise InputError(f"{error.full_key}: {' '.join(str(error.msg).split())}") from error
    check_ranges(checked)
    for where, node in targets(checked):
        check_target(where, node)
    return checked


def check_ranges(config: DictConfig) -> None:
    """Raise InputError for numbers that make no sense whatever else is chosen."""
    for key in (*POSITIVE, *NOT_NEGATIVE):
        value = OmegaConf.select(config, key)
        if value is None:
            continue
        least = "at least 0" if key in NOT_NEGATIVE else "more than 0"
        if not math.isfinite(value) or value < 0 or (value == 0 and key in POSITIVE):
            raise InputError(f"{key}={value}: expected {least}")


def missing_keys(node: Any, where: str = "") -> Iterator[str]:
    """Keys of plain, unresolved containers whose value is `???`."""
    if node == "???":
        yield where
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from missing_keys(value, f"{where}.{key}" if where else str(key))


def check_keys(config: Mapping[str, Any], schema: type, where: str) -> None:
    """Raise InputError for a key that the schema does not have."""
    valid = {entry.name: entry for entry in fields(schema)}
    for key in config:
        name = f"{where}{key}"
        if key not in valid:
            raise InputError(f"{name}: no such key, {did_you_mean(str(key), valid)}")
        default = valid[key].default_factory
        if config[key] is None and valid[key].default is MISSING:
            raise InputError(f"{name}=null: expected a value")
        if is_dataclass(default) and not OmegaConf.is_dict(config[key]):
            raise InputError(
                f"{name}={config[key]}: expected {name}.<key>=... with one of "
                f"{', '.join(entry.name for entry in fields(default))}"
            )
        if is_dataclass(default):
            check_keys(config[key], default, f"{name}.")


def targets(node: Any, where: str = "") -> Iterator[tuple[str, DictConfig]]:
    """`(key, node)` of every node with a `_target_`."""
    if OmegaConf.is_dict(node):
        if "_target_" in node:
            yield where, node
        for key in node:
            yield from targets(node[key], f"{where}.{key}" if where else str(key))


def check_target(where: str, node: DictConfig) -> None:
    """Raise InputError unless `_target_` exists and takes the other keys as arguments."""
    try:
        function = get_method(node["_target_"])
    except Exception as error:
        raise InputError(f"{where}._target_={node['_target_']}: cannot be imported") from error
    values = {name: value for name, value in plain(node).items() if not name.startswith("_")}
    check_arguments(function, values, where)


def build(node: Any, **arguments: Any) -> Any:
    """Instantiate a node; a fault in its arguments becomes an InputError.

    None stays None.
    """
    if node is None:
        return None
    try:
        return instantiate(node, **arguments)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, InputError):
            raise cause from None
        text = " ".join(str(cause).split())
        raise InputError(f"{node['_target_'].rpartition('.')[2]}: {text}") from error


def plain(config: Any) -> Any:
    """Resolved containers of plain values."""
    return OmegaConf.to_container(config, resolve=True)


def flat_keys(node: Any, where: str = "") -> Iterator[str]:
    """All keys of a configuration in dotted form, nodes before their children."""
    if OmegaConf.is_dict(node):
        for key in node:
            name = f"{where}.{key}" if where else str(key)
            yield name
            if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
                yield from flat_keys(node[key], name)
