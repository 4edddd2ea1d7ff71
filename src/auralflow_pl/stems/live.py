"""Separate sound while it arrives, from a pipe or a sound device, and count what was late."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auralflow_pl.audio.pcm import PcmReader
from auralflow_pl.audio.sound_device import DevicePair, device_channels, run_device
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.separator.realtime import RealTimeSeparator
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.streams import SampleQueue
from auralflow_pl.system.device import torch_threads

REST_NAME = "rest"

WARM_BLOCKS = 4  # of silence, before the first block; the first calls of a network are slow


class LiveSession:
    """One stem, or the rest, of a signal that arrives in blocks; counts blocks that took too long.

    Args:
        separator: Separator of a network without look-ahead.
        target: one of its targets, or `rest`, the mixture minus all targets; None: its only target.
        block: samples per block.
        clock: seconds that have passed, as `time.perf_counter`.

    Attributes:
        blocks: number of blocks.
        late: number of blocks for which computing took longer than the block lasts.
        under_runs: gaps in the output, which a sound device reports or which a missing block makes.
        overruns: gaps in the input, which a sound device reports.

    Raises:
        InputError: the network has look-ahead, `block` is out of range, or there is no such target.
    """

    def __init__(
        self,
        separator: Separator,
        target: str | None,
        block: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.stream: RealTimeSeparator = separator.realtime(block)
        self.index = chosen_target(separator.targets, target)
        self.clock = clock
        self.mixture = SampleQueue()
        self.blocks = self.late = self.under_runs = self.overruns = 0
        self.seconds = self.heard_seconds = 0.0  # of computing, and of sound

    def warm_up(self, channels: int) -> None:
        """Separate some blocks of silence, so the first blocks of the signal take no longer."""
        for _ in range(WARM_BLOCKS):
            self.stream.push(torch.zeros(channels, self.stream.block))
        self.stream.flush()

    def process(self, block: Tensor) -> Tensor:
        """The next final samples `(channels, time)` of the stem, after a block `(channels, time)`.

        Raises:
            InputError: as `RealTimeSeparator.push`.
        """
        start = self.clock()
        with torch_threads(1):  # small blocks gain nothing from more; a setting of each thread
            estimates = torch.as_tensor(self.stream.push(block)).cpu()
        if self.index is None:
            self.mixture.push(block)
        sound = self.chosen(estimates)
        taken = self.clock() - start
        length = block.shape[-1] / self.stream.sample_rate
        self.blocks += 1
        self.late += taken > length
        self.seconds += taken
        self.heard_seconds += length
        return sound

    def flush(self) -> Tensor:
        """The last samples `(channels, time)` of the stem, when the signal has ended."""
        return self.chosen(self.stream.flush().cpu())

    def chosen(self, estimates: Tensor) -> Tensor:
        """The stem of estimates `(targets, channels, time)`."""
        if self.index is not None:
            return estimates[self.index]
        if not estimates.shape[-1]:
            return estimates.sum(0)
        return self.mixture.take(estimates.shape[-1]) - estimates.sum(0)

    def summary(self) -> str:
        """Length, speed and faults, in one line."""
        speed = self.seconds / self.heard_seconds if self.heard_seconds else 0.0
        return (
            f"{self.heard_seconds:.1f} s in {self.blocks} blocks, real-time factor {speed:.2f}, "
            f"{self.late} late, {self.under_runs} under-runs, {self.overruns} overruns"
        )


def chosen_target(targets: tuple[str, ...], name: str | None) -> int | None:
    """Number of the target with a name; None for the rest.

    Raises:
        InputError: there is no such target, or several and no name.
    """
    if name is None and len(targets) == 1:
        return 0
    known = [*targets, REST_NAME]
    if name is None:
        raise InputError(f"target: the model has several; pass target= one of {', '.join(known)}")
    if name not in known:
        raise InputError(f"target={name}: the model has no such stem, {did_you_mean(name, known)}")
    return targets.index(name) if name in targets else None


def separate_pipe(session: LiveSession, reader: PcmReader) -> Iterator[Tensor]:
    """Yield the stem of a pipe `(channels, time)`, as soon as it is final.

    Raises:
        InputError: the pipe holds no samples, or is damaged; what was complete comes before.
    """
    fault = None
    try:
        while (block := reader.read(session.stream.block)).shape[-1]:
            yield session.process(block)
    except KeyboardInterrupt:  # the end, as that of the pipe
        pass
    except InputError as error:
        fault = error
    if not session.blocks and fault is None:
        raise InputError(f"{reader.name}: holds no samples; expected at least one")
    if session.blocks:
        yield session.flush()
    if fault is not None:
        raise fault


class DeviceCallback:
    """What a sound device calls for every block; its output is as long as its input.

    Args:
        session: what separates; its channels are those of the device's input.
        channels: channels of the output.
    """

    def __init__(self, session: LiveSession, channels: int) -> None:
        self.session, self.channels = session, channels
        self.queue = SampleQueue()
        self.queue.push(torch.zeros(channels, session.stream.delay))

    def play(self, sound: np.ndarray, output: np.ndarray, flags: Any) -> None:
        """Separate a block of the input and fill a block of the output.

        Args:
            sound: `(time, channels)`.
            output: `(time, channels)`, which is filled; with zeros where there is no estimate.
            flags: what PortAudio says of the blocks before, as `sounddevice.CallbackFlags`.
        """
        output[:] = 0  # PortAudio plays it, whatever happens here
        session = self.session
        session.overruns += bool(flags.input_overflow)
        session.under_runs += bool(flags.output_underflow)
        stem = session.process(torch.from_numpy(sound.T.copy()))
        same = len(stem) == self.channels
        self.queue.push(stem if same else stem.mean(0, keepdim=True).expand(self.channels, -1))
        ready = min(len(output), len(self.queue))
        session.under_runs += ready < len(output)
        if ready:
            output[:ready] = self.queue.take(ready).T.numpy()


def separate_device(
    session: LiveSession, pair: DevicePair, latency: str | float, channels: int
) -> None:
    """Separate the sound of a device until Ctrl-C.

    Args:
        session: what separates.
        pair: as from `device_pair`.
        latency: as from `driver_latency`.
        channels: channels of the model; devices with fewer are used with those they have.

    Raises:
        InputError: as `device_channels` and `run_device`.
    """
    inputs, outputs = device_channels(pair, channels)
    session.warm_up(inputs)
    stream, play = session.stream, DeviceCallback(session, outputs).play
    run_device(pair, latency, stream.sample_rate, stream.block, (inputs, outputs), play)
