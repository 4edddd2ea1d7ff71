"""Graphs are made without copies of the weights, and compute what the network does."""

import pytest
import torch

from auralflow_pl.checkpoints.contents import Checkpoint
from auralflow_pl.config.compose import compose
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.separator.build import make_network, plan_network
from auralflow_pl.separator.engines.graph_cache import cached_graph, shared_network
from auralflow_pl.separator.engines.onnx_trace import hollow

FREQ = 65


def plan(*keys):
    """The plan of a network with random weights, as of a checkpoint."""
    config = to_plain(compose("train", ["stft.n_fft=128", *keys]))
    weights = make_network(config["model"], 1).state_dict()
    checkpoint = Checkpoint(config=config, weights=weights)
    return plan_network(checkpoint, 1, config["audio"]["channels"], FREQ, ())


@pytest.mark.parametrize("model", ["simple", "lstm", "vae", "open_unmix"])
def test_a_graph_is_made_of_the_weights_themselves(model, tmp_path, monkeypatch):
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path))
    made = plan(f"model={model}", *(["model.width=4", "model.levels=2"] * (model != "open_unmix")))
    before = {name: value.clone() for name, value in made.weights.items()}
    network = shared_network(made)
    places = {value.data_ptr() for value in made.weights.values()}
    assert {value.data_ptr() for value in network.state_dict().values()} == places
    graph = cached_graph(made)
    magnitude = torch.rand(2, made.channels, FREQ, 70)
    with torch.no_grad():
        expected = made.build()(magnitude).mask
    torch.testing.assert_close(graph(magnitude).mask, expected, atol=1e-4, rtol=0)
    assert all(torch.equal(value, before[name]) for name, value in made.weights.items())


def test_a_network_with_tensors_that_are_no_weights_is_built(tmp_path, monkeypatch):
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path))
    made = plan("model=simple", "model.width=4", "model.levels=2")
    made.outline.register_buffer("other", torch.zeros(3, device="meta"), persistent=False)
    network = shared_network(made)
    assert network is not made.outline
    assert all(not value.is_meta for value in network.state_dict().values())


def test_hollow_tensors_take_no_memory():
    weights = {"a": torch.ones(99, 99), "b": torch.ones(9), "n": torch.arange(9999)}
    large, small, integers = hollow(weights)
    assert large.shape == (99, 99)
    assert large.untyped_storage().nbytes() == 4
    assert small is weights["b"]
    assert integers is weights["n"]
