"""Laws that every network of configs/model obeys."""

import pytest
import torch

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.separator.build import make_network
from support import composed, fitting, option_names

PARAMETERS_MILLION = {  # one decimal
    "simple": 7.9, "mixing": 7.9, "lstm": 31.7, "vae": 38.8, "open_unmix": 5.7, "spleeter": 9.8,
    "dual_path": 3.8, "attention": 10.2, "causal": 1.1,
}  # fmt: skip

U_NETS = ("simple", "mixing", "lstm", "vae", "spleeter", "dual_path", "attention")

WHOLE = ("dual_path", "attention")  # whose masks depend on all frames

NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)

ROUNDING = {"rtol": 0, "atol": 2e-6}  # of masks in float32; 4e-7 was seen

SETTINGS = ("model.segment_frames=null", "model.mask_extension=average")


def make(name, targets=1, *overrides):
    small = (f"model={name}", "model.width=4", "model.hidden_size=16", "stft.n_fft=512")
    units = "model.bottleneck.hidden_size=16"
    config = composed("train", *fitting(*small, units, *SETTINGS, *overrides))
    return make_network(to_plain(config.model), targets).eval()


@pytest.fixture(params=option_names("model"))
def name(request):
    return request.param


@pytest.mark.parametrize("frames", [1, 31, 64, 173])
@pytest.mark.parametrize("channels, targets", [(1, 1), (2, 1), (1, 3), (2, 2)])
@torch.no_grad()
def test_mask_has_its_shape_and_range(name, frames, channels, targets):
    network = make(name, targets, f"audio.channels={channels}")
    mask = network(torch.rand(2, channels, 257, frames) * 50).mask
    assert mask.shape == (2, targets, channels, 257, frames)
    assert mask.min() >= 0
    assert mask.max() <= 1 or not network.bounded


@pytest.mark.parametrize("frames", [1, 31, 64, 173])
@torch.no_grad()
def test_batch_items_do_not_interact(name, frames):
    network = make(name)
    magnitude = torch.rand(3, 1, 257, frames)
    together, alone = network(magnitude).mask, network(magnitude[:1]).mask
    torch.testing.assert_close(together[:1], alone, **ROUNDING)


@torch.no_grad()
def test_evaluation_is_deterministic(name):
    network, magnitude = make(name), torch.rand(2, 1, 257, 40)
    assert torch.equal(network(magnitude).mask, network(magnitude).mask)


@pytest.mark.parametrize("n_fft", [64, 510, 1024, 4096])
@torch.no_grad()
def test_any_n_fft(name, n_fft):
    network = make(name, 1, "model.width=2", f"stft.n_fft={n_fft}", "stft.hop_length=16")
    assert network(torch.rand(1, 1, n_fft // 2 + 1, 9)).mask.shape[-2] == n_fft // 2 + 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("level", [0.0, 1e-6, 1.0, 1e4])
def test_mask_and_gradient_are_finite(name, dtype, level):
    network = make(name).train()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        mask, penalties = network(torch.rand(2, 1, 257, 40) * level)
    (mask.float().square().mean() + sum(penalties.values())).backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(g).all() for g in gradients)


def test_gradient_agrees_with_finite_differences(name):
    """Of the masks, with respect to input and the first weights; in float64."""
    small = ["model.width=2", "model.levels=2", "model.hidden_size=4"]
    small += ["model.bottleneck.hidden_size=3", "stft.n_fft=32", "stft.hop_length=8"]
    network = make(name, 1, *small).double()
    magnitude = torch.rand(1, 1, 17, 5, dtype=torch.float64) + 0.1
    first = next(key for key, weight in network.named_parameters() if weight.ndim > 1)
    weight = network.get_parameter(first).detach().clone()

    def masks(part, weights):
        return torch.func.functional_call(network, {first: weights}, (part,)).mask

    inputs = (magnitude.requires_grad_(), weight.requires_grad_())
    assert torch.autograd.gradcheck(masks, inputs, fast_mode=True)


@pytest.mark.parametrize("name", ["simple", "spleeter"])
@pytest.mark.parametrize(
    "activation",
    ["sigmoid", "relu", "leaky_relu", "hardtanh", "tanh", "softmax", "prelu", "selu", "elu"],
)
def test_every_mask_activation_learns_and_stays_in_range(name, activation):
    network = make(name, 2, f"model.mask_activation={activation}").train()
    mask = network(torch.rand(2, 1, 257, 40)).mask
    assert mask.min() >= 0
    assert mask.max() <= 1
    if activation == "softmax":
        torch.testing.assert_close(mask.sum(1), torch.ones_like(mask[:, 0]), **ROUNDING)
    mask.square().mean().backward()
    assert max(p.grad.abs().max() for p in network.parameters() if p.grad is not None) > 0


@pytest.mark.parametrize("name", ["simple", "lstm"])
@pytest.mark.parametrize(
    "option",
    [
        "model.hidden_leak=0.2",
        "model.normalize_input=false",
        "model.normalize_output=false",
        "model.compression=power",
        "model.compression=none",
        "model.mask_limit=2",
    ],
)
@torch.no_grad()
def test_option_changes_the_network(name, option):
    if option.split("=")[0].removeprefix("model.") not in composed("train", f"model={name}").model:
        pytest.skip("no such option")
    torch.manual_seed(1)
    plain_mask = make(name)(torch.rand(1, 1, 257, 40)).mask
    torch.manual_seed(1)
    network = make(name, 1, option)
    other = network(torch.rand(1, 1, 257, 40)).mask
    same_weights = [p.shape for p in network.parameters()] == [
        p.shape for p in make(name).parameters()
    ]
    assert not same_weights or not torch.equal(plain_mask, other)


@torch.no_grad()
def test_the_simplified_network_gives_the_same_masks(name):
    network, magnitude = make(name, 2), torch.rand(2, 1, 257, 40) * 5
    network.train()(magnitude)  # statistics that are not those of the beginning
    network.eval()
    mask = network(magnitude).mask
    norms = sum(isinstance(part, NORMS) for part in network.modules())
    network.simplify()
    assert norms > sum(isinstance(part, NORMS) for part in network.modules())
    torch.testing.assert_close(network(magnitude).mask, mask, rtol=1e-5, atol=4e-6)


def test_dropout_acts_in_training_only(name):
    network, magnitude = make(name, 1, "model.dropout=0.5"), torch.rand(2, 1, 257, 40)
    assert torch.equal(network(magnitude).mask, network(magnitude).mask)
    network.train()
    assert not torch.allclose(network(magnitude).mask, network(magnitude).mask)


def test_parameter_count_at_the_defaults(name):
    network = make_network(to_plain(composed("train", f"model={name}").model), 1)
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    assert millions == pytest.approx(PARAMETERS_MILLION[name], abs=0.05)


@pytest.mark.parametrize("name", [name for name in U_NETS if name not in WHOLE])
@pytest.mark.parametrize("levels", [1, 3])
def test_a_mask_depends_on_no_frame_beyond_the_reach(name, levels):
    """What the context of windows is computed from; it is not much more than needed either."""
    small = ["model.bottleneck.hidden_size=3"] if name in ("lstm", "vae") else []
    network = make(name, 1, f"model.levels={levels}", "stft.n_fft=32", *small).double()
    middle = network.frame_reach + network.frame_multiple
    magnitude = torch.rand(1, 1, 17, 3 * middle, dtype=torch.float64, requires_grad=True)
    mask, seen = network(magnitude).mask, 0
    for frame in range(middle, middle + network.frame_multiple):
        (gradient,) = torch.autograd.grad(mask[..., frame].sum(), magnitude, retain_graph=True)
        used = gradient.abs().sum((0, 1, 2)).nonzero() - frame
        seen = max(seen, int(used.abs().max()))
    assert 0.7 * network.frame_reach <= seen <= network.frame_reach


def test_a_network_with_a_memory_over_time_has_no_reach():
    assert make("lstm", 1, "model.bottleneck.input_axis=0").frame_reach is None
    assert make("open_unmix").frame_reach is None


@torch.no_grad()
def test_starting_at_a_multiple_of_frame_multiple_changes_nothing_far_away(name):
    """What windows rely on: a later start on the coarse grid gives the same mask in the middle."""
    network = make(name, 1, "model.levels=2")
    magnitude = torch.rand(1, 1, 257, 512)
    shift = 8 * network.frame_multiple
    whole, part = network(magnitude).mask, network(magnitude[..., shift:]).mask
    torch.testing.assert_close(part[..., 200:], whole[..., shift + 200 :], **ROUNDING)
