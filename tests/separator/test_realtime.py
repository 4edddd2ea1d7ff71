"""A signal that is separated while it arrives."""

import numpy as np
import pytest
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.models.causal import CausalNetwork
from auralflow_pl.models.unet import UNet
from auralflow_pl.separator.realtime import PIECE_FRAMES
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.stft import STFT
from support import pieces

RATE = 8000


def separator(channels=2, network=None, sizes=(256, 256, 64), **settings):
    made = network or CausalNetwork(channels, 2, sizes[0], width=3, levels=3, hidden_size=8)
    settings = {"window_seconds": 60, **settings}  # one window: the offline pass is whole
    return Separator(made, STFT(*sizes), ["a", "b"], RATE, channels, **settings).eval()


def pushed(stream, blocks):
    return torch.cat([*map(stream.push, blocks), stream.flush()], -1)


@pytest.mark.parametrize("length", [1, 100, 5003, 64 * PIECE_FRAMES + 999])
@pytest.mark.parametrize("channels, network_channels", [(2, 2), (1, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize("seed", [0, 1])
def test_any_split_gives_the_offline_estimates(length, channels, network_channels, seed):
    made = separator(network_channels)
    audio = torch.rand(channels, length) * 2 - 1
    found = pushed(made.realtime(64), pieces(audio, seed))
    torch.testing.assert_close(found, made(audio), rtol=0, atol=1e-5)


@pytest.mark.parametrize("sizes", [(256, 256, 100), (256, 200, 100), (256, 256, 128)])
@pytest.mark.parametrize("block", [1, 37, 64, 128, 300])
def test_the_stated_delay_is_the_largest(sizes, block):
    made = separator(sizes=sizes)
    stream, audio = made.realtime(block), torch.rand(2, block * 128 if block > 1 else 600)
    returned, largest = 0, 0
    for number, part in enumerate(audio.split(block, -1), 1):
        returned += stream.push(part).shape[-1]
        largest = max(largest, number * block - returned)
    assert largest == stream.delay
    assert stream.latency == block + stream.delay
    assert stream.latency_seconds == stream.latency / RATE


def test_the_latency_of_blocks_of_a_hop_is_a_window():
    assert separator(sizes=(4096, 4096, 1024)).realtime(1024).latency == 4096


def test_later_samples_change_no_estimate_that_was_returned():
    made, audio = separator(), torch.rand(2, 3000) * 2 - 1
    changed = torch.cat([audio[:, :2000], torch.rand(2, 1000)], -1)
    first, second = (
        pushed(made.realtime(100), signal.split(100, -1)) for signal in (audio, changed)
    )
    same = 2000 - made.realtime(100).delay
    torch.testing.assert_close(first[..., :same], second[..., :same], rtol=0, atol=1e-6)
    assert not torch.allclose(first[..., 2000:], second[..., 2000:])


def test_after_the_end_another_signal_begins():
    made = separator()
    stream = made.realtime(64)
    for length, channels in ((500, 2), (900, 1), (0, 2), (300, 2)):
        audio = torch.rand(channels, length)
        expected = made(audio) if length else torch.zeros(2, 2, 0)
        torch.testing.assert_close(pushed(stream, [audio]), expected, rtol=0, atol=1e-5)


def test_arrays_give_arrays():
    stream, sound = separator().realtime(512), np.zeros((2, 512), np.float64)
    found = stream.push(sound)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    assert found.shape == (2, 2, 512 - stream.delay)


@pytest.mark.parametrize(
    "block, message",
    [
        (torch.zeros(64), "expected .*channels, time"),
        (torch.zeros(1, 64), "as many channels as the blocks before"),
        (torch.zeros(2, 64, dtype=torch.int16), "expected floats"),
        (torch.full((2, 64), torch.nan), "NaN"),
    ],
)
def test_a_bad_block_is_refused_and_changes_nothing(block, message):
    made, audio = separator(), torch.rand(2, 640)
    stream = made.realtime(64)
    parts = [stream.push(audio[:, :320])]
    with pytest.raises(InputError, match=message):
        stream.push(block)
    parts.append(pushed(stream, [audio[:, 320:]]))
    torch.testing.assert_close(torch.cat(parts, -1), made(audio), rtol=0, atol=1e-5)


@pytest.mark.parametrize("block", [0, -5, 1.5, True, RATE * 61])
def test_a_block_out_of_range_is_refused(block):
    with pytest.raises(InputError, match=f"block={block}: expected"):
        separator().realtime(block)


@pytest.mark.parametrize(
    "setting",
    [{"shifts": 2}, {"padding_seconds": 0.5}, {"wiener_steps": 1}],
)
def test_what_needs_the_whole_signal_is_refused(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        separator(**setting).realtime(64)


def test_a_network_with_look_ahead_is_refused():
    made = separator(network=UNet(2, 2, 256, width=2, levels=2))
    with pytest.raises(InputError, match=r"UNet needs sound that has not arrived.*model=causal"):
        made.realtime(64)


def test_training_mode_is_refused():
    with pytest.raises(InputError, match=r"call \.eval\(\) first"):
        separator().train().realtime(64)


def test_half_precision_stays_near():
    audio = torch.rand(2, 4000) * 2 - 1
    made = separator()
    half = separator(network=made.network, precision="bf16")
    found = pushed(half.realtime(64), pieces(audio))
    assert (found - made(audio)).abs().max() < 0.1
