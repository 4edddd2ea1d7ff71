import weakref

import numpy as np
import pytest
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.separator.input import as_float_tensor
from auralflow_pl.signal.streams import (
    SampleQueue,
    align_blocks,
    branch_blocks,
    delay_blocks,
    lengthen_blocks,
    skip_samples,
)
from support import pieces


def test_a_queue_gives_what_came_in():
    audio, queue, out = torch.randn(2, 1000), SampleQueue(), []
    for number, piece in enumerate(pieces(audio)):
        queue.push(piece)
        if len(queue) > 50:
            assert torch.equal(queue.read(7), queue.read(50)[..., :7])
            out.append(queue.take(len(queue) - number % 3))
    out.append(queue.take(len(queue)))
    assert torch.equal(torch.cat(out, -1), audio)
    assert len(queue) == 0


def test_aligned_streams_give_equal_spans():
    one, two = torch.randn(2, 3000), torch.randn(3, 1, 3000)
    spans = list(align_blocks([pieces(one, 1), pieces(two, 2)]))
    assert all(a.shape[-1] == b.shape[-1] > 0 for a, b in spans)
    assert torch.equal(torch.cat([a for a, _ in spans], -1), one)
    assert torch.equal(torch.cat([b for _, b in spans], -1), two)


def test_blocks_become_longer_and_the_last_one_is_the_rest():
    audio = torch.randn(2, 3000)
    blocks = list(lengthen_blocks(audio.split(70, -1), 500))
    assert torch.equal(torch.cat(blocks, -1), audio)
    assert [block.shape[-1] for block in blocks] == [560] * 5 + [200]
    assert list(lengthen_blocks([], 500)) == []


@pytest.mark.parametrize("count", [1, 3])
def test_branches_give_the_same_blocks_and_keep_none_that_all_have_taken(count):
    made = []

    def blocks():
        for number in range(50):
            block = torch.full((2, 3), float(number))
            made.append(weakref.ref(block))
            yield block
            del block

    branches = branch_blocks(blocks(), count)
    for number in range(50):
        for branch in branches:
            assert torch.equal(next(branch), torch.full((2, 3), float(number)))
        assert sum(ref() is not None for ref in made) <= 1
    assert [next(branch, None) for branch in branches] == [None] * count


def test_delay_and_skip_are_inverse():
    audio = torch.randn(1, 500)
    for length in (0, 1, 499, 2000):
        delayed = list(delay_blocks(pieces(audio), length))
        assert torch.cat(delayed, -1).shape[-1] == 500 + length
        assert torch.equal(torch.cat(list(skip_samples(delayed, length)), -1), audio)


LAYOUTS = {
    "backwards": lambda x: x[:, ::-1],
    "big-endian": lambda x: x.astype(">f4")[:, ::-1],
    "half": lambda x: x.astype(np.float16)[:, ::-1],
    "long": lambda x: x.astype(np.longdouble)[:, ::-1],
    "interleaved": lambda x: np.ascontiguousarray(x.T).T[:, ::-1],
    "packed": lambda x: np.rec.fromarrays([x[:, ::-1], x[:, ::-1] > 0], names="sound,loud").sound,
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_arrays_of_any_layout_are_taken(layout):
    audio = np.random.default_rng(0).uniform(-1, 1, (2, 300)).astype(np.float16).astype(np.float32)
    assert torch.equal(as_float_tensor(layout(audio)), torch.tensor(audio).flip(-1))


def test_only_what_torch_cannot_share_is_copied():
    audio = np.zeros((2, 300), np.float32)
    assert as_float_tensor(audio).data_ptr() == audio.ctypes.data
    tensor = torch.zeros(2, 300)
    assert as_float_tensor(tensor) is tensor
    audio.flags.writeable = False
    assert as_float_tensor(audio).data_ptr() != audio.ctypes.data


@pytest.mark.parametrize("audio", [[[0.0, 0.1]], None, 0.5, "song.wav"])
def test_audio_that_is_neither_tensor_nor_array_is_named(audio):
    with pytest.raises(InputError, match=f"audio of type {type(audio).__name__}: expected"):
        as_float_tensor(audio)


def test_loud_audio_is_finite():
    """The sum overflows, the samples do not."""
    assert as_float_tensor(torch.full((1, 9), 3e38)).isfinite().all()
