import torch

from auralflow_pl.metrics.oracle import ideal_ratio_mask


def test_shares_of_known_magnitudes():
    mask = ideal_ratio_mask(torch.tensor([3.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 2.0, 0.0]))
    torch.testing.assert_close(mask, torch.tensor([0.75, 0.5, 0.0, 0.0]))


def test_complex_input_is_measured_by_magnitude():
    mask = ideal_ratio_mask(torch.tensor([3j]), torch.tensor([-1.0 + 0j]))
    torch.testing.assert_close(mask, torch.tensor([0.75]))
