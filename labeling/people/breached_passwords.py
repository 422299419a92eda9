"""Passwords that thieves are known to have, looked up in files of this machine.

Three shapes are read. A file of Have I Been Pwned's "ordered by hash" form: lines of a SHA-1 in
hex, sorted, each with `:count` after it or not; it is searched by halving, so its 40 GB cost some
forty reads. A folder of its ranges: `21BD1.txt` (or without `.txt`) holds the rest of each SHA-1
that begins so. A plain list: one password a line, read from front to back.
"""

import hashlib
import re
from pathlib import Path
from typing import BinaryIO

from storage.errors import Unavailable

_HASHED = re.compile(rb"[0-9A-Fa-f]{40}(:\d+)?\s*")
_PREFIX = 5


def is_breached(password: str, source: Path) -> bool:
    """Say whether `password` is in the file or folder; raise `Unavailable` where none is read."""
    plain = password.encode("utf-8", errors="replace")
    sha1 = hashlib.sha1(plain, usedforsecurity=False).hexdigest().upper().encode()
    try:
        if source.is_dir():
            return _in_range(sha1, source)
        with source.open("rb") as file:
            hashed = _HASHED.fullmatch(file.readline(200)) is not None
            file.seek(0)
            return _in_sorted(sha1, file) if hashed else _in_list(plain, file)
    except OSError as error:
        raise Unavailable(
            f"The list of breached passwords {source} cannot be read ({error.strerror}); ask an "
            "admin to mend the setting breached_passwords."
        ) from error


def _in_range(sha1: bytes, folder: Path) -> bool:
    name = sha1[:_PREFIX].decode()
    files = [folder / f"{name}.txt", folder / name]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        return False
    lines = found.read_bytes().upper().splitlines()
    return any(line.partition(b":")[0] == sha1[_PREFIX:] for line in lines)


def _in_list(plain: bytes, file: BinaryIO) -> bool:
    return any(line.rstrip(b"\r\n") == plain for line in file)


def _in_sorted(sha1: bytes, file: BinaryIO) -> bool:
    """Halve the file between two offsets; every line that is looked at begins at or after one."""
    low, high = 0, file.seek(0, 2)
    while low < high:
        middle = (low + high) // 2
        line = _line_from(file, middle)
        if line and line < sha1:
            low = middle + 1
        else:
            high = middle
    return _line_from(file, low) == sha1


def _line_from(file: BinaryIO, offset: int) -> bytes:
    """Return the hash of the first line that begins at or after `offset`; empty at the end."""
    if offset == 0:
        file.seek(0)
    else:
        file.seek(offset - 1)
        file.readline()
    return file.readline().partition(b":")[0].strip().upper()
