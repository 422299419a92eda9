"""A backup's one file: a tar whose last member, `manifest.json`, holds the hash of every other.

A file without the manifest was never finished. Members are plain files with relative names; nothing
else is taken out of an archive.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from storage.errors import BadInput, Unavailable

MANIFEST = "manifest.json"
_BLOCK = 1 << 20
Progress = Callable[[str, float], None]


class ArchiveWriter:
    """Add files to a tar, hashing them on the way."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        """Begin with nothing."""
        self._tar = tar
        self.files: dict[str, dict[str, Any]] = {}

    def add(self, path: Path, name: str) -> None:
        """Add the file at `path` under `name`."""
        with path.open("rb") as stream:
            info = self._tar.gettarinfo(arcname=name, fileobj=stream)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            reader = HashingReader(stream)
            self._tar.addfile(info, cast(IO[bytes], reader))
        self.files[name] = {"sha256": reader.sha256, "bytes": info.size}

    def finish(self, fields: dict[str, Any]) -> None:
        """Write the manifest: `fields` and the files."""
        content = json.dumps({**fields, "files": self.files}, indent=2, sort_keys=True).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))


class HashingReader:
    """Read a stream and hash what was read."""

    def __init__(self, stream: IO[bytes]) -> None:
        """Wrap `stream`."""
        self._stream = stream
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes."""
        block = self._stream.read(size)
        self._digest.update(block)
        return block

    @property
    def sha256(self) -> str:
        """Return the hash of what was read so far."""
        return self._digest.hexdigest()


@contextmanager
def write_archive(file: Path) -> Iterator[ArchiveWriter]:
    """Yield a writer; at the end of the block the archive is at `file`, whole, or not at all."""
    unfinished = file.with_name(f".{file.name}.part")
    try:
        # What is in it (password hashes, people's words) is for its owner alone.
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w+b") as stream:
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield ArchiveWriter(tar)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def read_manifest(file: Path) -> dict[str, Any]:
    """Return the archive's manifest; raise `BadInput` where it is no finished backup."""
    problem = (
        f"{file} is not a whole backup of rankloop; choose a file that `rankloop backup` made."
    )
    try:
        with tarfile.open(file) as tar:
            stream = tar.extractfile(MANIFEST)
            manifest: dict[str, Any] = json.loads(stream.read()) if stream else {}
            names = [str(name) for name in manifest["files"]]
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {file}; name one that `rankloop backup` made.") from error
    except (OSError, tarfile.TarError, KeyError, ValueError, TypeError) as error:
        raise BadInput(problem) from error
    for name in names:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or not parts.parts:
            raise BadInput(f"{file} names the file {name}, outside of its folder; it was not used.")
    return manifest


def unpack(file: Path, manifest: dict[str, Any], folder: Path, *, progress: Progress) -> None:
    """Write the manifest's files into `folder`; raise `Unavailable` where one is not right."""
    files = manifest["files"]
    whole, done = max(1, sum(one["bytes"] for one in files.values())), 0
    with tarfile.open(file) as tar:
        for name, expected in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            found = _take_out(tar, name, target)
            if found != expected["sha256"]:
                raise Unavailable(
                    f"{name} in {file} is not what was backed up (SHA-256 {found[:12]} instead of "
                    f"{expected['sha256'][:12]}); nothing was restored. Use another backup."
                )
            done += expected["bytes"]
            progress("unpacking and checking", done / whole)


def _take_out(tar: tarfile.TarFile, name: str, target: Path) -> str:
    try:
        member = tar.getmember(name)
        stream = tar.extractfile(member) if member.isfile() else None
    except KeyError:
        stream = None
    if stream is None:
        return "missing"
    reader = HashingReader(stream)
    with target.open("wb") as output:
        while block := reader.read(_BLOCK):
            output.write(block)
        output.flush()
        os.fsync(output.fileno())
    return reader.sha256
