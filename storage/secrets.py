"""Secrets: from the environment, a file that it names, or systemd; never from the database."""

import os
from pathlib import Path

from storage.errors import Unavailable


def secret_text(variable: str) -> str:
    """Return what the variable holds, or the file that `VARIABLE_FILE` names; "" without any.

    Last comes the credential of that name that systemd hands over (`LoadCredential=`). Raises
    `Unavailable` where the file cannot be read; the secret itself is in no message.
    """
    if text := os.environ.get(variable):
        return text.strip()
    name = os.environ.get(f"{variable}_FILE") or _credential(variable)
    if not name:
        return ""
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(
            f"The file {name} that {variable}_FILE names cannot be read; mend its name or its mode."
        ) from error


def _credential(variable: str) -> str:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    file = Path(folder) / variable if folder and variable.isidentifier() else None
    return str(file) if file and file.is_file() else ""
