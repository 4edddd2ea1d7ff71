"""Configurations in files: `auralflow config --save`, their use, and their preview."""

import pytest

from auralflow_pl.cli import main as cli
from auralflow_pl.config.saved import read_config
from auralflow_pl.config.schema import TrainKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.training.run import save_config
from support import composed


@pytest.fixture
def config(capfd):
    """`auralflow config` in this process: exit code, and what it prints."""

    def call(*words):
        code = 0
        try:
            cli.show_help("config", [*map(str, words)])
        except SystemExit as end:
            code = int(end.code)
        printed = capfd.readouterr()
        return code, printed.out + printed.err

    return call


CHOSEN = ["model=vae", "loss=[l1,si_sdr]", "target=[vocals,drums]", "data.root=${paths.data_dir}/x"]


def test_a_saved_configuration_composes_to_the_same(config, command, tmp_path):
    file = tmp_path / "my songs" / "small.yaml"
    code, out = config(*CHOSEN, "--save", file)
    usage = f"auralflow train --config-dir '{file.parent}' --config-name small"
    assert (code, out) == (0, f"saved {file}; use it with:\n  {usage}\n")
    printed = command("train", *CHOSEN, "--cfg", "job").out
    keys = ["--config-dir", file.parent, "--config-name", "small"]
    assert command("train", *keys, "--cfg", "job").out == printed
    changed = command("train", *keys, "optimizer.lr=0.5", "--cfg", "job").out
    assert changed == printed.replace("lr: 0.003", "lr: 0.5", 1) != printed
    assert command("train", *keys, "model=lstm").error.startswith(
        "error: model: is no group of --config-name small, which holds its keys"
    )


def test_a_command_with_a_missing_key_and_a_sweep_can_be_saved(config, command, tmp_path):
    assert config("separate", "residual=true", f"--save={tmp_path / 'stems.yaml'}")[0] == 0
    keys = ["--config-dir", tmp_path, "--config-name", "stems"]
    assert "missing required key: input" in command("separate", *keys).error
    assert config("sweep=optuna", "--save", tmp_path / "study.yaml")[0] == 0
    keys[-1] = "study"
    out = command("train", *keys, "--cfg", "hydra", "-p", "hydra.sweeper.sampler").out
    assert "optuna.samplers.TPESampler" in out


def test_the_configuration_of_a_run_folder_is_shown(config, tmp_path):
    chosen = composed("train", "loss=l2", f"paths.run_dir={tmp_path}")
    save_config(validate(chosen, TrainKeys))
    code, out = config(tmp_path, "loss", "paths.run_dir")
    assert code == 0
    assert "  loss.l2.reduction=mean\n" in out
    assert f"paths.run_dir={tmp_path}runfolder" in "".join(out.split())  # long paths are wrapped
    assert "optimizer" not in out


def test_a_saved_file_is_shown_with_the_meaning_of_its_keys(config, tmp_path):
    file = tmp_path / "stems.yaml"
    config("separate", "separation.shifts=3", "--save", file)
    code, out = config("separate", file, "separation", "clip")
    assert code == 0
    assert "  separation.shifts=3\n      number of passes" in out
    assert "defaults" not in config("separate", file)[1]


@pytest.mark.parametrize(
    "words, message",
    [
        (["--save"], "--save: expected a file"),
        (["--save", "{}/x.json"], "--save {}/x.json: expected a file that ends in .yaml"),
        (["--save", "{}/train.yaml"], "train is the name of a command's own configuration"),
        (["--save", "{}/old.yaml"], "--save {}/old.yaml: is there already; choose another name"),
        (["--save", "{}/old.yaml/x.yaml"], "--save {}/old.yaml/x.yaml: cannot be written: "),
        (["loss", "--save", "{}/x.yaml"], "loss: --save takes one file, and writes all keys"),
        (["model=vea", "--save", "{}/x.yaml"], "model=vea: no such option, did you mean 'vae'?"),
        (["seed=a", "--save", "{}/x.yaml"], "seed: Value 'a' of type 'str' could not be conv"),
        (["chunk_seconds=0", "--save", "{}/x.yaml"], "chunk_seconds=0.0: expected more than 0"),
        (["hydra.verbose=true", "--save", "{}/x.yaml"], "hydra.verbose=true is no key of the"),
        (["{}/none.yaml"], "{}/none.yaml: no such file; expected a saved configuration, or a run"),
        (["{}"], "{}/config.yaml: no such file"),
        (["{}/old.yaml"], "{}/old.yaml: no configuration; expected keys with values"),
        (["{}/bad.yaml"], "{}/bad.yaml: not YAML with plain values: "),
        (["{}/good.yaml", "los"], "los: no such key, did you mean 'loss'?"),
        (["{}/good.yaml", "loss=l2"], "loss=l2: {}/good.yaml is shown as it is saved"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_file(config, tmp_path, words, message):
    texts = {"old": "- 1\n", "bad": "a: [", "good": "loss: 1\n"}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    code, out = config(*(word.format(tmp_path) for word in words))
    assert code == 1
    assert message.format(tmp_path) in out
    assert out.startswith("error: ")
    assert out.count("\n") == 1
    assert {p.stem: p.read_text() for p in tmp_path.iterdir()} == texts


def test_a_saved_file_says_how_it_was_made(config, tmp_path):
    config("scheduler=none", "--save", tmp_path / "x.yaml")
    first = (tmp_path / "x.yaml").read_text().splitlines()[0]
    assert first == "# Saved by: auralflow config train scheduler=none"
    assert read_config(tmp_path / "x.yaml")["paths"]["runs_dir"] == "runs"
