"""Spleeter's network against the same graph written with functions of torch."""

import pytest
import torch

from auralflow_pl.checkpoints.foreign.spleeter import TORCH_PARTS, array_layers, tensor_names
from auralflow_pl.errors import InputError
from auralflow_pl.models.spleeter import Spleeter
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.stft import STFT
from support.spleeter_files import random_arrays, reference_masks


def with_weights(nets, **arguments):
    """A network with the weights of a reference."""
    network = Spleeter(width=1, targets=len(nets), **arguments)
    weights = network.state_dict()
    for number, arrays in enumerate(nets):
        names = tensor_names(f"unets.{number}.", *array_layers(), TORCH_PARTS, TORCH_PARTS)
        for theirs, ours in names.items():
            array = torch.tensor(arrays[theirs])
            if ours:
                weights[ours] = array.mT if array.ndim == 4 else array
    network.load_state_dict(weights)
    return network.double().eval()


@pytest.mark.parametrize("targets, elu, softmax", [(2, False, False), (3, True, True)])
@torch.no_grad()
def test_masks_are_those_of_the_reference(targets, elu, softmax):
    nets = [random_arrays(seed) for seed in range(targets)]
    network = with_weights(
        nets,
        n_fft=256,
        segment_frames=64,
        hidden_activation="elu" if elu else "relu",
        mask_activation="softmax" if softmax else "sigmoid",
    )
    magnitude = torch.rand(2, 129, 150, dtype=torch.float64) * 20
    expected = reference_masks(nets, magnitude, elu, softmax, bins=64, segment=64)
    mask = network(magnitude[None]).mask[0]
    assert expected.std() > 0.02
    torch.testing.assert_close(mask[:, :, :64], expected)
    assert not mask[:, :, 64:].any()
    network.mask_extension = "average"
    mean = network(magnitude[None]).mask[0, :, :, 64:]
    torch.testing.assert_close(mean, expected.mean(2, keepdim=True).expand_as(mean))


@torch.no_grad()
def test_a_segment_hears_no_other():
    network = Spleeter(width=2, levels=2, n_fft=32, segment_frames=16).eval()
    magnitude = torch.rand(3, 2, 17, 40)
    mask = network(magnitude).mask
    for start in (0, 16, 32):
        alone = network(magnitude[..., start : start + 16]).mask
        torch.testing.assert_close(mask[..., start : start + 16], alone)
    assert torch.equal(network.train().parts(magnitude).__next__(), magnitude)


@torch.no_grad()
def test_windows_agree_with_a_single_pass():
    network = Spleeter(channels=1, width=2, levels=3, n_fft=64, segment_frames=64).eval()
    separator = Separator(network, STFT(64, 64, 16), ["a", "b"], 44100, 1)
    audio = torch.randn(1, 30000)
    assert audio.shape[-1] > 2 * separator.windows.length
    torch.testing.assert_close(separator(audio), separator.separate_chunk(audio[None]).estimate[0])


@torch.no_grad()
def test_masks_share_the_mixture_and_a_single_one_does_not():
    magnitude = torch.rand(1, 2, 17, 16)
    two = Spleeter(width=2, levels=2, n_fft=32, segment_frames=None).eval()
    shares = two(magnitude).mask
    torch.testing.assert_close(shares[..., :8, :].sum(1), torch.ones(1, 2, 8, 16))
    assert torch.equal(two(0 * magnitude).mask[..., :8, :], torch.full((1, 2, 2, 8, 16), 0.5))
    own = torch.stack([unet(magnitude[..., :8, :])[0].sigmoid() for unet in two.unets], 1)
    two.exponent = None
    torch.testing.assert_close(two(magnitude).mask[..., :8, :], own)
    one = Spleeter(width=2, levels=2, n_fft=32, segment_frames=None, targets=1).eval()
    own = one.unets[0](magnitude[..., :8, :])[0].sigmoid()
    torch.testing.assert_close(one(magnitude).mask[:, 0, :, :8], own)


@torch.no_grad()
def test_shapes_are_found_without_memory():
    with torch.device("meta"):
        mask = Spleeter().eval()(torch.zeros(1, 2, 2049, 600)).mask
    assert mask.shape == (1, 2, 2, 2049, 600)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"segment_frames": 100}, "segment_frames=100: expected a multiple of 2 .. levels, 64"),
        ({"separation_exponent": 0.5}, "separation_exponent from 1 to 10"),
        ({"hidden_activation": "tanh"}, "hidden_activation=tanh.*expected one of relu, elu"),
        ({"mask_extension": "ones"}, "mask_extension=ones.*one of zeros, average"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Spleeter(**arguments)
