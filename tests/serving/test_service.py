"""The service without HTTP: how long things may take, and how long they are kept."""

import time
from concurrent.futures import wait
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.config.schema import ServeKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import WriteError
from auralflow_pl.serving.jobs import ServeLimits
from auralflow_pl.serving.refusals import Refusal
from auralflow_pl.serving.service import SeparationService
from auralflow_pl.serving.uploads import SoundLimits
from auralflow_pl.stems.loading import load_models
from auralflow_pl.stems.outputs import StemOptions
from auralflow_pl.stems.runner import run_within_memory
from support import composed, untrained

RATE, CPU = 8000, torch.device("cpu")

LIMITS = ServeLimits(SoundLimits(60, "the limit"), 2**20, 60, 60, 60, 60, 3, 1)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    ckpt = untrained(tmp_path_factory.mktemp("model") / "one.ckpt")
    return load_models(validate(composed("serve", f"ckpt={ckpt}", "engine=torch"), ServeKeys), CPU)


@pytest.fixture
def service(models, tmp_path):
    """Make a service with other limits: `service(keep_seconds=1)`."""

    def make(**limits):
        return SeparationService(
            models, CPU, tmp_path, replace(LIMITS, **limits), run_within_memory
        )

    yield make
    assert list(tmp_path.iterdir()) == []


def uploaded(service):
    """A job in the queue."""
    job = service.open_job()
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 2 * RATE)
    soundfile.write(job.upload, noise, RATE, "PCM_16", format="WAV")
    service.submit(job, "song.wav", StemOptions())
    return job


def test_a_separation_that_takes_too_long_is_ended(service):
    with service(timeout_seconds=1e-9) as served:
        job = uploaded(served)
        wait([job.finished], 60)
        with pytest.raises(Refusal, match=r"song.wav: not separated within 1e-09 seconds") as fault:
            served.stems_of(job)
        assert fault.value.status == 504
        assert [path.name for path in job.folder.iterdir()] in ([], ["stems"])
        uploaded(served)  # its place is free again


def test_stems_are_deleted_after_their_time_unless_they_are_sent(service):
    with service(keep_seconds=0.1) as served:
        job, other = uploaded(served), uploaded(served)
        wait([job.finished], 60)
        assert served.stems_of(job)["vocals"].is_file()
        wait([other.finished], 60)
        end = time.monotonic() + 60
        while other.folder.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        with pytest.raises(Refusal, match="no such job"):
            served.find(other.id)
        assert served.find(job.id).stems["vocals"].is_file()
        served.discard(job)
        assert job.stems["vocals"].is_file()  # a response still sends it
        served.release(job)


def test_a_closed_service_takes_nothing_and_ends_what_waits(service):
    with service() as served:
        jobs = [uploaded(served) for _ in range(3)]
        receiving = served.open_job()
        served.close()
        for call in (served.open_job, lambda: served.submit(receiving, "a", StemOptions())):
            with pytest.raises(Refusal, match="the server ends"):
                call()
        assert not wait([job.finished for job in (*jobs, receiving)], 60).not_done
    assert {job.state for job in jobs} <= {"done", "cancelled"}


def test_stems_for_which_the_disk_has_no_room_are_not_begun(tmp_path):
    path = tmp_path / "silence.flac"
    soundfile.write(path, np.zeros(2 * RATE, np.int16), RATE)
    LIMITS.sound.check_file(path, stems=2)
    with pytest.raises(WriteError, match="no room for 64000000000000 bytes"):
        LIMITS.sound.check_file(path, stems=10**9)
    path.unlink()


def test_a_place_is_free_once_a_job_has_ended(service):
    with service(queue_size=1) as served:
        first, second = uploaded(served), uploaded(served)
        with pytest.raises(Refusal, match="the queue is full: 2 uploads"):
            served.open_job()
        wait([first.finished, second.finished], 60)
        served.discard(served.open_job())
