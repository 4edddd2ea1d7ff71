import pytest
import torch

from auralflow_pl.models.vae import VariationalBottleneck


def make(**options):
    return VariationalBottleneck(8, 4, recurrent_depth=1, hidden_size=6, **options)


def test_samples_while_training_only():
    part, x = make(), torch.randn(2, 8, 4, 5)
    assert not torch.equal(part(x)[0], part(x)[0])
    part.eval()
    assert torch.equal(part(x)[0], part(x)[0])


def test_divergence_of_a_known_gaussian():
    """Mean 1 and variance 1: 0.5 for every element."""
    part = make(kl_weight=2.0, kl_warmup_steps=0).eval()
    for layer, bias in ((part.mean, 1.0), (part.log_var, 0.0)):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.constant_(layer.bias, bias)
    assert float(part(torch.randn(2, 8, 4, 5))[1]["kl"].detach()) == pytest.approx(2.0 * 0.5)


def test_weight_rises_with_training_steps_and_survives_a_resume():
    part, x = make(kl_weight=1.0, kl_warmup_steps=4), torch.zeros(1, 8, 4, 5)
    weights = []
    for step in range(6):
        if step == 3:
            state = part.state_dict()
            part = make(kl_weight=1.0, kl_warmup_steps=4)
            part.load_state_dict(state)
        part(x)
        weights.append(float(part.eval().current_weight()))
        part.train()
    assert weights == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_divergence_is_finite_at_low_precision(dtype):
    part = make()
    with torch.autocast("cpu", dtype):
        penalties = part(torch.randn(2, 8, 4, 5) * 1e4)[1]
    assert torch.isfinite(penalties["kl"])
    assert penalties["kl"].dtype == torch.float32


def test_simplified_it_gives_the_same_map_and_no_penalty():
    part, x = make().eval(), torch.randn(2, 8, 4, 5)
    expected, _ = part(x)
    part.simplify()
    found, penalties = part(x)
    assert torch.equal(found, expected)
    assert not penalties
