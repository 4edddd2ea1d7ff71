"""The Separator of four networks with the Wiener filter against the one of open-unmix."""

import copy

import openunmix.model
import pytest
import torch

from auralflow_pl.audio.reading import read_audio
from auralflow_pl.errors import InputError
from auralflow_pl.models.open_unmix import OpenUnmix
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.stft import STFT

TARGETS = ("vocals", "drums", "bass", "other")
RATE, N_FFT, HOP = 16000, 256, 128


@pytest.fixture(scope="module")
def music(excerpt):
    """20 s of a real stereo song, slowed down, in whole hops.

    It begins with digital silence, which the filter of open-unmix takes for a level of 1.
    """
    mixture = read_audio(excerpt).samples
    looped = torch.cat([mixture, mixture.flip(0)], -1)[:, : 20 * RATE // HOP * HOP]
    return looped + 1e-4 * torch.randn(looped.shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def networks():
    """Ours, and those of open-unmix with the same random weights."""
    torch.manual_seed(0)
    theirs = {
        target: openunmix.model.OpenUnmix(N_FFT // 2 + 1, 2, hidden_size=8, max_bin=90).eval()
        for target in TARGETS
    }
    ours = OpenUnmix(2, len(TARGETS), N_FFT, 89 / 128, 8).eval()
    for part, published in zip(ours.networks, theirs.values(), strict=True):
        part.load_state_dict(published.state_dict())
    return ours, theirs


def separate(network, music, **settings):
    stft = STFT(N_FFT, N_FFT, HOP, "reflect")
    return Separator(network, stft, TARGETS, RATE, 2, **settings).eval()(music)


@pytest.mark.parametrize("steps, residual", [(0, False), (1, False), (1, True)])
@torch.no_grad()
def test_estimates_are_those_of_open_unmix(networks, music, steps, residual):
    """In one window; blocks of 300 frames are its default, and float64 its recommendation."""
    ours, theirs = networks
    exact = {name: copy.deepcopy(network).double() for name, network in theirs.items()}
    published = openunmix.model.Separator(
        exact, steps, residual=residual, sample_rate=RATE, n_fft=N_FFT, n_hop=HOP
    ).double()
    expected = published(music[None].double())[0, : len(TARGETS)].float()
    settings = {"wiener_steps": steps, "wiener_residual": residual}
    found = separate(ours, music, window_seconds=60, **settings)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@torch.no_grad()
def test_windows_hold_whole_blocks(networks, music):
    """So the seams are those of a single pass, as far as the network does not see across them."""
    settings = {"wiener_steps": 1, "wiener_residual": True}
    whole = separate(networks[0], music, window_seconds=60, **settings)
    windows = separate(networks[0], music, window_seconds=12, **settings)
    torch.testing.assert_close(windows, whole, rtol=0, atol=1e-4)


def test_settings_of_the_filter_are_checked(networks):
    stft = STFT(N_FFT, N_FFT, HOP)
    with pytest.raises(InputError, match=r"wiener_steps=1: .* pass wiener_residual=true"):
        Separator(OpenUnmix(2, 1, N_FFT), stft, ["vocals"], RATE, 2, wiener_steps=1)
    with pytest.raises(InputError, match="wiener_steps=21: expected from 0 to 20"):
        Separator(networks[0], stft, TARGETS, RATE, 2, wiener_steps=21)


def test_a_network_on_a_coarse_grid_has_blocks_that_fit_it(networks):
    network = networks[0]
    network.frame_multiple = 64
    try:
        separator = Separator(network, STFT(N_FFT, N_FFT, HOP), TARGETS, RATE, 2, wiener_steps=1)
    finally:
        del network.frame_multiple
    assert separator.frame_multiple == 320
    assert separator.windows.align == 320 * HOP
