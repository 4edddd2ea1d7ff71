"""The network without look-ahead."""

import pytest
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.models.causal import CausalNetwork
from auralflow_pl.training.callbacks.preflight import LayerOutline


def network(**options):
    return CausalNetwork(2, 2, 64, **{"width": 3, "levels": 3, "hidden_size": 8, **options}).eval()


@torch.no_grad()
def test_later_frames_change_no_earlier_mask():
    made, magnitude = network(), torch.rand(1, 2, 33, 40)
    changed = magnitude.clone()
    changed[..., 25:] = 10 * torch.rand(1, 2, 33, 15)
    before, after = made(magnitude).mask, made(changed).mask
    torch.testing.assert_close(after[..., :25], before[..., :25], rtol=0, atol=1e-6)
    assert (after[..., 25:] - before[..., 25:]).abs().amin(-1).max() > 1e-4


def test_a_mask_depends_on_all_frames_before():
    made, magnitude = network().double(), torch.rand(1, 2, 33, 12, dtype=torch.float64)
    magnitude.requires_grad_()
    (gradient,) = torch.autograd.grad(made(magnitude).mask[..., 8].sum(), magnitude)
    used = gradient.abs().amax((0, 1, 2)) > 0
    assert used.tolist() == [True] * 9 + [False] * 3


@pytest.mark.parametrize("simplified", [False, True])
@pytest.mark.parametrize("lengths", [[1] * 20, [7, 1, 12], [19, 1]])
@torch.no_grad()
def test_steps_give_the_masks_of_the_whole(lengths, simplified):
    made, magnitude = network(), torch.rand(3, 2, 33, 20) * 5
    whole, state, parts = made(magnitude).mask, None, []
    if simplified:
        made.simplify()
    for part in magnitude.split(lengths, -1):
        estimate, state = made.step(part, state)
        parts.append(estimate.mask)
    torch.testing.assert_close(torch.cat(parts, -1), whole, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "option",
    [{"bandwidth": 0}, {"width": 0}, {"levels": 11}, {"hidden_size": 0}, {"layers": 0},
     {"dropout": 1.5}],
)  # fmt: skip
def test_an_option_out_of_range_is_refused(option):
    with pytest.raises(InputError, match=f"{next(iter(option))}={next(iter(option.values()))}"):
        network(**option)


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN])
def test_a_recurrent_layer_with_a_state_is_counted_as_one_without(kind):
    layer = kind(6, 4, 2, batch_first=True)
    alone, with_state = LayerOutline(layer), LayerOutline(layer)
    sequence = torch.zeros(3, 5, 6)
    _, state = alone(sequence)
    output, after = with_state(sequence, state)
    assert alone.flop == with_state.flop > 0
    expected = layer(sequence)
    assert output.shape == expected[0].shape
    shapes = [[x.shape for x in (s if isinstance(s, tuple) else [s])] for s in (after, expected[1])]
    assert shapes[0] == shapes[1]
