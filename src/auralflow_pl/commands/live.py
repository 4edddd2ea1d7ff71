"""The command `live`: separate sound while it arrives."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from omegaconf import DictConfig
from torch import Tensor

from auralflow_pl.audio.pcm import (
    PcmFormat,
    PcmReader,
    clip_to_grid,
    encode_pcm,
    wav_header,
)
from auralflow_pl.audio.sound_device import device_pair, driver_latency
from auralflow_pl.audio.writing import (
    AUDIO_FORMATS,
    WAV_SUBTYPES,
    SoundWriter,
    check_encoding,
    choose_encoding,
)
from auralflow_pl.checks.values import one_of
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.schema import LiveKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError
from auralflow_pl.pretrained.cache import resolve_ckpt
from auralflow_pl.separator.load import load_separator
from auralflow_pl.stems.inputs import STDIN_NAME
from auralflow_pl.stems.live import LiveSession, separate_device, separate_pipe
from auralflow_pl.system.device import choose_device
from auralflow_pl.system.files import check_file, remove_stale_parts
from auralflow_pl.system.signals import handling

ToPipe = Callable[[Tensor], object]


def live(config: DictConfig) -> None:
    """Separate a pipe or the sound of a device; messages go to standard error.

    Raises:
        InputError: the configuration is invalid, the model has look-ahead, or the input is damaged;
            what was heard before is written.
    """
    plain = to_plain(validate(config, LiveKeys))
    device, output = plain["sound_device"], plain["output"]
    if device is not None and (plain["input"], output) != (STDIN_NAME, STDIN_NAME):
        raise InputError(
            "sound_device: is input and output; leave out input and output, or sound_device"
        )
    pair = None if device is None else device_pair(device)
    latency = driver_latency(plain["device_latency"])
    if pair is None:
        check_terminal("input", plain["input"], sys.stdin)
        check_terminal("output", output, sys.stdout)
    if output != STDIN_NAME and Path(output).suffix[1:] not in AUDIO_FORMATS:
        names = ", ".join(f".{form}" for form in AUDIO_FORMATS)
        raise InputError(f"output={output}: expected a name that ends in one of {names}")
    if output != STDIN_NAME and Path(output).exists() and not plain["overwrite"]:
        raise InputError(f"output={output}: is there already; pass another, or overwrite=true")
    separator = load_separator(
        resolve_ckpt(plain["ckpt"], plain["registries"]),
        plain["trust"],
        precision=plain["precision"],
        speeds=[1.0],  # what a model names needs the whole signal
        mid_side=False,
    ).to(choose_device(plain["device"]))
    session = LiveSession(separator, plain["target"], plain["block"])
    print(
        f"latency {session.stream.latency} samples, {1000 * session.stream.latency_seconds:.1f} ms",
        file=sys.stderr,
        flush=True,
    )
    try:
        with handling(signal.default_int_handler, "SIGTERM"):
            if pair is not None:
                separate_device(session, pair, latency, separator.channels)
            else:
                run_pipe(session, plain)
    finally:
        if session.blocks:
            print(session.summary(), file=sys.stderr, flush=True)


def check_terminal(key: str, value: str, stream: TextIO | None) -> None:
    """Raise InputError if sound would be read from a terminal or written to one."""
    if value == STDIN_NAME and stream is not None and stream.isatty():
        raise InputError(f"{key}=-: is a terminal; pass a file, or connect a pipe")


def run_pipe(session: LiveSession, keys: dict) -> None:
    """Separate standard input or a WAV file into standard output or a file."""
    with ExitStack() as stack:
        reader = open_reader(stack, keys["input"], raw_format(keys["raw"]))
        rate = session.stream.sample_rate
        if reader.form.sample_rate != rate:
            raise InputError(
                f"{reader.name}: {reader.form.sample_rate} Hz, but the model needs {rate} Hz; "
                f"resample it first, as `ffmpeg -i - -ar {rate} -f wav -` does"
            )
        session.warm_up(reader.form.channels)
        raw = keys["raw"]["sample_rate"] is not None
        write = stack.enter_context(opened_output(keys["output"], reader.form, raw))
        for sound in separate_pipe(session, reader):
            write(sound)


def raw_format(keys: dict) -> PcmFormat | None:
    """Format of raw samples; None: the input has a header."""
    if keys["sample_rate"] is None:
        return None
    subtype = WAV_SUBTYPES[one_of("raw.subtype", str(keys["subtype"]), WAV_SUBTYPES)]
    return PcmFormat(keys["sample_rate"], keys["channels"], subtype)


def open_reader(stack: ExitStack, source: str, form: PcmFormat | None) -> PcmReader:
    """Open standard input or a file."""
    if source == STDIN_NAME:
        if sys.stdin is None:
            raise InputError("input=-: standard input is closed; pass a file, or `< file`")
        return PcmReader(sys.stdin.buffer.read1, "standard input", form)
    check_file(Path(source))
    return PcmReader(stack.enter_context(Path(source).open("rb")).read, source, form)


@contextmanager
def opened_output(output: str, form: PcmFormat, raw: bool) -> Iterator[ToPipe]:
    """Standard output or a new sound file, as a function that writes `(channels, time)`.

    A file gets its name when it is complete, also after a fault of the input or an interruption.
    Standard output is WAV, or raw samples in the format of the input.
    """
    if output == STDIN_NAME:
        kept = form._replace(subtype="FLOAT") if form.subtype == "PCM_32" else form
        pipe = sys.stdout.buffer
        if not raw:
            pipe.write(wav_header(kept))

        def write(sound: Tensor) -> None:
            pipe.write(encode_pcm(sound, kept))
            pipe.flush()

        yield write
        return
    path = Path(output)
    encoding = choose_encoding(path.suffix[1:], None, form.subtype)
    check_encoding(encoding, form.sample_rate, form.channels)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_parts(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    writer = SoundWriter(part, encoding, form.sample_rate, form.channels, None, {})
    try:
        try:
            yield lambda sound: writer.write(clip_to_grid(sound, encoding.subtype))
        except (InputError, KeyboardInterrupt):
            if writer.frames:
                writer.close()
                part.replace(path)
            raise
        writer.close()
        part.replace(path)
    finally:
        writer.abort()
        part.unlink(missing_ok=True)
