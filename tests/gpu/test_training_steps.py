"""Training on a GPU: losses and gradients, every precision, compilation, and resuming."""

import pytest
import torch

from auralflow_pl.training.build import build_task
from support import TINY, composed, fitting, option_names

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]

NETWORK = ("model.width=4", "model.levels=3", "model.hidden_size=16", "model.dropout=0")


def task_of(*keys):
    torch.manual_seed(0)
    return build_task(composed("train", *fitting("scheduler=none", *keys, *NETWORK))).train()


def batch_of(task, seconds=0.5):
    torch.manual_seed(1)
    separator = task.separator
    time = round(seconds * separator.sample_rate)
    stems = 0.1 * torch.randn(2, len(task.stems), separator.channels, time)
    return {"mixture": stems.sum(1), "stems": stems}


def step(task, batch, device):
    """Losses and the norm of every gradient, on a device."""
    task.to(device)
    torch.manual_seed(2)
    parts = task.loss_parts({key: value.to(device) for key, value in batch.items()})
    task.zero_grad()
    parts["loss"].backward()
    norms = [p.grad.norm().cpu() for p in task.parameters() if p.grad is not None]
    return torch.stack([part.detach().cpu() for part in parts.values()]), torch.stack(norms)


def assert_same_steps(task, device, tolerance):
    batch = batch_of(task)
    results = [step(task, batch, place) for place in ("cpu", device)]
    for on_cpu, on_device in zip(*results, strict=True):
        assert torch.isfinite(on_device).all()
        largest = on_cpu.abs().max()
        assert (on_device - on_cpu).abs().max() <= tolerance * largest


@pytest.mark.parametrize("model", [name for name in option_names("model") if name != "vae"])
def test_losses_and_gradients_of_a_network_are_those_of_the_cpu(model, exact):
    assert_same_steps(task_of(f"model={model}"), exact, 1e-3)


@pytest.mark.parametrize("loss", [name for name in option_names("loss") if name != "kl_div"])
@pytest.mark.parametrize("best_perm", [False, True])
def test_a_loss_and_its_gradients_are_those_of_the_cpu(loss, best_perm, exact):
    keys = [f"loss={loss}", "target=[vocals,drums]", f"+loss.{loss}.best_perm={best_perm}"]
    if "best_perm" in composed("train", f"loss={loss}").loss[loss]:
        keys[-1] = keys[-1].removeprefix("+")
    elif best_perm:
        pytest.skip("this loss has no permutations")
    else:
        del keys[-1]
    assert_same_steps(task_of("model=simple", *keys), exact, 1e-3)


def test_what_a_chunk_cannot_teach_is_left_out(exact):
    task = task_of("model=simple", "target=[vocals,drums]")
    batch = batch_of(task)
    holds = torch.eye(len(task.stems), dtype=torch.bool).repeat(2, 1, 1)
    batch |= {"holds": holds, "bandwidth": torch.tensor([0.5, 1.0])}
    on_cpu, on_device = (step(task, batch, place)[0] for place in ("cpu", exact))
    torch.testing.assert_close(on_device, on_cpu, rtol=1e-3, atol=0)


@pytest.fixture
def train(command, songs, device):
    """Train in this process on the device, and return the last checkpoint."""

    def run(folder, *keys):
        accelerator = "cpu" if device.type == "cpu" else "cuda"
        changed = ("trainer.accelerator", *(key.partition("=")[0] for key in keys))
        tiny = [key for key in TINY if key.partition("=")[0] not in changed]
        done = command(
            "train",
            *tiny,
            f"trainer.accelerator={accelerator}",
            f"data.root={songs}",
            f"paths.run_dir={folder}",
            *keys,
        )
        assert done.code == 0, done.err
        path = folder / "checkpoints" / "last.ckpt"
        return torch.load(path, map_location="cpu", weights_only=True)

    yield run
    torch.use_deterministic_algorithms(False)  # Lightning leaves it on


def assert_finite(checkpoint):
    weights = checkpoint["state_dict"].values()
    assert all(torch.isfinite(value).all() for value in weights if value.is_floating_point())


@pytest.mark.parametrize(
    "keys",
    [
        ("precision=fp32",),
        ("precision=fp32", "precision.channels_last=false"),
        ("precision=bf16",),
        ("model=lstm", "precision=bf16", "model.hidden_size=8"),
        ("model=vae", "precision=bf16", "model.hidden_size=8"),
        ("data.num_workers=2", "data.pin_memory=true"),
        ("callbacks=[default,media,log_weights,weight_average]", "logger=tensorboard"),
        ("metrics=[bss_eval,sdr,log_wmse,mr_stft]",),
        ("compile=true",),
        ("compile=true", "precision=bf16"),
    ],
    ids="+".join,
)
def test_a_training_runs(keys, train, device, tmp_path):
    if device.type == "cpu" and ("compile=true" in keys or "data.pin_memory=true" in keys):
        pytest.skip("pinned memory and this compiler are those of a GPU")
    assert_finite(train(tmp_path / "run", *keys))


def test_fp16_has_a_loss_scale_that_is_saved(train, tmp_path):
    made = train(tmp_path / "run", "precision=fp16", "precision.init_scale=1024")
    assert made["MixedPrecision"]["scale"] == 1024
    assert_finite(made)


def test_a_loss_scale_that_overflows_is_halved(train, tmp_path):
    made = train(tmp_path / "run", "precision=fp16", "precision.init_scale=1e36")
    assert made["MixedPrecision"]["scale"] < 1e36
    assert_finite(made)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_resumed_training_is_bit_identical_with_deterministic_algorithms(
    precision, train, tmp_path, record_property
):
    keys = (f"precision={precision}", "trainer.deterministic=true")
    whole = train(tmp_path / "whole", *keys, "trainer.max_epochs=2")
    train(tmp_path / "parts", *keys, "trainer.max_epochs=1")
    parts = train(tmp_path / "parts", *keys, "trainer.max_epochs=2", "resume=auto")
    assert parts["global_step"] == whole["global_step"]
    differences = [
        (parts["state_dict"][name].double() - value.double()).abs().max().item()
        for name, value in whole["state_dict"].items()
    ]
    record_property("largest difference of weights", max(differences))
    assert max(differences) == 0
