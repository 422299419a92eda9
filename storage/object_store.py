"""Folders on an object store (`s3://`, `gs://`, `hf://`, `memory://`), through fsspec.

Listings are never kept: another process may have written in between. Addresses and keys come from
where each store's own library looks for them (AWS_…, GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import fsspec
from fsspec import AbstractFileSystem

from storage.errors import RankloopError, Unavailable

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}  # what has to be installed for them


def is_remote(uri: str) -> bool:
    """Say whether a URI is of an object store; one without a scheme is a path under home."""
    return "://" in uri and not uri.startswith("file://")


def upload(folder: Path, uri: str, *, last: str) -> None:
    """Copy a folder's files to `uri`, the file `last` after all others.

    An old `last` is removed first: it must not vouch for new files. Raises `Unavailable`.
    """
    with _told(uri, "written"):
        filesystem, root = _open_store(uri)
        if filesystem.exists(f"{root}/{last}"):
            filesystem.rm_file(f"{root}/{last}")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in sorted(files, key=lambda path: path == folder / last):
            remote = f"{root}/{path.relative_to(folder).as_posix()}"
            filesystem.put_file(str(path), remote)


@contextmanager
def open_object(uri: str, name: str) -> Iterator[BinaryIO]:
    """Open the file `name` under `uri` for reading; raise `Unavailable` naming it."""
    with _told(f"{uri}/{name}", "read"):
        filesystem, root = _open_store(uri)
        with filesystem.open(f"{root}/{name}", "rb") as stream:
            yield stream


def exists(uri: str, name: str) -> bool:
    """Say whether there is a file `name` under `uri`; raise `Unavailable`."""
    with _told(f"{uri}/{name}", "looked for"):
        filesystem, root = _open_store(uri)
        return bool(filesystem.exists(f"{root}/{name}"))


def remove(uri: str) -> None:
    """Remove everything under `uri`; absent is as good. Raises `Unavailable`."""
    with _told(uri, "removed"):
        filesystem, root = _open_store(uri)
        if filesystem.exists(root):
            filesystem.rm(root, recursive=True)


def _open_store(uri: str) -> tuple[AbstractFileSystem, str]:
    filesystem, root = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    return filesystem, root.rstrip("/")


@contextmanager
def _told(what: str, verb: str) -> Iterator[None]:
    """Turn whatever a store's library raises into one sentence; each has errors of its own."""
    try:
        yield
    except RankloopError:
        raise
    except ImportError as error:
        scheme = what.partition("://")[0]
        extra = EXTRAS.get(scheme)
        how = f"pip install 'rankloop[{extra}]'" if extra else "a package of fsspec's for it"
        raise Unavailable(f"{what} cannot be {verb}: {scheme}:// needs {how}.") from error
    except FileNotFoundError as error:
        raise Unavailable(
            f"The file {what} cannot be {verb} (not found); restore it from a backup or remove its "
            "folder."
        ) from error
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise Unavailable(
            f"{what} cannot be {verb} ({said}); check the store's address, your keys and what "
            "they allow."
        ) from error
