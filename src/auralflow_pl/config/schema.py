"""Schema of the configuration: the allowed keys of every command, as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

EACH = "each"  # metadata of a field: the dataclass of every node in its mapping


@dataclass
class AudioKeys:
    """Audio format of the network: sample rate in Hz and number of channels."""

    sample_rate: int = MISSING
    channels: int = MISSING


@dataclass
class STFTKeys:
    """Arguments of `signal.stft.STFT`."""

    n_fft: int = MISSING
    win_length: int = MISSING
    hop_length: int = MISSING
    pad_mode: str = "zeros"


@dataclass
class SeparationKeys:
    """Windows for the separation of whole signals; arguments of `separator.Separator`."""

    window_seconds: float | None = None
    overlap: float | None = None
    shifts: int = MISSING
    seed: int = MISSING
    batch_size: int = MISSING
    padding_seconds: float = 0.0
    wiener_steps: int = 0
    wiener_residual: bool = False
    speeds: list[float] | None = None
    mid_side: bool | None = None


@dataclass
class DataKeys:
    """A data set, and how chunks are drawn (`SamplingOptions`) and loaded (`StemDataModule`)."""

    source: Any = MISSING
    file: str | None = None
    root: str | None = None
    roots: list[str] | None = None
    url: str | None = None
    options: dict[str, Any] | None = None
    timeout_seconds: float = 30.0
    patience_seconds: float = 300.0
    weights: list[float] | None = None
    folders: dict[str, Any] | None = None
    songs: str | None = None
    sets: dict[str, Any] | None = None
    mismatch: str = "error"
    missing: str = "error"
    stems: list[str] = MISSING
    groups: dict[str, list[str]] | None = None
    max_tracks: int | None = None
    balance: str = MISSING
    balance_by: str | None = None
    schedule: Any = None
    spans: str | None = None
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
    """Number format and memory format of the network."""

    precision: str = MISSING
    channels_last: bool = MISSING
    init_scale: float | None = None


@dataclass
class PathKeys:
    """Folders of data sets and runs."""

    data_dir: str = MISSING
    runs_dir: str = MISSING
    run_dir: str = MISSING


@dataclass
class LoraKeys:
    """Low-rank changes of weights (LoRA); arguments of `training.start.freezing.add_changes`."""

    rank: int | None = None
    alpha: float | None = None
    parts: Any = None


@dataclass
class TrainKeys:
    """Top level of configs/train.yaml."""

    target: Any = MISSING
    loss_weights: dict[str, float] | None = None
    loss_truncation: float = 0.0
    log_step_loss: bool = True
    log_epoch_loss: bool = True
    val_chunks: int = 8
    seed: int = MISSING
    seeds: int = 1
    chunk_seconds: float = MISSING
    resume: str | None = None
    init: str | None = None
    init_strict: bool = True
    freeze: Any = None
    lora: LoraKeys = field(default_factory=LoraKeys)
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
    epoch: int = MISSING
    ckpt: str | None = None
    foreign_db: float = MISSING
    device: str = MISSING
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
    published_references: bool = MISSING
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

    runs: list[Any] = MISSING
    output: str | None = None
    confidence: float = MISSING
    resamples: int = MISSING
    seed: int = MISSING


@dataclass
class ReportKeys:
    """Top level of configs/report.yaml."""

    folder: str = MISSING
    output: str | None = None
    confidence: float = MISSING
    resamples: int = MISSING
    seed: int = MISSING


@dataclass
class ListenKeys:
    """Top level of configs/listen.yaml."""

    models: Any = None
    truth: str | None = None
    input: Any = None
    split: str = MISSING
    target: Any = None
    songs: int = MISSING
    seconds: float = MISSING
    offset: float | None = None
    blind: bool = MISSING
    seed: int = MISSING
    choices: Any = None
    format: str = MISSING
    max_mb: float = MISSING
    output: str | None = None
    device: str = MISSING
    engine: str = MISSING
    registries: Any = MISSING
    trust: list[str] = MISSING
    precision: PrecisionKeys = field(default_factory=PrecisionKeys)
    separation: SeparationKeys = field(default_factory=SeparationKeys)
    paths: PathKeys = field(default_factory=PathKeys)
    data: Any = None


@dataclass
class ExportKeys:
    """Top level of configs/export.yaml."""

    ckpt: str = MISSING
    format: str = MISSING
    output: str | None = None
    dtype: str | None = None
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
class ImportKeys:
    """Top level of configs/import-model.yaml."""

    source: str = MISSING
    name: str | None = None
    output: str | None = None
    licence: str | None = None
    description: str | None = None
    dtype: str | None = None
    half: bool = MISSING
    overwrite: bool = MISSING
    registries: Any = MISSING


@dataclass
class CombineKeys:
    """Top level of configs/combine.yaml."""

    ckpt: Any = MISSING
    output: str = MISSING
    combine: str = MISSING
    weights: Any = None
    band_edges: Any = MISSING
    fit: str | None = None
    split: str = MISSING
    stems: list[str] = MISSING
    dtype: str | None = None
    half: bool = MISSING
    licence: str | None = None
    registries: Any = MISSING
    trust: list[str] = MISSING


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
    hub: str | None = None
    push: bool = MISSING
    private: bool = MISSING
    base_model: str | None = None
    dtype: str | None = None
    half: bool = MISSING
    overwrite: bool = MISSING
    registries: Any = MISSING
    trust: list[str] = MISSING


@dataclass
class RawKeys:
    """Format of raw little-endian PCM on standard input."""

    sample_rate: int | None = None
    channels: int = MISSING
    subtype: str = MISSING


@dataclass
class StepKeys:
    """A step of a chain; arguments of `separator.chain.Step`, and its model."""

    ckpt: Any | None = MISSING
    input: str = "mixture"
    names: Any = None
    rest: str | None = None
    keep: bool = False


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
    average: str | None = None
    average_weights: list[float] | None = None
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
    chain: dict[str, StepKeys] | None = field(default=None, metadata={EACH: StepKeys})


@dataclass
class LiveKeys:
    """Top level of configs/live.yaml."""

    ckpt: str = MISSING
    target: str | None = None
    block: int = MISSING
    input: str = MISSING
    output: str = MISSING
    raw: RawKeys = field(default_factory=RawKeys)
    sound_device: Any = None
    device_latency: Any = MISSING
    overwrite: bool = MISSING
    precision: str = MISSING
    device: str = MISSING
    registries: Any = MISSING
    trust: list[str] = MISSING


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


@dataclass
class ServeKeys:
    """Top level of configs/serve.yaml."""

    ckpt: Any = None
    host: str = MISSING
    port: int = MISSING
    token_file: str | None = None
    hosts: list[str] = MISSING
    folder: str | None = None
    max_upload_mb: float = MISSING
    max_seconds: float = MISSING
    max_channels: int = MISSING
    upload_seconds: float = MISSING
    timeout_seconds: float = MISSING
    idle_seconds: float = MISSING
    keep_seconds: float = MISSING
    queue_size: int = MISSING
    workers: int = MISSING
    device: str = MISSING
    engine: str = MISSING
    registries: Any = MISSING
    trust: list[str] = MISSING
    precision: PrecisionKeys = field(default_factory=PrecisionKeys)
    separation: SeparationKeys = field(default_factory=SeparationKeys)
    paths: PathKeys = field(default_factory=PathKeys)


COMMAND_SCHEMAS: dict[str, type] = {
    "train": TrainKeys,
    "evaluate": EvaluateKeys,
    "compare": CompareKeys,
    "report": ReportKeys,
    "listen": ListenKeys,
    "separate": SeparateKeys,
    "live": LiveKeys,
    "export": ExportKeys,
    "download": DownloadKeys,
    "models": ModelsKeys,
    "combine": CombineKeys,
    "publish": PublishKeys,
    "import-model": ImportKeys,
    "doctor": DoctorKeys,
    "demo": DemoKeys,
    "serve": ServeKeys,
    "selfcheck": SelfcheckKeys,
}
