"""How far a step has come: tensors and plain state, so that a killed step goes on from there.

A progress checkpoint is replaced as the step advances and removed when the step has ended. What
cannot be read counts as absent: the step then begins again, which costs time and nothing else.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reward.training.processes import Processes
from storage.blobs import (
    MANIFEST,
    checked_path,
    is_there,
    local_path,
    read_manifest,
    write_folder,
)
from storage.errors import Unavailable
from storage.object_store import is_remote

log = logging.getLogger(__name__)

TENSORS = "tensors.safetensors"
STATE = "state.json"
COUNT = "count"  # in the manifest on an object store: how many times progress was saved


@dataclass(frozen=True)
class ProgressPlace:
    """The folder `uri` of `home`, or of an object store, that fits keep their progress in."""

    home: Path
    uri: str


def save_progress(
    home: Path, uri: str, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Write the progress `name` under the folder `uri`, in place of an older one.

    `state` is anything that JSON holds; floats come back as the same bits. A folder on an object
    store cannot be replaced at once, so there are two by turns, and the newer whole one counts.
    """
    kept = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    slot, count = (name, 0) if not is_remote(uri) else _next_slot(home, uri, name)
    with write_folder(home, f"{uri}/{slot}") as folder:
        save_file(kept, folder / TENSORS)
        (folder / STATE).write_text(json.dumps(state))
        if count:
            (folder / MANIFEST).write_text(json.dumps({COUNT: count}))


def load_progress(
    home: Path, uri: str, name: str
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and the state of `name`; None where there is none that is whole."""
    slots = [name]
    if is_remote(uri):
        counts = _counts(home, uri, name)
        whole = [slot for slot in counts if counts[slot]]
        slots = sorted(whole, key=lambda slot: -counts[slot])
    for slot in slots:
        place = f"{uri}/{slot}"
        if not is_remote(uri) and not local_path(home, place).exists():
            continue
        try:
            folder = checked_path(home, place)
            return load_file(folder / TENSORS), json.loads((folder / STATE).read_text())
        except (Unavailable, OSError, ValueError, SafetensorError) as error:
            log.warning("The progress in %s cannot be used: %s", place, error)
    return None


def check_same_progress(processes: Processes, done: int) -> None:
    """Raise `Unavailable` unless `done`, steps or iterations, is the same in all processes.

    Every process calls it with what it goes on from, 0 where it begins, before it trains: each
    reads the progress by itself, and where only some find it, gradients of different weights would
    be summed.
    """
    if len(set(processes.gather(done))) > 1:
        raise Unavailable(
            "Not every process finds the progress that was kept; put it where all of them see it "
            "(a shared folder, or RANKLOOP_CHECKPOINT_STORE)."
        )


def _next_slot(home: Path, uri: str, name: str) -> tuple[str, int]:
    """Return the slot that does not hold the newest progress, and the count to write there."""
    counts = _counts(home, uri, name)
    return min(counts, key=lambda slot: counts[slot]), max(counts.values()) + 1


def _counts(home: Path, uri: str, name: str) -> dict[str, int]:
    """Return the count that each slot holds, 0 where it is not whole."""
    counts = {}
    for slot in (f"{name}-0", f"{name}-1"):
        try:
            place = f"{uri}/{slot}"
            whole = is_there(home, place)
            counts[slot] = int(read_manifest(home, place)[COUNT]) if whole else 0
        except (Unavailable, KeyError, ValueError):
            counts[slot] = 0
    return counts
