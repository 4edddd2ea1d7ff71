"""Layers over frequency."""

import pytest
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.models.mixing import FrequencyLinear, FrequencyMixing
from auralflow_pl.models.unet import UNet


def test_the_linear_layer_is_a_product_over_frequency():
    layer, x = FrequencyLinear(6, 3), torch.randn(2, 4, 6, 5)
    expected = torch.einsum("gf,bcft->bcgt", layer.weight, x)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), expected)


def test_the_initial_scale_is_kept():
    layer = FrequencyLinear(512, 64)
    assert layer(torch.randn(2, 8, 512, 32)).std().item() == pytest.approx(1, rel=0.1)


@torch.no_grad()
def test_every_frequency_hears_all_others_and_no_frame_another():
    part, x = FrequencyMixing(2, 16, 8, 0.2).eval(), torch.randn(1, 2, 16, 5)
    assert torch.equal(part(x), x)  # in the beginning
    torch.nn.init.ones_(part.norm_up.weight)
    louder = x.clone()
    louder[0, :, 3, 2] += 5
    change = (part(louder) - part(x)).abs().sum((0, 1))
    assert (change[:, 2] > 0).all()
    assert change[:, [0, 1, 3, 4]].max() == 0


def test_a_negative_share_is_refused():
    with pytest.raises(InputError, match="mixing at least 0"):
        UNet(mixing=-1)
