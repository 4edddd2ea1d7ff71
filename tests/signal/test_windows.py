import pytest
import torch
from torch.nn.functional import conv1d

from auralflow_pl.signal.windows import WindowLayout, cut_windows, overlap_add

CHUNK = 4096
LENGTHS = [1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK + 17]


def joined(process, audio, windows, batch_size=1):
    """`overlap_add` of a whole signal."""
    return torch.cat(list(overlap_add(process, [audio], windows, batch_size)), -1)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(
    "context, fade, align", [(0, 0, 1), (0, 256, 1), (400, 100, 64), (819, 410, 7)]
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_identity_is_exact(length, context, fade, align, batch_size):
    audio = torch.rand(2, length) * 2 - 1
    out = joined(torch.clone, audio, WindowLayout(CHUNK, context, fade, align), batch_size)
    assert out.shape == audio.shape
    assert (out - audio).abs().max() < 1e-6


def test_windows_cover_every_sample_with_positive_weight():
    for time in range(1, 3000, 37):
        windows = WindowLayout(500, 60, 40, 16)
        weight = torch.zeros(time)
        for number, window in enumerate(cut_windows([torch.arange(time)[None].float()], windows)):
            start = number * windows.hop
            assert window.samples[0, 0] == start
            weight[start : start + window.samples.shape[-1]] += windows.taper(window)
        assert weight.min() > 0, time


@pytest.mark.parametrize("length", LENGTHS)
def test_filter_within_the_context_equals_a_single_pass(length):
    kernel = torch.randn(1, 1, 201, dtype=torch.float64)
    audio = torch.randn(1, length, dtype=torch.float64)

    def smooth(x):
        return conv1d(x, kernel, padding=100)

    chunked = joined(smooth, audio, WindowLayout(CHUNK, 100, 64), batch_size=2)
    torch.testing.assert_close(chunked, smooth(audio[None])[0])


def test_a_context_that_is_too_small_is_noticed():
    """The test above can fail: with half the context the seams differ."""
    kernel, audio = torch.ones(1, 1, 201), torch.randn(1, 3 * CHUNK)

    def smooth(x):
        return conv1d(x, kernel, padding=100)

    chunked = joined(smooth, audio, WindowLayout(CHUNK, 50, 0))
    assert (chunked - smooth(audio[None])[0]).abs().max() > 0.1


def test_starts_are_aligned():
    audio = torch.arange(5000).float()[None]
    starts = [
        window.samples[0, 0] for window in cut_windows([audio], WindowLayout(1000, 100, 50, 64))
    ]
    assert len(starts) > 1
    assert all(start % 64 == 0 for start in starts)


def test_gradients_pass_through_several_windows():
    audio = torch.randn(2, 1000, requires_grad=True)
    windows = WindowLayout(300, 40, 20)
    parts = overlap_add(lambda x: 3 * x.unsqueeze(1), [audio], windows)
    torch.cat(list(parts), -1).sum().backward()
    torch.testing.assert_close(audio.grad, torch.full_like(audio, 3.0))


def test_the_signal_itself_is_not_changed():
    audio = torch.randn(2, 1000)
    before = audio.clone()
    list(overlap_add(lambda x: 2 * x, [audio], WindowLayout(300, 40, 20)))
    assert torch.equal(audio, before)
