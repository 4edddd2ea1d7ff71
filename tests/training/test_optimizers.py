"""Learning rates of parts of a network."""

import csv

import pytest
import torch

from auralflow_pl.config.instantiate import build
from auralflow_pl.errors import InputError
from auralflow_pl.separator import build_network
from auralflow_pl.training import build_task
from support import TINY, composed, option_names

LSTM = ["model=lstm", "model.width=2", "model.levels=3", "model.bottleneck.hidden_size=4"]


@pytest.mark.parametrize("option", option_names("optimizer"))
def test_every_weight_has_the_rate_of_its_part(option):
    keys = ["optimizer.lr=0.01", "optimizer.lr_recurrent=0.001"]
    scale = "optimizer.lr_scale={*.head.*:2,bottleneck:0.1,decoder:0.5}"
    config = composed("train", *TINY, *LSTM, f"optimizer={option}", *keys, scale)
    task = build_task(config)
    groups = task.make_optimizer(task).param_groups
    assert {group["name"]: group["lr"] for group in groups} == {
        "learning_rate": 0.01,
        "learning_rate_recurrent": 0.001,
        "learning_rate_*.head.*": 0.02,
        "learning_rate_bottleneck": 0.001,
        "learning_rate_recurrent_bottleneck": pytest.approx(1e-4),
        "learning_rate_decoder": 0.005,
    }
    group_of = {id(weight): group["name"] for group in groups for weight in group["params"]}
    network = dict(task.separator.network.named_parameters())
    assert len(group_of) == len(network)
    for name, group in {
        "encoder.levels.0.conv.weight": "learning_rate",
        "decoder.head.weight": "learning_rate_*.head.*",  # the first that fits
        "decoder.levels.0.conv.weight": "learning_rate_decoder",
        "bottleneck.expand.bias": "learning_rate_bottleneck",
        "bottleneck.lstm.weight_hh_l0": "learning_rate_recurrent_bottleneck",
    }.items():
        assert group_of[id(network[name])] == group


@pytest.mark.parametrize(
    "scale, message",
    [
        ({"encodr": 0.1}, "optimizer.lr_scale.encodr: no such part of the network; did you mean"),
        ({"encoder": 0}, "optimizer.lr_scale.encoder=0: expected more than 0"),
        ({"encoder": "a"}, "optimizer.lr_scale.encoder=a: expected more than 0"),
        ({"encoder": 0.1, "encoder.levels.0": 1}, "lr_scale.encoder.levels.0: no weight is left"),
        ({"decoder": 0.1}, "optimizer.lr_scale.decoder: no weight is left to which it applies; "),
        (0.1, "optimizer.lr_scale=0.1: expected factors by parts of the network, as in {encoder:"),
    ],
)
def test_mistakes(scale, message):
    config = composed("train", *TINY)
    network = build_network(config)
    network.decoder.requires_grad_(False)
    with pytest.raises(InputError) as caught:
        build(config.optimizer)(network, lr_scale=scale)
    assert message in str(caught.value)


def test_factors_are_logged_and_may_change(command, songs, tmp_path):
    def trained(*keys):
        keys = [f"data.root={songs}", f"paths.run_dir={tmp_path}", "logger=csv", *keys]
        return command("train", *TINY, "print_config=false", *keys)

    first = trained("optimizer.lr=0.1", "optimizer.lr_scale={encoder:1e-9}")
    assert first.code == 0, first.err
    again = trained(
        "resume=auto", "trainer.max_epochs=2", "optimizer.lr=0.1", "optimizer.lr_scale={encoder:2}"
    )
    assert again.code == 0, again.err
    with next((tmp_path / "csv").rglob("*.csv")).open() as file:
        rates = [row.get("train/learning_rate_encoder") for row in csv.DictReader(file)]
    assert [float(rate) for rate in rates if rate] == pytest.approx([1e-10, 0.2])
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    groups = state["optimizer_states"][0]["param_groups"]
    assert [group["lr"] for group in groups] == pytest.approx([0.1, 0.2])
    other = trained("resume=auto", "trainer.max_epochs=3", "optimizer.lr_scale={decoder:2}")
    assert "learning_rate, learning_rate_decoder here, learning_rate, learning_rate_encoder in" in (
        other.error
    )
