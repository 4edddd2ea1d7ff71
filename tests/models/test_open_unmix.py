"""The network against that of the `openunmix` package."""

import pytest
import torch
from openunmix.model import OpenUnmix as Published
from openunmix.utils import bandwidth_to_max_bin

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.errors import InputError
from auralflow_pl.models.open_unmix import OpenUnmix
from auralflow_pl.separator.build import make_network
from support import composed


def randomised(network):
    """A network of `openunmix` whose scales and statistics are not those of the beginning."""
    for name, value in network.state_dict().items():
        if "mean" in name or "scale" in name or "running" in name:
            value.uniform_(0.5, 1.5)
        elif name.startswith("bn") and value.is_floating_point():
            value.uniform_(-1, 1)
    return network.eval()


@pytest.mark.parametrize("channels, targets, heard", [(2, 2, 90), (1, 1, 129)])
@pytest.mark.parametrize("layers, unidirectional", [(3, False), (1, True)])
@torch.no_grad()
def test_masks_are_those_of_the_published_network(channels, targets, heard, layers, unidirectional):
    theirs = [
        randomised(Published(129, channels, 8, layers, unidirectional, max_bin=heard))
        for _ in range(targets)
    ]
    network = OpenUnmix(channels, targets, 256, (heard - 1) / 128, 8, layers, unidirectional).eval()
    for part, published in zip(network.networks, theirs, strict=True):
        part.load_state_dict(published.state_dict())
    magnitude = 10 * torch.rand(3, channels, 129, 70)
    expected = torch.stack([published(magnitude) for published in theirs], 1)
    found = network(magnitude).mask * magnitude[:, None]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    network.simplify()
    folded = network(magnitude).mask * magnitude[:, None]
    torch.testing.assert_close(folded, expected, rtol=1e-5, atol=1e-4)
    assert (expected > magnitude[:, None]).any()


def test_the_experiment_is_the_published_model():
    config = to_plain(composed("train", "experiment=open_unmix", "target=[vocals,drums]"))
    ours = make_network(config["model"], 2).state_dict()
    top = bandwidth_to_max_bin(44100, 4096, 16000)
    for name, value in Published(2049, 2, max_bin=top).state_dict().items():
        assert ours[f"networks.1.{name}"].shape == value.shape
    assert len(ours) == 2 * len(Published(9, max_bin=3).state_dict())


@pytest.mark.parametrize(
    "wrong", [{"bandwidth": 0.0}, {"hidden_size": 7}, {"layers": 0}, {"dropout": 2.0}]
)
def test_sizes_out_of_range_are_named(wrong):
    key, value = next(iter(wrong.items()))
    with pytest.raises(InputError, match=f"model: .*{key}={value}"):
        OpenUnmix(**wrong)
