"""Why a source does not provide a file."""

from __future__ import annotations


class SourceError(Exception):
    """A source does not provide the file; bytes received before are kept."""


class BrokeOffError(SourceError):
    """The connection broke; a retry may resume the download."""


class WrongBytesError(SourceError):
    """The received bytes are not those of the expected file."""
