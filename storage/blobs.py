"""Folders of files (checkpoints, snapshots) that are written whole or not at all.

A URI without a scheme is a path under home; one with a scheme goes through fsspec
(`s3://bucket/run`, `gs://…`, `memory://…`). The last file of a folder is `manifest.json`, with
the SHA-256 and the size of every other: a folder without it was never finished.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO
from uuid import uuid4

import fsspec
from fsspec import AbstractFileSystem

from storage.errors import Unavailable

MANIFEST = "manifest.json"


@contextmanager
def write_folder(home: Path, uri: str) -> Iterator[Path]:
    """Yield an empty folder to fill; at the end of the block it becomes `uri`, all at once.

    A folder: manifest, fsync, one rename. An object store: every file, then the manifest. If the
    block raises or the process dies in it, `uri` is as it was before. A `manifest.json` that the
    block wrote keeps its fields and gains `files`. What an earlier attempt left at `uri` is
    replaced, so a step can be repeated; never name what the database already points at.
    """
    if _is_remote(uri):
        with TemporaryDirectory(prefix="rankloop-upload-") as name:
            folder = Path(name)
            yield folder
            _write_manifest(folder)
            _upload(folder, uri)
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


def local_path(home: Path, uri: str) -> Path:
    """Return where the files of `uri` can be read; those of an object store are fetched first.

    Raises `Unavailable` where the object store has no whole copy.
    """
    if not _is_remote(uri):
        return home / uri.removeprefix("file://")
    manifest = _read_manifest(home, uri)
    digest = hashlib.sha256(json.dumps([uri, manifest], sort_keys=True).encode()).hexdigest()
    name = f"fetched/{digest[:16]}-{PurePosixPath(uri).name}"
    if not (home / name / MANIFEST).exists():
        with write_folder(home, name) as folder:
            _download(home, uri, manifest, folder)
    return home / name


def verify(home: Path, uri: str) -> dict[str, Any]:
    """Return the manifest of `uri`; raise `Unavailable` naming the first file that is not right."""
    manifest = _read_manifest(home, uri)
    for name, expected in manifest["files"].items():
        with _open(home, uri, name) as stream:
            _compare(f"{uri}/{name}", _describe(stream), expected)
    return manifest


def _is_remote(uri: str) -> bool:
    return "://" in uri and not uri.startswith("file://")


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


def _open_store(uri: str) -> tuple[AbstractFileSystem, str]:
    filesystem, root = fsspec.core.url_to_fs(uri)
    return filesystem, root.rstrip("/")


def _upload(folder: Path, uri: str) -> None:
    filesystem, root = _open_store(uri)
    # An old manifest must not vouch for new files while they are being uploaded.
    if filesystem.exists(f"{root}/{MANIFEST}"):
        filesystem.rm(f"{root}/{MANIFEST}")
    for path in sorted(_files(folder), key=lambda path: path == folder / MANIFEST):
        remote = f"{root}/{path.relative_to(folder).as_posix()}"
        filesystem.makedirs(remote.rpartition("/")[0], exist_ok=True)
        filesystem.put_file(str(path), remote)


def _download(home: Path, uri: str, manifest: dict[str, Any], folder: Path) -> None:
    for name, expected in manifest["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open(home, uri, name) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        with path.open("rb") as stream:
            _compare(f"{uri}/{name}", _describe(stream), expected)
    fields = {key: value for key, value in manifest.items() if key != "files"}
    (folder / MANIFEST).write_text(json.dumps(fields))


def _read_manifest(home: Path, uri: str) -> dict[str, Any]:
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
    try:
        if _is_remote(uri):
            filesystem, root = _open_store(uri)
            stream = filesystem.open(f"{root}/{name}", "rb")
        else:
            stream = (local_path(home, uri) / name).open("rb")
        with stream:
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
