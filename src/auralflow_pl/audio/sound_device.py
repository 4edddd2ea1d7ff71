"""Record and play with a sound device, through PortAudio."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from auralflow_pl.checks.values import is_number
from auralflow_pl.errors import InputError, one_line, shown
from auralflow_pl.system.extras import require_extra

GONE_SECONDS = 5  # a device that gives no block for so long is gone

CLOSE_SECONDS = 3  # what a driver may take to close a device

DevicePair = list[int | str | None]  # input and output: numbers or names; None: the default


def device_pair(device: Any) -> DevicePair:
    """Input and output of the key `sound_device`.

    Args:
        device: number or name of a device, a pair of them for input and output, or `default`.

    Raises:
        InputError: it is none of these.
    """
    pair = device if isinstance(device, list) else [device, device]
    if len(pair) != 2 or not all(type(name) in (int, str) and name != "" for name in pair):
        given = f"[{','.join(map(shown, device))}]" if isinstance(device, list) else shown(device)
        raise InputError(f"sound_device={given}: expected one device, or [input,output]")
    return [None if name == "default" else name for name in pair]


def driver_latency(latency: Any) -> str | float:
    """The key `device_latency`, checked.

    Raises:
        InputError: it is neither `low` nor `high`, and no number of seconds from 0 to 10.
    """
    if latency in ("low", "high") or (is_number(latency) and 0 <= latency <= 10):
        return latency
    raise InputError(
        f"device_latency={shown(latency)}: expected low, high, or seconds from 0 to 10"
    )


def device_channels(pair: DevicePair, channels: int) -> tuple[int, int]:
    """Channels of the input and the output: `channels`, or those that the device has if fewer.

    Raises:
        InputError: `sounddevice` or PortAudio is missing, or there is no such device.
    """
    sounddevice = import_sounddevice()
    with explained(sounddevice, pair):
        inputs = sounddevice.query_devices(pair[0], "input")["max_input_channels"]
        outputs = sounddevice.query_devices(pair[1], "output")["max_output_channels"]
    return min(channels, inputs), min(channels, outputs)


def run_device(
    pair: DevicePair,
    latency: str | float,
    sample_rate: int,
    block: int,
    channels: tuple[int, int],
    play: Callable[[np.ndarray, np.ndarray, Any], None],
) -> None:
    """Pass the sound of a device through `play` until Ctrl-C.

    Args:
        pair: as from `device_pair`.
        latency: as from `driver_latency`.
        sample_rate: in Hz.
        block: samples per block.
        channels: of the input and the output.
        play: takes a block of the input `(time, channels)`, a block of the output to fill, and
            the faults before as `sounddevice.CallbackFlags`; called in a thread of PortAudio.

    Raises:
        InputError: the device does not have the sample rate, or gives no more sound.
        Exception: an error of `play`.
    """
    sounddevice = import_sounddevice()
    ended, fault, blocks = threading.Event(), None, 0

    def call(sound: np.ndarray, output: np.ndarray, _: int, __: Any, flags: Any) -> None:
        nonlocal fault, blocks
        try:
            play(sound, output, flags)
        except Exception as error:
            fault = error
            raise sounddevice.CallbackAbort from error
        blocks += 1

    with explained(sounddevice, pair, f", and the model needs {sample_rate} Hz"):
        stream = sounddevice.Stream(
            samplerate=sample_rate,
            blocksize=block,
            device=tuple(pair),
            channels=channels,
            dtype="float32",
            latency=latency,
            callback=call,
            finished_callback=ended.set,
        )
        with contextlib.suppress(KeyboardInterrupt), closed_in_time(stream):
            stream.start()
            before = 0
            while not ended.wait(GONE_SECONDS + block / sample_rate) and blocks > before:
                before = blocks
            fault = fault or InputError(
                f"sound_device={pair_name(pair)}: gives no sound after "
                f"{blocks * block / sample_rate:.1f} s; check that it is connected, or pass "
                "device_latency=high"
            )
    if fault is not None:
        raise fault


@contextlib.contextmanager
def closed_in_time(stream: Any) -> Iterator[None]:
    """Close a stream of `sounddevice` after the block.

    The driver of a device that is gone may never return from this. The process then ends without
    the clean-up of PortAudio, which would wait for the driver too.
    """
    try:
        yield
    finally:
        closing = threading.Thread(target=stream.close, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if closing.is_alive():
            atexit.register(os._exit, 1)


@contextlib.contextmanager
def explained(sounddevice: Any, pair: DevicePair, need: str = "") -> Iterator[None]:
    """Raise errors of PortAudio and of names of devices as InputError; `need` ends its line."""
    try:
        yield
    except (sounddevice.PortAudioError, ValueError) as error:
        raise InputError(
            f"sound_device={pair_name(pair)}: {one_line(error)}; `python -m sounddevice` lists the "
            f"devices{need}"
        ) from error


def pair_name(pair: DevicePair) -> str:
    """A pair of devices as the value of `sound_device`."""
    names = [shown("default" if name is None else name) for name in pair]
    return names[0] if names[0] == names[1] else f"[{','.join(names)}]"


def import_sounddevice() -> Any:
    """The module `sounddevice`.

    Raises:
        InputError: it is not installed, or does not find PortAudio.
    """
    require_extra("live", "sound_device")
    try:
        import sounddevice
    except OSError as error:
        raise InputError(
            f"sound_device: {one_line(error)}; install PortAudio, as with "
            "`apt install libportaudio2`"
        ) from error
    return sounddevice
