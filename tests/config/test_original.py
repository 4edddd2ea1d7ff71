"""The options of the original toolkit, as docs/migration.md maps them to keys."""

import re

import pytest

from auralflow_pl.config.instantiate import build, to_plain
from auralflow_pl.config.schema import TrainKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.losses.base import TargetLoss
from auralflow_pl.separator.build import make_network
from auralflow_pl.training.build import build_data, build_task
from support import REPOSITORY, composed

PAGE = (REPOSITORY / "docs" / "migration.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("### Options")[2].partition("\n## ")[0]
ROWS = [line.split("|")[2] for line in SECTION.splitlines() if line.startswith("| `")]
KEYS = [key for row in ROWS for key in re.findall(r"`([^`]+=[^`]+)`", row)]
# Of several choices for a key the last one is taken here; `loss=mask` has a test of its own.
LAST = {key.partition("=")[0]: key for key in KEYS if "mask.construction" not in key}
COMMAND = [*LAST.values(), "loss=component", "model=vae", "data=stem_folder"]


@pytest.fixture(scope="module")
def config():
    return validate(composed("train", "experiment=original", *COMMAND), TrainKeys)


def test_the_table_is_read_as_a_whole():
    assert len(ROWS) >= 25
    assert len(LAST) >= 45


def test_the_whole_command_line_is_built(config, tmp_path):
    task, data = build_task(config), build_data(config)
    assert list(task.separator.targets) == ["vocals", "drums"]
    assert data.loading["prefetch_factor"] == 4
    assert data.source.max_tracks == 80
    config.paths.run_dir = str(tmp_path)
    callbacks = build(config.callbacks)
    assert {"log_audio", "log_spectrogram", "log_waveform", "log_weights"} <= set(callbacks)
    assert callbacks["plateau_stopping"].max_plateaus == 5


def test_the_experiment_has_the_defaults_of_the_original():
    config = composed("train", "experiment=original")
    assert list(config.loss) == ["si_sdr"]
    assert config.optimizer.lr == 0.01
    assert (config.model.dropout, config.model.hidden_leak, config.data.max_tracks) == (0.4, 0, 80)
    assert config.trainer.gradient_clip_val == 1000


@pytest.mark.parametrize("name", ["component", "kl_div", "l1", "l2", "mask", "si_sdr", "rmse"])
def test_every_criterion_is_a_loss(name):
    (loss,) = composed("train", "experiment=original", f"loss={name}").loss.values()
    assert isinstance(build(loss), TargetLoss)
    if name in ("mask", "kl_div"):
        key = f"loss.{name}.construction_loss=l1"
        (loss,) = composed("train", "experiment=original", f"loss={name}", key).loss.values()
        assert build(loss).kind == "l1"


@pytest.mark.parametrize(
    "name, units, millions",
    [("simple", None, 7.9), ("lstm", None, 31.7), ("vae", None, 38.8), ("lstm", 1024, 71.9)],
)
def test_the_sizes_that_are_told(name, units, millions):
    size = [f"model.bottleneck.hidden_size={units}"] if units else []
    model = composed("train", "experiment=original", f"model={name}", *size).model
    count = sum(part.numel() for part in make_network(to_plain(model), 1).parameters())
    assert round(count / 1e6, 1) == millions
    assert str(millions) in SECTION
