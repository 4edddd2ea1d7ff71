import torch

from auralflow_pl.metrics.oracle import ideal_binary_mask, ideal_ratio_mask, mixture_phase

TARGET, REST = torch.tensor([3.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 2.0, 0.0])


def test_shares_of_known_magnitudes():
    mask = ideal_ratio_mask(TARGET, REST)
    torch.testing.assert_close(mask, torch.tensor([0.75, 0.5, 0.0, 0.0]))


def test_the_louder_one_takes_the_bin():
    torch.testing.assert_close(ideal_binary_mask(TARGET, REST), torch.tensor([1.0, 0, 0, 0]))


def test_complex_input_is_measured_by_magnitude():
    target, rest = torch.tensor([3j]), torch.tensor([-1.0 + 0j])
    torch.testing.assert_close(ideal_ratio_mask(target, rest), torch.tensor([0.75]))
    torch.testing.assert_close(ideal_binary_mask(rest, target), torch.tensor([0.0]))


def test_magnitude_of_the_target_and_phase_of_the_mixture():
    target, mixture = torch.randn(2, 50, dtype=torch.complex64)
    estimate = mixture_phase(target, mixture)
    torch.testing.assert_close(estimate.abs(), target.abs())
    torch.testing.assert_close((estimate / mixture).imag, torch.zeros(50), atol=1e-5, rtol=0)
