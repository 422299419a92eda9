"""Code that a model brings with it: run where an admin allows the model by name, and nowhere else.

The names are the setting `remote_code_models`, of the environment or `rankloop.toml` alone: no page
and no API can change it.
"""

import json
from pathlib import Path
from typing import Any

from storage.errors import Unavailable
from storage.settings import load_settings

_CONFIGS = ("config.json", "tokenizer_config.json")


def allows_code_of(model: str) -> bool:
    """Say whether an admin allowed the code of a model: a folder, or a Hugging Face id."""
    return model in load_settings().remote_code_models


def code_is_allowed(folder: Path) -> bool:
    """Say whether the code in a model's folder may be run; raise `Unavailable` where it must not.

    A folder is allowed by its own path, or by the Hugging Face id that it was fetched by.
    """
    brought = code_brought(folder)
    if not brought:
        return False
    names = load_settings().remote_code_models
    fetched = [name.replace("/", "--") for name in names]
    by_path = folder.absolute() in [Path(name).expanduser().absolute() for name in names]
    if not by_path and not (folder.parent.name == "models" and folder.name in fetched):
        return False
    for name in brought:
        # transformers would fetch the code of such a class from another repository.
        if "--" in name:
            raise Unavailable(
                f"The model {folder} names code of another repository ({name}), which is never "
                "run; choose a model whose code is in its own folder."
            )
    return True


def code_brought(folder: Path) -> list[str]:
    """Return the classes that a model's folder brings code for, as its configs name them."""
    found: list[str] = []
    for name in _CONFIGS:
        try:
            config = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(config, dict):
            found += _texts_in(config.get("auto_map"))
    return found


def not_allowed(folder: Path) -> Unavailable:
    """Return the error about a model that cannot be loaded without its own code."""
    return Unavailable(
        f"The model {folder} brings code of its own, which is not run; choose one that "
        "transformers knows, or let an admin allow it by name (an id or a folder): "
        "RANKLOOP_REMOTE_CODE_MODELS='[\"owner/name\"]'."
    )


def _texts_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [text for part in parts for text in _texts_in(part)] if parts else []
