"""Networks of the U-Net family with complex masks, `model.mask=complex`."""

import pytest
import torch

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.errors import InputError
from auralflow_pl.losses.spectral import L1Loss, L2Loss
from auralflow_pl.losses.waveform import SISDRLoss
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.models.ensemble import MaskEnsemble
from auralflow_pl.models.unet import UNet
from auralflow_pl.separator.build import make_network
from auralflow_pl.separator.engines.graph_cache import NetworkPlan, cached_graph
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.stft import STFT
from support import composed, fitting

SIZES = {"channels": 2, "targets": 2, "n_fft": 128, "width": 4, "levels": 3, "mask": "complex"}


def separator_of(network, channels=2, targets=("a", "b")):
    return Separator(network, STFT(128, 128, 32), list(targets), 8000, channels)


def turned(network):
    """The same network with phases that are not 0."""
    torch.nn.init.normal_(network.decoder.head.weight, std=0.3)
    return network


@pytest.mark.parametrize("name", ["simple", "mixing", "lstm", "vae", "dual_path", "attention"])
@pytest.mark.parametrize("frames", [1, 21])
@torch.no_grad()
def test_every_u_net_gives_bounded_complex_masks_whose_phases_begin_at_0(name, frames):
    keys = ["model.width=4", "model.levels=3", "model.bottleneck.hidden_size=8", "stft.n_fft=128"]
    config = composed("train", *fitting(f"model={name}", *keys), "model.mask=complex")
    network = make_network(to_plain(config.model), 2).eval()
    spectrum = torch.randn(3, 2, 65, frames) * 20
    mask = network(spectrum).mask
    assert mask.shape == (3, 4, 1, 65, frames)
    assert torch.equal(mask[:, 2:], torch.zeros_like(mask[:, 2:]))
    torch.testing.assert_close(network(spectrum[:1]).mask, mask[:1], rtol=0, atol=2e-6)
    mask = turned(network)(spectrum).mask
    assert mask[:, 2:].abs().max() > 0.1
    assert mask[:, :2].square().add(mask[:, 2:].square()).max() <= 1 + 1e-6


def test_gradients_are_finite_for_silence_and_at_any_level():
    network = UNet(**SIZES).train()
    for level in (0.0, 1e-6, 1e4):
        mask = network(torch.randn(2, 4, 65, 9) * level).mask
        mask.square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@torch.no_grad()
def test_bins_above_the_bandwidth_keep_the_phase_of_the_mixture():
    network = turned(UNet(**SIZES, bandwidth=0.5)).eval()
    mask = network(torch.randn(1, 4, 65, 9)).mask
    assert torch.equal(mask[:, 2:, :, 32:], torch.zeros(1, 2, 2, 33, 9))
    torch.testing.assert_close(
        mask[:, :2, :, 40], mask[:, :2, :, 31].hypot(mask[:, 2:, :, 31]), rtol=1e-5, atol=1e-6
    )


@torch.no_grad()
def test_windows_agree_with_one_pass():
    separator = separator_of(turned(UNet(**SIZES)).eval()).eval()
    audio = torch.randn(2, 30000) * 0.1
    whole = separator.separate_chunk(audio[None]).estimate[0]
    torch.testing.assert_close(separator(audio), whole, rtol=0, atol=1e-5)


@torch.no_grad()
def test_onnx_runtime_gives_the_same_masks(tmp_path, monkeypatch):
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path))
    pytest.importorskip("onnxruntime")
    network = turned(UNet(**SIZES)).eval()
    plan = NetworkPlan(SIZES, network.state_dict(), network, 2, 2, 65, lambda: network)
    for made in (cached_graph(plan), cached_graph(plan)):  # exported, and read
        assert made.complex_masks
        audio = torch.randn(2, 4000) * 0.1
        expected = separator_of(network)(audio)
        torch.testing.assert_close(separator_of(made)(audio), expected, rtol=0, atol=1e-5)


def test_losses_compare_complex_spectrograms():
    """A mask of -1 has the magnitude of the mixture and the opposite phase."""
    separator = separator_of(UNet(**SIZES))
    mixture = torch.randn(1, 2, 1000) * 0.1
    separation = separator.separate_chunk(mixture, mixture[:, None].expand(-1, 2, -1, -1))
    separation.mask = torch.full_like(separation.mask, -1.0)
    level = separation.mixture_magnitude
    torch.testing.assert_close(L1Loss()(separation), 2 * level.mean())
    torch.testing.assert_close(L2Loss()(separation), 4 * level.square().mean())


def test_more_is_learned_than_any_real_mask_can_give():
    """Noise under louder noise: phases differ, so masks without phase give 2 dB at most."""
    torch.manual_seed(0)
    target, rest = torch.randn(2, 1, 1, 4000)
    mixture = target * 0.1 + rest * 0.2
    network = UNet(n_fft=128, width=16, levels=2, dropout=0, mask="complex", mask_limit=4)
    separator = separator_of(network, 1, ("a",)).train()
    truth = target[None] * 0.1
    optimizer, loss = torch.optim.Adam(network.parameters(), 1e-2), SISDRLoss()
    for _ in range(120):
        separation = separator.separate_chunk(mixture, truth)
        optimizer.zero_grad()
        loss(separation).backward()
        optimizer.step()
    spectrum, wanted = separation.spectrogram[:, None], separation.stft(truth)
    best = ((wanted * spectrum.conj()).real / spectrum.abs().square()).clamp(0, 4)  # of real masks
    bound = separation.stft.inverse(spectrum, 4000, best)
    assert si_sdr(bound, truth).item() < 3.5
    assert si_sdr(separation.estimate, truth).item() > 8


def test_complex_masks_are_not_combined_with_others():
    def made(targets):
        return UNet(**{**SIZES, "targets": targets})

    with pytest.raises(InputError, match="only magnitude masks can be combined"):
        MaskEnsemble([made, made], 2)


def test_an_unknown_kind_is_named():
    with pytest.raises(InputError, match=r"model\.mask"):
        UNet(**{**SIZES, "mask": "polar"})
