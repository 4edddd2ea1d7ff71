"""Hydra's argument parser on every Python."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def repaired_help() -> Iterator[None]:
    """Let argparse take a help text that is not a string, as Hydra 1.3 has for --shell-completion.

    Python 3.14 checks help texts when options are added and raises for that one. Older versions
    have no such check and are left alone.
    """
    check = getattr(argparse.ArgumentParser, "_check_help", None)
    if check is None:
        yield
        return

    def check_text(parser: argparse.ArgumentParser, action: argparse.Action) -> None:
        if not isinstance(action.help, str | None):
            action.help = "Install or uninstall shell completion"
        check(parser, action)

    argparse.ArgumentParser._check_help = check_text
    try:
        yield
    finally:
        argparse.ArgumentParser._check_help = check
