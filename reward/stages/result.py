"""What a stage leaves: its folder, written whole, and what it took in time and memory.

While a stage runs, the folder holds `progress/` alone, with what the run is made with beside what
its trainer keeps there; the finished folder replaces it at once. A stage that is started again with
the same settings goes on from there. Of several processes the first alone writes.
"""

import hashlib
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from reward.stages.card import card_of
from reward.steps.outcome import CannotTrain
from reward.training.learning_rates import as_options, learning_rates
from reward.training.processes import Processes
from storage.blobs import MANIFEST, write_folder
from storage.errors import BadInput, Conflict, Unavailable
from storage.finite_json import finite

PROGRESS = "progress"
LOGS = "logs"  # the curves for other tools, within progress and in the finished folder
LOSSES_FILE = "losses.txt"
CURVES = (LOSSES_FILE, LOGS)  # what progress has that no run can go on from
LOCK = "lock"  # within progress, held by the process that trains
SETTINGS_FILE = "settings.json"
METRICS_FILE = "metrics.json"
CARD = "README.md"

Json = Mapping[str, Any]


class Meter:
    """Measures wall seconds, and the peak memory of this process or of its GPU."""

    def __init__(self, device: torch.device) -> None:
        """Start the clock, and forget the GPU's earlier peak."""
        self.device = device
        self.started = time.monotonic()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @property
    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started

    @property
    def peak_memory_mb(self) -> float:
        """Return the peak in MiB: what CUDA allocated, or else the process's resident memory.

        Resident memory counts everything from the start of the process, libraries and all.
        """
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return peak_resident_bytes() / 2**20


def peak_resident_bytes() -> int:
    """Return the largest resident size that this process ever had.

    Linux is asked by `VmHWM`: `getrusage` also counts what the parent had before the exec.
    """
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024
    peak_found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_found if sys.platform == "darwin" else peak_found * 1024


def free_folder(out: Path) -> Path:
    """Return the absolute path of a folder that a stage may make, or go on making.

    Raises `Conflict` where it holds anything but an unfinished run, `Unavailable` where nothing can
    be written.
    """
    folder = Path(os.path.realpath(out))
    try:
        if folder.is_dir() and (folder == Path.cwd() or os.path.ismount(folder)):
            raise Conflict(f"{out} cannot be replaced by a new folder; name one inside it.")
        held = {each.name for each in folder.iterdir()} if folder.exists() else set()
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_be_written(out, error) from error
    if held - {PROGRESS}:
        raise Conflict(f"{out} is not an empty folder; name a new one, nothing was trained.")
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise Unavailable(f"{out} cannot be written; name a folder that you can write to.")
    return folder


def begin(folder: Path, made_with: Json) -> None:
    """Note what the run is made with, where no unfinished one like it has.

    Raises `Conflict` naming the first thing in which an unfinished run there differs.
    """
    file = folder / PROGRESS / SETTINGS_FILE
    wanted = json.loads(json.dumps(made_with))
    try:
        if file.exists():
            _compare(json.loads(file.read_text()), wanted, folder)
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_text(wanted))
    except ValueError as error:
        raise Conflict(f"{file} cannot be read; remove the folder {folder}.") from error
    except OSError as error:
        raise _cannot_be_written(folder, error) from error


def abandon(folder: Path) -> None:
    """Remove the folder of a run that kept no progress."""
    with suppress(OSError):
        if {each.name for each in (folder / PROGRESS).iterdir()} <= {SETTINGS_FILE, LOCK, *CURVES}:
            shutil.rmtree(folder)


def finish(
    folder: Path, *, made_with: Json, metrics: Json, save: Callable[[Path], None]
) -> dict[str, Any]:
    """Make the finished folder: what `save` writes, settings, metrics and card, all at once.

    Returns the metrics as they were written: what is not a finite number is null.
    """
    written: dict[str, Any] = finite(metrics)
    if not Processes.current().is_first:
        return written
    try:
        with write_folder(folder.parent, folder.name) as target:
            save(target)
            if (folder / PROGRESS / LOGS).is_dir():
                shutil.copytree(folder / PROGRESS / LOGS, target / LOGS)
            (target / SETTINGS_FILE).write_text(_text(made_with))
            (target / METRICS_FILE).write_text(_text(written))
            (target / CARD).write_text(card_of(made_with, written))
    except OSError as error:
        raise _cannot_be_written(folder, error) from error
    return written


@contextmanager
def running(folder: Path, made_with: Json) -> Iterator[None]:
    """Begin a run, or go on with one; leave no folder where it fails before progress.

    What trainers raise comes out as one sentence for a person. Raises `Conflict` where another
    process is training into the folder.
    """
    processes = Processes.current()
    lock = FileLock(folder / PROGRESS / LOCK)
    processes.from_first(lambda: _hold(lock, folder))
    try:
        processes.from_first(lambda: begin(folder, made_with))
        with _in_words(folder, made_with, processes):
            yield
    finally:
        lock.release()


def _hold(lock: FileLock, folder: Path) -> None:
    """Take the lock, which the system lets go of when its process is killed."""
    # Looked at again: while the model was loaded another run may have been finished there.
    free_folder(folder)
    try:
        (folder / PROGRESS).mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise Conflict(
            f"Another process is training into {folder}; wait until it has ended, or name a "
            "folder of its own with --out."
        ) from error
    except OSError as error:
        raise _cannot_be_written(folder, error) from error


@contextmanager
def _in_words(folder: Path, made_with: Json, processes: Processes) -> Iterator[None]:
    try:
        yield
    except (FloatingPointError, BadInput) as error:
        # Going on from there would come to the same, and with other settings it is refused.
        if processes.is_first:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, BadInput):
            raise
        rates = learning_rates(made_with["stage"], made_with.get("optimizer", "ppo"))
        raise BadInput(f"{error}; lower the learning rate with {as_options(rates)}.") from error
    except CannotTrain as error:
        raise BadInput(str(error)) from error
    finally:
        if processes.is_first:
            abandon(folder)


def read_settings(folder: Path) -> dict[str, Any]:
    """Return what a folder says it was made with; empty where it does not say."""
    try:
        found = json.loads((folder / SETTINGS_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def described_file(path: Path) -> dict[str, str]:
    """Return a file's name and its SHA-256."""
    with path.open("rb") as stream:
        return {"file": path.name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def folder_sha256(folder: Path) -> str:
    """Return a SHA-256 of a trained folder: of its manifest, which holds that of every file.

    Where it has no manifest the files themselves are read.
    """
    manifest = folder / MANIFEST
    if manifest.is_file():
        return described_file(manifest)["sha256"]
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    found = [[str(each.relative_to(folder)), described_file(each)["sha256"]] for each in files]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _compare(found: Json, wanted: Json, folder: Path) -> None:
    old, new = _flat(found), _flat(wanted)
    differing = [
        f"{name} {old.get(name)!r}, not {new.get(name)!r}"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]
    if differing:
        raise Conflict(
            f"{folder} holds an unfinished run with {'; with '.join(differing)}. Give the same "
            "again to go on, or another --out."
        )


def _flat(values: Json, before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = value
    return flat


def _text(values: Json) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _cannot_be_written(out: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"{out} cannot be written ({error.strerror}); name a folder that you can write to."
    )
