"""Sizes of memory as users write them."""

import pytest

from auralflow_pl.errors import InputError
from auralflow_pl.system.memory import parse_size


@pytest.mark.parametrize(
    "text, size",
    [("512", 512), ("800M", 8e8), ("1GB", 1e9), ("1GiB", 2**30), ("1.5 kib", 1536), ("2t", 2e12)],
)
def test_decimal_and_binary_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0GB", "1XB", "-1GB", "GB"])
def test_what_is_no_size_is_named(text):
    with pytest.raises(InputError, match=f"max_ram={text}: expected a size"):
        parse_size(text)
