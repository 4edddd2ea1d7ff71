"""A file is decoded, separated and written at the same time."""

import threading

import pytest
import soundfile
import torch

from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.stft import STFT
from auralflow_pl.stems.inputs import InputFile
from auralflow_pl.stems.job import StemJob
from auralflow_pl.stems.loading import LoadedModel
from auralflow_pl.stems.outputs import OutputTemplate, StemOptions
from auralflow_pl.stems.writer import StemWriter

RATE = 8000
SECONDS_UNTIL_FAILURE = 60


class Half(MaskEstimator):
    """Half of its input; `begins` is called first."""

    frame_reach = 0

    def __init__(self, begins):
        super().__init__()
        self.begins = begins

    def forward(self, magnitude):
        self.begins()
        return MaskEstimate(torch.full_like(magnitude, 0.5)[:, None])


def separate_and_check(folder, seconds, begins, window_seconds=1.024):
    """Separate a mono file, which is read in blocks of 16 seconds; the stems are right."""
    samples = torch.rand(seconds * RATE) - 0.5
    soundfile.write(folder / "song.wav", samples.numpy(), RATE)
    separator = Separator(Half(begins), STFT(256, 256, 128), ["vocals"], RATE, 1, window_seconds)
    separator.eval()
    output = OutputTemplate.of(str(folder / "out"))
    model = LoadedModel("", "", separator, {})
    job = StemJob([model], output, StemOptions(residual=True), torch.device("cpu"))
    assert job.run(InputFile(folder / "song.wav", "song"), None, lambda *_: None)
    vocals, rest = (
        torch.from_numpy(soundfile.read(folder / "out" / "song" / f"{name}.wav")[0])
        for name in ("vocals", "residual")
    )
    assert len(vocals) == seconds * RATE
    assert (vocals - samples / 2).abs().max() < 1e-3
    assert (vocals + rest - samples).abs().max() <= 2**-15


@pytest.mark.parametrize("seconds, window_seconds", [(3, 1.024), (200, 65.536)])
def test_a_window_is_written_while_the_network_works_on_the_next(
    tmp_path, monkeypatch, seconds, window_seconds
):
    working = threading.Semaphore(0)
    waited, write = [], StemWriter.write

    def write_later(writer, mixture, estimates):
        if not waited:  # the first window is written once the network has begun with the second
            waited.extend(working.acquire(timeout=SECONDS_UNTIL_FAILURE) for _ in range(2))
        write(writer, mixture, estimates)

    monkeypatch.setattr(StemWriter, "write", write_later)
    separate_and_check(tmp_path, seconds, working.release, window_seconds)
    assert waited == [True, True]


def test_the_file_is_decoded_ahead_of_the_network(tmp_path, monkeypatch):
    decoded = threading.Semaphore(0)
    waited, read = [], soundfile.SoundFile.read

    def counted(*args, **kwargs):
        decoded.release()
        return read(*args, **kwargs)

    def wait():
        if not waited:  # the first window has a second of the 16 in a block
            waited.extend(decoded.acquire(timeout=SECONDS_UNTIL_FAILURE) for _ in range(3))

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    separate_and_check(tmp_path, 40, wait)
    assert waited == [True] * 3


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_error_of_the_writing_thread_is_that_of_the_job(tmp_path, monkeypatch, place):
    write, calls = StemWriter.write, iter(range(10**6))

    def fail(writer, mixture, estimates):
        if next(calls) == place:
            raise OSError("No space left on device")
        write(writer, mixture, estimates)

    monkeypatch.setattr(StemWriter, "write", fail)
    with pytest.raises(OSError, match="No space"):
        separate_and_check(tmp_path, 3, lambda: None)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["song.wav"]
