"""How far a step has come: tensors and plain state, so that a killed step goes on from there.

A progress checkpoint is replaced as the step advances and removed when the step has ended. What
cannot be read counts as absent: the step then begins again, which costs time and nothing else.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.blobs import local_path, verify, write_folder
from storage.errors import Unavailable

log = logging.getLogger(__name__)

TENSORS = "tensors.safetensors"
STATE = "state.json"


def save_progress(
    home: Path, uri: str, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Write the progress `name` under the folder `uri`, in place of an older one.

    `state` is anything that JSON holds; floats come back as the same bits.
    """
    kept = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with write_folder(home, f"{uri}/{name}") as folder:
        save_file(kept, folder / TENSORS)
        (folder / STATE).write_text(json.dumps(state))


def load_progress(
    home: Path, uri: str, name: str
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and the state of `name`; None where there is none that is whole."""
    place = f"{uri}/{name}"
    folder = local_path(home, place)
    if not folder.exists():
        return None
    try:
        verify(home, place)
        return load_file(folder / TENSORS), json.loads((folder / STATE).read_text())
    except (Unavailable, OSError, ValueError, SafetensorError) as error:
        log.warning("The progress in %s cannot be used, so the step begins again: %s", place, error)
        return None
