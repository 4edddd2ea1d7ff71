"""Bottlenecks that look at all frames."""

import pytest
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.models.all_frames import AttentionBottleneck, DualPathBottleneck

KINDS = [
    lambda **given: DualPathBottleneck(6, 4, hidden_size=3, **given),
    lambda **given: AttentionBottleneck(6, 4, width=8, heads=2, **given),
]


@pytest.mark.parametrize("make", KINDS)
def test_it_begins_as_the_identity_and_learns_to_see_all_frames(make):
    torch.manual_seed(0)
    bottleneck, x = make(), torch.randn(2, 6, 4, 40, requires_grad=True)
    found, penalties = bottleneck(x)
    torch.testing.assert_close(found, x)
    assert not penalties
    for name, value in bottleneck.named_parameters():
        if name.endswith("expand.weight"):
            torch.nn.init.normal_(value)
    found = bottleneck(x)[0]
    assert found.shape == x.shape
    (gradient,) = torch.autograd.grad(found[0, :, :, 20].sum(), x)
    assert (gradient[0].abs().sum((0, 1)) > 0).all()
    assert not gradient[1].any()
    assert bottleneck.frame_reach is None


def test_attention_ignores_the_order_of_frames():
    torch.manual_seed(0)
    bottleneck, x = AttentionBottleneck(6, 4, 2, 8, 2), torch.randn(1, 6, 4, 10)
    torch.nn.init.normal_(bottleneck.expand.weight)
    order = torch.randperm(10)
    torch.testing.assert_close(bottleneck(x[..., order])[0], bottleneck(x)[0][..., order])


@pytest.mark.parametrize(
    "kind, given, message",
    [
        (DualPathBottleneck, {"blocks": 0}, "blocks=0"),
        (DualPathBottleneck, {"hidden_size": 0}, "hidden_size=0"),
        (AttentionBottleneck, {"width": 10, "heads": 4}, "heads=4: .* divides the width"),
        (AttentionBottleneck, {"layers": 0}, "layers=0"),
    ],
)
def test_mistakes(kind, given, message):
    with pytest.raises(InputError, match=message):
        kind(6, 4, **given)
