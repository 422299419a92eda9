"""Folders of files (checkpoints, snapshots) that are written whole or not at all.

A URI without a scheme is a path under home; one with a scheme is on an object store
(`storage/object_store.py`), and copies of it are kept under home (`storage/fetched.py`). The last
file of a folder is `manifest.json`, with the SHA-256 and the size of every other: a folder without
it was never finished.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO
from uuid import uuid4

from storage import object_store
from storage.errors import Unavailable
from storage.fetched import fetched, forget
from storage.object_store import is_remote

MANIFEST = "manifest.json"


@contextmanager
def write_folder(home: Path, uri: str) -> Iterator[Path]:
    """Yield an empty folder to fill; at the end of the block it becomes `uri`, all at once.

    A folder: manifest, fsync, one rename. An object store: every file, then the manifest. If the
    block raises or the process dies in it, `uri` is as it was before. A `manifest.json` that the
    block wrote keeps its fields and gains `files`. What an earlier attempt left at `uri` is
    replaced, so a step can be repeated; never name what the database already points at.
    """
    if is_remote(uri):
        with TemporaryDirectory(prefix="rankloop-upload-") as name:
            folder = Path(name)
            yield folder
            _write_manifest(folder)
            object_store.upload(folder, uri, last=MANIFEST)
        return
    target = local_path(home, uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    folder = target.with_name(f".{target.name}.{uuid4().hex}.part")
    folder.mkdir()
    try:
        yield folder
        _write_manifest(folder)
        _put_in_place(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_store(store: str, uri: str) -> str:
    """Return where new files of `uri` are put: on the object store `store`, or under home."""
    return f"{store}/{uri}" if store else uri


def local_path(home: Path, uri: str) -> Path:
    """Return where the files of `uri` can be read; those of an object store are fetched first.

    Raises `Unavailable` where the object store has no whole copy.
    """
    if not is_remote(uri):
        return home / uri.removeprefix("file://")
    return _fetch(home, uri, read_manifest(home, uri))


def checked_path(home: Path, uri: str) -> Path:
    """Return where the files of `uri` can be read, all of them just found to be what was written.

    What is on an object store is checked as it is fetched, and its copy each time: a copy that is
    not right any more is fetched again. Raises `Unavailable` naming the first file that is wrong.
    """
    if not is_remote(uri):
        verify(home, uri)
        return local_path(home, uri)
    manifest = read_manifest(home, uri)
    folder = _fetch(home, uri, manifest)
    try:
        _check_files(home, str(folder), manifest)
    except Unavailable:
        forget(home, folder)
        folder = _fetch(home, uri, manifest)
        _check_files(home, str(folder), manifest)
    return folder


def at_hand(home: Path, uri: str) -> str:
    """Return a URI of the same files on this machine; those of an object store are fetched."""
    return str(checked_path(home, uri)) if is_remote(uri) else uri


def remove_folder(home: Path, uri: str) -> None:
    """Remove all that is under `uri`; absent is as good."""
    if is_remote(uri):
        object_store.remove(uri)
    else:
        shutil.rmtree(local_path(home, uri), ignore_errors=True)


def is_there(home: Path, uri: str) -> bool:
    """Say whether `uri` was ever finished; raise `Unavailable` where its store cannot be asked."""
    if is_remote(uri):
        return object_store.exists(uri, MANIFEST)
    return (local_path(home, uri) / MANIFEST).exists()


def verify(home: Path, uri: str, *, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return the manifest of `uri`; raise `Unavailable` naming the first file that is not right.

    `leave_out` names files that need not be as they were written.
    """
    manifest = read_manifest(home, uri)
    files = {name: one for name, one in manifest["files"].items() if name not in leave_out}
    _check_files(home, uri, {"files": files})
    return manifest


def _check_files(home: Path, uri: str, manifest: dict[str, Any]) -> None:
    for name, expected in manifest["files"].items():
        with _open(home, uri, name) as stream:
            _compare(f"{uri}/{name}", _describe(stream), expected)


def _fetch(home: Path, uri: str, manifest: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps([uri, manifest], sort_keys=True).encode()).hexdigest()
    name = f"{digest[:16]}-{PurePosixPath(uri).name}"
    return fetched(home, name, lambda folder: _download(home, uri, manifest, folder))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _describe(stream: BinaryIO) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    while block := stream.read(1 << 20):
        digest.update(block)
        size += len(block)
    return {"sha256": digest.hexdigest(), "bytes": size}


def _write_manifest(folder: Path) -> None:
    file = folder / MANIFEST
    manifest = json.loads(file.read_text()) if file.exists() else {}
    manifest["files"] = {}
    for path in _files(folder):
        if path != file:
            with path.open("rb") as stream:
                manifest["files"][path.relative_to(folder).as_posix()] = _describe(stream)
    file.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def _put_in_place(folder: Path, target: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _fsync(path)
    if target.exists():
        # A folder cannot be renamed onto one that holds files.
        os.replace(target, folder.with_suffix(".old"))
    os.replace(folder, target)
    _fsync(target.parent)
    shutil.rmtree(folder.with_suffix(".old"), ignore_errors=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(target: Path) -> None:
    for pattern in (f".{target.name}.*.part", f".{target.name}.*.old"):
        for folder in target.parent.glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)


def _download(home: Path, uri: str, manifest: dict[str, Any], folder: Path) -> None:
    for name, expected in manifest["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open(home, uri, name) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        with path.open("rb") as stream:
            _compare(f"{uri}/{name}", _describe(stream), expected)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def read_manifest(home: Path, uri: str) -> dict[str, Any]:
    """Return the manifest of `uri`, whatever its files are; raise `Unavailable` without one."""
    with _open(home, uri, MANIFEST) as stream:
        content = stream.read()
    try:
        manifest: dict[str, Any] = json.loads(content)
        names = [PurePosixPath(name) for name in manifest["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(
            f"The file {uri}/{MANIFEST} is not a manifest; restore it from a backup or remove "
            "its folder."
        ) from error
    for name in names:
        if name.is_absolute() or ".." in name.parts:
            raise Unavailable(f"The file {uri}/{MANIFEST} names {name}, outside its folder.")
    return manifest


@contextmanager
def _open(home: Path, uri: str, name: str) -> Iterator[BinaryIO]:
    if is_remote(uri):
        with object_store.open_object(uri, name) as stream:
            yield stream
        return
    try:
        with (local_path(home, uri) / name).open("rb") as stream:
            yield stream
    except OSError as error:
        raise Unavailable(
            f"The file {uri}/{name} cannot be read ({error.strerror or 'not found'}); restore it "
            "from a backup or remove its folder."
        ) from error


def _compare(name: str, found: dict[str, Any], expected: dict[str, Any]) -> None:
    if found != expected:
        raise Unavailable(
            f"The file {name} is not the one that was written (SHA-256 {found['sha256'][:12]}… "
            f"instead of {expected['sha256'][:12]}…); restore it from a backup or remove its "
            "folder."
        )
