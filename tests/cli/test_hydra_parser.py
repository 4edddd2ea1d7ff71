"""Hydra's parser is made on every Python, also where argparse checks help texts."""

import argparse
import sys

import pytest
from hydra._internal.utils import get_args_parser

from auralflow_pl.cli.hydra_parser import repaired_help


def test_the_parser_is_made_with_its_options():
    with repaired_help():
        parser = get_args_parser()
    assert parser.parse_args(["--multirun", "a=b"]).multirun
    if sys.version_info >= (3, 14):
        assert "shell completion" in parser.format_help()


def test_argparse_is_left_as_it_was():
    before = getattr(argparse.ArgumentParser, "_check_help", None)
    with pytest.raises(KeyError), repaired_help():
        raise KeyError
    assert getattr(argparse.ArgumentParser, "_check_help", None) is before


@pytest.mark.skipif(sys.version_info < (3, 14), reason="argparse checks no help texts before 3.14")
def test_other_bad_help_texts_are_still_refused():
    with repaired_help(), pytest.raises(ValueError, match="badly formed"):
        argparse.ArgumentParser().add_argument("--x", help="%(nothing)s")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="argparse checks no help texts before 3.14")
def test_the_repair_is_still_needed():
    with pytest.raises(ValueError, match="badly formed"):
        get_args_parser()
