"""The command `separate`: write the stems of audio files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from omegaconf import DictConfig

from auralflow_pl.audio.writing import FLOAT_WAV, choose_encoding
from auralflow_pl.checks.values import one_of
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.schema import SeparateKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError
from auralflow_pl.stems.inputs import InputFile, choose_shard, find_inputs
from auralflow_pl.stems.job import StemJob
from auralflow_pl.stems.loading import load_models
from auralflow_pl.stems.memory_limit import fit_memory
from auralflow_pl.stems.outputs import OutputTemplate, StemOptions
from auralflow_pl.stems.refinement import Averaging
from auralflow_pl.stems.runner import separate_files
from auralflow_pl.stems.writer import CLIP_MODES
from auralflow_pl.system.device import choose_devices
from auralflow_pl.system.heap import reuse_freed_memory, share_one_heap
from auralflow_pl.system.signals import exit_on_sigterm
from auralflow_pl.system.staging import check_writable

PCM_NAMES = {"16": "s16le", "24": "s24le", "float": "f32le"}


def separate(config: DictConfig) -> None:
    """Separate all files of the key `input`, or those of one shard, and print the results.

    Raises:
        InputError: the configuration is invalid, or a file failed after all others were done.
    """
    config = validate(config, SeparateKeys)
    share_one_heap()
    options, template = build_options(config)
    everything = find_inputs(to_plain(config)["input"], template)
    inputs = {job.path.resolve() for job in everything if job.path}
    jobs = choose_shard(everything, config.shard)
    check_writable(template.base)
    devices = choose_devices(to_plain(config)["device"])
    loaded = [load_models(config, device) for device in devices]
    reuse_freed_memory()
    if config.max_ram is not None:
        for device, models in zip(devices, loaded, strict=True):
            at_once = config.jobs * devices.count(device)
            fit_memory([model.separator for model in models], config.max_ram, at_once)
        limit = {"max_ram": config.max_ram}  # it changes the windows
        loaded = [[replace(m, settings={**m.settings, **limit}) for m in ms] for ms in loaded]
    stem_jobs = [
        StemJob(
            models,
            template,
            options,
            device,
            config.plot,
            config.overwrite,
            inputs=inputs,
            averaging=averaging_of(config, len(models)),
        )
        for device, models in zip(devices, loaded, strict=True)
    ]
    check_outputs(everything, stem_jobs[0])
    with exit_on_sigterm():
        separate_files(stem_jobs, jobs, config.jobs)


def build_options(config: DictConfig) -> tuple[StemOptions, OutputTemplate]:
    """Settings of the stems and template of their names, from a configuration.

    Raises:
        InputError: settings that contradict each other, or an unknown format.
    """
    template = OutputTemplate.of(config.output)
    form = config.format or template.suffix or "wav"
    if template.suffix not in (None, form):
        raise InputError(f"output={config.output}: names another format than format={form}")
    pcm = None
    if config.raw.sample_rate is not None:
        if config.raw.subtype not in PCM_NAMES:
            raise InputError(
                f"raw.subtype={config.raw.subtype}: expected one of {', '.join(PCM_NAMES)}"
            )
        pcm = (PCM_NAMES[config.raw.subtype], config.raw.sample_rate, config.raw.channels)
    options = StemOptions(
        config.residual,
        form,
        config.subtype,
        config.clip,
        config.sample_rate,
        config.offset,
        config.duration,
        pcm,
        config.wiener,
    )
    choose_encoding(form, config.subtype, "")
    one_of("clip", config.clip, CLIP_MODES)
    return options, template


def averaging_of(config: DictConfig, models: int) -> Averaging | None:
    """How the estimates of so many models are averaged; None: they are not.

    Raises:
        InputError: an unknown way, weights that do not fit, a chain, or a single model.
    """
    if config.average is None:
        if config.average_weights is not None:
            raise InputError("average_weights: only with average=mean")
        return None
    if config.chain is not None or models < 2:
        given = "a chain" if config.chain is not None else "one model"
        raise InputError(
            f"average={config.average}: with {given}; expected several models, ckpt=[a.ckpt,b.ckpt]"
        )
    averaging = Averaging(config.average, tuple(config.average_weights or ()))
    averaging.of_models(models)
    return averaging


def check_outputs(jobs: Sequence[InputFile], stem_job: StemJob) -> None:
    """Raise InputError if an output would overwrite an input."""
    for job in jobs:
        for form in {stem_job.options.format, FLOAT_WAV.form}:
            finals = stem_job.finals(job, form).values()
            for final in (*finals, stem_job.report(job), stem_job.picture(job)):
                if final.resolve() in stem_job.inputs:
                    raise InputError(
                        f"output={stem_job.template.pattern}: {final} is an input; pass another"
                    )
