"""The token that requests have to send."""

from __future__ import annotations

import os
import re
from pathlib import Path

from auralflow_pl.errors import InputError, os_reason

TOKEN_VARIABLE = "AURALFLOW_TOKEN"  # noqa: S105 - the name of a variable

SHORTEST_TOKEN = 16  # characters


def read_token(path: str | None) -> str | None:
    """Token in a file, or else in the environment; None: there is none.

    It is no key of the configuration: other users of a machine can read the command line.

    Raises:
        InputError: the file cannot be read, or what it holds is no token.
    """
    if path is None:
        text, origin = os.environ.get(TOKEN_VARIABLE), TOKEN_VARIABLE
        if text is None:
            return None
    else:
        origin = f"token_file={path}"
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = os_reason(error) if isinstance(error, OSError) else "no text"
            raise InputError(f"{origin}: cannot be read: {reason}") from None
    token = text.strip()
    if not re.fullmatch(rf"[!-~]{{{SHORTEST_TOKEN},}}", token):
        raise InputError(
            f"{origin}: expected at least {SHORTEST_TOKEN} letters, digits or signs without a "
            "space, as `openssl rand -hex 32` prints"
        )
    return token
