import pytest
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.models.unet import UNet


@pytest.mark.parametrize("leak", [0.0, 0.2])
def test_initial_activations_keep_their_variance(leak):
    network = UNet(n_fft=1024, width=16, leak=leak, dropout=0.0).train()
    x = torch.randn(4, 1, 512, 256)
    for level in network.encoder.levels:
        assert 0.3 < level.conv(x).std() < 3
        x = level(x)


def test_softmax_over_one_target_is_refused():
    with pytest.raises(InputError, match="at least two targets"):
        UNet(mask_activation="softmax")


def test_unknown_activation_names_the_valid_ones():
    with pytest.raises(InputError, match="expected one of sigmoid, relu"):
        UNet(mask_activation="sigmoyd")
