import pytest
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.models.blocks import MaskActivation
from auralflow_pl.models.unet import UNet


@pytest.mark.parametrize("leak", [0.0, 0.2])
def test_initial_activations_keep_their_variance(leak):
    network = UNet(n_fft=1024, width=16, hidden_leak=leak, dropout=0.0).train()
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


@pytest.mark.parametrize("leak", [0.01, 0.3])
def test_a_leaky_mask_is_clipped_and_its_gradient_is_not(leak):
    logits = torch.tensor([-2.0, -1.0, 0.25, 0.75, 3.0], requires_grad=True)
    activation = MaskActivation("leaky_relu", 1, leak).train()
    mask = activation(logits)
    assert mask.tolist() == [0, 0, 0.25, 0.75, 1]
    assert torch.equal(activation.eval()(logits), mask)
    mask.sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([leak, leak, 1, 1, 1]))


def test_the_slope_of_the_mask_is_not_that_of_the_hidden_layers():
    network = UNet(width=2, levels=1, hidden_leak=0.2, mask_activation="leaky_relu", mask_leak=0.1)
    assert network.mask_activation.leak == 0.1
    assert network.encoder.levels[0].activation.negative_slope == 0.2
    with pytest.raises(InputError, match="mask_leak=0: expected more than 0"):
        UNet(mask_activation="leaky_relu", mask_leak=0)
