"""STFT and inverse in blocks are those of the whole signal."""

import pytest
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.signal.blockwise import BlockwiseInverse, BlockwiseSTFT
from auralflow_pl.signal.stft import STFT
from support import pieces


@pytest.mark.parametrize("length", [1, 31, 64, 1000, 44117])
@pytest.mark.parametrize("sizes", [(64, 64, 16), (64, 64, 32), (64, 48, 20), (60, 60, 25)])
@pytest.mark.parametrize("seed", [0, 1])
def test_blocks_give_what_the_whole_signal_gives(length, sizes, seed):
    stft, audio = STFT(*sizes), torch.rand(3, 2, length) * 2 - 1
    whole = stft(audio)
    mask = torch.rand(whole.shape)
    analysis, synthesis = BlockwiseSTFT(stft), BlockwiseInverse(stft)
    parts, spectra, frames = [], [], 0
    for spec in (*map(analysis.push, pieces(audio, seed)), analysis.finish()):
        if spec is not None:
            spectra.append(spec)
            stop = frames + spec.shape[-1]
            parts.append(synthesis.push(spec * mask[..., frames:stop]))
            frames = stop
    torch.testing.assert_close(torch.cat(spectra, -1), whole, rtol=0, atol=1e-5)
    found = torch.cat(parts, -1)[..., :length]
    rest = synthesis.finish(length - found.shape[-1]).reshape(3, 2, -1)
    expected = stft.inverse(whole, length, mask)
    torch.testing.assert_close(torch.cat([found, rest], -1), expected, rtol=0, atol=1e-5)


def test_a_signal_without_samples_has_no_frames():
    analysis = BlockwiseSTFT(STFT(64, 64, 16))
    assert analysis.push(torch.zeros(1, 0)) is None
    assert analysis.finish() is None


def test_a_mirrored_beginning_needs_what_has_not_arrived():
    with pytest.raises(InputError, match=r"stft\.pad_mode=reflect"):
        BlockwiseSTFT(STFT(64, 64, 16, "reflect"))
