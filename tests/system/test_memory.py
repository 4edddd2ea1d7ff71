"""Sizes of memory as users write them."""

import pytest

from auralflow_pl.errors import InputError
from auralflow_pl.system.memory import is_memory_shortage, parse_size
from support import python


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


def test_a_thread_that_cannot_start_is_a_shortage():
    limit = (
        "import resource, threading; from auralflow_pl.system.memory import is_memory_shortage\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**20, resource.RLIM_INFINITY))\n"
        "try: threading.Thread(target=print).start()\n"
        "except RuntimeError as error: print(is_memory_shortage(error))"
    )
    assert python("-c", limit).out.strip() == "True"


@pytest.mark.parametrize("text, short", [("could not create a primitive", True), ("shape", False)])
def test_errors_of_memory_are_told_from_others(text, short):
    assert is_memory_shortage(RuntimeError(text)) is short
