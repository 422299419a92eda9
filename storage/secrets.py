"""Secrets: from the environment, or from a file that it names; never from the database."""

import os
from pathlib import Path

from storage.errors import Unavailable


def secret_text(variable: str) -> str:
    """Return what the variable holds, or the file that `VARIABLE_FILE` names; "" without both.

    Raises `Unavailable` where the file cannot be read; the secret itself is in no message.
    """
    if text := os.environ.get(variable):
        return text.strip()
    name = os.environ.get(f"{variable}_FILE")
    if not name:
        return ""
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(
            f"The file {name} that {variable}_FILE names cannot be read; mend its name or its mode."
        ) from error
