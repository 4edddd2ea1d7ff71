"""Trainings of low-rank changes of the weights of another model."""

import copy
import re

import pytest
import torch
from torch import nn

import auralflow_pl
from auralflow_pl.checkpoints import load_checkpoint
from auralflow_pl.checkpoints.adapted import merged
from auralflow_pl.errors import InputError
from auralflow_pl.models.low_rank import adapt
from auralflow_pl.separator import build_network
from auralflow_pl.training.start.freezing import choose_trained
from support import TINY, composed, fitting, option_names

SMALL = [
    *("model.width=2", "model.levels=3", "model.hidden_size=16", "model.segment_frames=64"),
    "model.bottleneck.hidden_size=4",
]


def disturb(module):
    """Give all that is trained other values."""
    with torch.no_grad():
        for weight in module.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))


@pytest.mark.parametrize("option", option_names("model"))
def test_only_changes_learn_and_a_merged_network_computes_the_same(option):
    config = composed("train", *fitting(f"model={option}", *SMALL))
    network, plain = build_network(config), build_network(config).eval()
    disturb(network)  # the last normalisation of a frequency layer is 0 at first
    magnitude = torch.rand(2, config.audio.channels, config.stft.n_fft // 2 + 1, 70)
    before = network.eval()(magnitude).mask
    choose_trained(network.train(), lora={"rank": 3, "alpha": 6})
    assert not any(one.training for one in network.modules() if isinstance(one, nn.BatchNorm2d))
    estimate = network(magnitude)
    sum(estimate.penalties.values(), estimate.mask.square().mean()).backward()
    for name, weight in network.named_parameters():
        assert (weight.grad is not None) == name.endswith((".up", ".down")), name
        assert not name.endswith(".up") or weight.grad.abs().sum() > 0, name
    torch.testing.assert_close(network.eval()(magnitude).mask, before, rtol=0, atol=0)
    disturb(network)
    adapted = copy.deepcopy(network)(magnitude).mask
    assert (adapted - before).abs().max() > 0.01
    plain.load_state_dict(merged(network.state_dict()))
    torch.testing.assert_close(plain(magnitude).mask, adapted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_recurrent_layers_compute_with_their_changes(kind):
    layer = kind(4, 3, 2, bidirectional=True)
    names = [name for name in layer._flat_weights_names if name.startswith("weight")]
    for name in names:
        adapt(layer, name, rank=2, scale=1.0)
    disturb(layer)
    plain = kind(4, 3, 2, bidirectional=True)
    plain.load_state_dict(merged(layer.double().float().state_dict()))
    sequence = torch.rand(5, 1, 4)
    torch.testing.assert_close(layer(sequence)[0], plain(sequence)[0])


@pytest.fixture
def trained(command, songs, run, tmp_path):
    """Train changes of a tiny network in a folder; the result and its last checkpoint."""

    def call(name, *keys):
        folder = tmp_path / name
        keys = [f"init={run}", "lora.rank=2", f"data.root={songs}", *keys]
        own = [key for key in TINY if key != "silent=true"]
        callbacks = "callbacks=[default,weight_average]"
        done = command(
            "train", *own, callbacks, "print_config=false", f"paths.run_dir={folder}", *keys
        )
        return done, folder / "checkpoints" / "last.ckpt"

    return call


def test_a_resumed_training_ends_as_one_without_a_pause(trained, run):
    done, whole = trained("whole", "trainer.max_epochs=2", "optimizer.lr_scale={*.up:16}")
    assert done.code == 0, done.err
    assert re.search(r"parameters, \d[\d.]+ % trained", done.out)
    trained("paused", "optimizer.lr_scale={*.up:16}")
    keys = ("resume=auto", "trainer.max_epochs=2", "optimizer.lr_scale={*.up:16}")
    done, paused = trained("paused", *keys)
    assert done.code == 0, done.err
    one, two = (torch.load(path, weights_only=True) for path in (whole, paused))
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, two[part][name]) for name, value in one[part].items())
    moments = [content["optimizer_states"][0]["state"] for content in (one, two)]
    torch.testing.assert_close(*moments, rtol=0, atol=0)

    base, after = load_checkpoint(run / "checkpoints" / "best.ckpt"), load_checkpoint(whole)
    assert after.weights.keys() == base.weights.keys()
    for name, weight in base.weights.items():
        matrix = weight.dim() > 1 and name.endswith("weight")
        assert torch.equal(weight, after.weights[name]) != matrix, name
    sound = torch.rand(1, 8192)
    masks = [
        auralflow_pl.load(path)(sound, 44100) for path in (whole, run / "checkpoints/best.ckpt")
    ]
    assert not torch.allclose(*masks)

    done, _ = trained("paused", "resume=auto", "lora.rank=3")
    assert "its lora differs from this configuration" in done.error


@pytest.mark.parametrize(
    "keys, message",
    [
        (["lora.rank=-1"], "lora.rank=-1: expected at least 1, or 0 for no low-rank changes"),
        (["lora.alpha=0"], "lora.alpha=0.0: expected more than 0"),
        (
            ["lora.parts=decodr"],
            "lora.parts=decodr: no such part of the network; did you",
        ),
        (["lora.parts=normalize_input"], "lora.parts=['normalize_input']: holds no weights of li"),
        (["lora.rank=many"], "many"),
        (
            ["init=null"],
            "lora.rank=2: changes a trained model, whose weights stay as they are; pass",
        ),
        (["freeze='*'"], "nothing is left to be trained"),
    ],
)
def test_mistakes(trained, keys, message):
    done, path = trained("wrong", *keys)
    assert done.code == 1
    assert message in done.error
    assert not path.exists()


def test_keys_without_a_rank_are_named(caplog):
    with caplog.at_level("WARNING", "auralflow_pl"):
        choose_trained(nn.Linear(2, 2), lora={"rank": 0, "alpha": 4.0, "parts": None})
    assert caplog.messages == ["lora.alpha is not used, since lora.rank is 0"]


def test_weights_of_several_layers_are_refused():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    with pytest.raises(InputError, match=r"lora: 0\.weight is the weight of several layers; leave"):
        choose_trained(nn.Sequential(first, second), lora={"rank": 1})


@pytest.mark.parametrize("part", ["up", "down", "scale"])
def test_changes_that_do_not_fit_are_refused(part):
    layer = nn.Sequential(nn.Linear(4, 4))
    adapt(layer[0], "weight", 2, 1.0)
    name = f"0.parametrizations.weight.0.{part}"
    state = layer.state_dict()
    with pytest.raises(InputError, match=r"the parts of 0\.weight do not fit; train it again"):
        merged(state | {name: torch.ones(1, 9)})
    with pytest.raises(InputError, match="holds less than its shape"):
        merged(state | {name: torch.ones(1).expand(2**40)})
    if part != "up":
        with pytest.raises(InputError, match=rf"0\.weight\.{part} is missing"):
            merged({key: value for key, value in state.items() if key != name})
