import torch

from auralflow_pl.streams import Queue, aligned, delay, skip
from support import pieces


def test_a_queue_gives_what_came_in():
    audio, queue, out = torch.randn(2, 1000), Queue(), []
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
    spans = list(aligned([pieces(one, 1), pieces(two, 2)]))
    assert all(a.shape[-1] == b.shape[-1] > 0 for a, b in spans)
    assert torch.equal(torch.cat([a for a, _ in spans], -1), one)
    assert torch.equal(torch.cat([b for _, b in spans], -1), two)


def test_delay_and_skip_are_inverse():
    audio = torch.randn(1, 500)
    for length in (0, 1, 499, 2000):
        delayed = list(delay(pieces(audio), length))
        assert torch.cat(delayed, -1).shape[-1] == 500 + length
        assert torch.equal(torch.cat(list(skip(delayed, length)), -1), audio)
