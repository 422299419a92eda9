"""Copies of folders from an object store, under home: whole, hashed, and not more than allowed."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from storage.settings import load_settings

FOLDER = "fetched"
_PART = ".part"
IN_USE_SECONDS = 600.0  # after its last use a copy may still be read from


def fetched(home: Path, name: str, fetch: Callable[[Path], None]) -> Path:
    """Return the copy `name`, made by `fetch` in an empty folder where there is none.

    Two processes may make the same copy at once; one of them stays. Older copies go where all are
    more than the setting `fetched_gigabytes`, those that were not used for longest first.
    """
    target = home / FOLDER / name
    if _use(target):
        return target
    part = home / FOLDER / f".{name}.{uuid4().hex}{_PART}"
    part.mkdir(parents=True)
    try:
        fetch(part)
        try:
            os.rename(part, target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _use(target)
    trim(home, load_settings().fetched_gigabytes * 10**9)
    return target


def forget(home: Path, folder: Path) -> None:
    """Remove a copy that is not what it should be."""
    if (home / FOLDER) in folder.parents:
        shutil.rmtree(folder, ignore_errors=True)


def trim(home: Path, most_bytes: float) -> None:
    """Remove copies, least recently used first, until the others take at most `most_bytes`.

    One that was used, or grew, a moment ago stays, even if that is too much.
    """
    copies = []
    for folder in (home / FOLDER).glob("*"):
        try:
            files = [path.stat() for path in folder.rglob("*") if path.is_file()]
            used, size = folder.stat().st_mtime, sum(file.st_size for file in files)
            if folder.suffix == _PART:
                # Another process may be making it: a file that grows does not touch its folder.
                used = max([used, *(file.st_mtime for file in files)])
        except OSError:
            continue
        copies.append((used, size, folder))
    total = sum(size for _, size, _ in copies)
    for used, size, folder in sorted(copies):
        if total <= most_bytes or time.time() - used < IN_USE_SECONDS:
            return
        shutil.rmtree(folder, ignore_errors=True)
        total -= size


def _use(target: Path) -> bool:
    """Mark a copy as used now; say whether it is there."""
    try:
        os.utime(target)
    except FileNotFoundError:
        return False
    return True
