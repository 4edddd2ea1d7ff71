"""The device of these tests: CUDA, or what scripts/gpu/check.py names."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch


def device_of_tests() -> str:
    """Name of the device, from the environment."""
    return os.environ.get("AURALFLOW_TEST_DEVICE", "cuda")


def pytest_runtest_setup() -> None:
    """Skip without a GPU, before anything is made for a test."""
    if device_of_tests() == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")


@pytest.fixture
def device() -> torch.device:
    """The GPU."""
    return torch.device(device_of_tests())


@pytest.fixture
def exact(device) -> Iterator[torch.device]:
    """The device, with convolutions in all bits of float32; cuDNN rounds to TF32 by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield device
    torch.backends.cudnn.allow_tf32 = before
