"""Folders on object stores: a real S3 server, memory, and what a kill or a flipped byte leaves."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from storage import fetched
from storage.blobs import (
    checked_path,
    in_store,
    is_there,
    local_path,
    remove_folder,
    verify,
    write_folder,
)
from storage.errors import BadInput, Unavailable
from storage.settings import load_settings
from tests.object_stores import s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as uri:
        yield uri


@pytest.fixture(params=["s3", "memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the URI of an empty folder of each kind."""
    if request.param == "file":
        yield f"file://{tmp_path}/store"
        return
    base = request.getfixturevalue("s3") if request.param == "s3" else "memory://bucket"
    uri = f"{base}/{request.node.originalname}"
    yield uri
    remove_folder(tmp_path, uri)


def _write(home: Path, uri: str, weights: bytes = b"weights") -> None:
    with write_folder(home, uri) as folder:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "model.bin").write_bytes(weights)
        (folder / "config.json").write_text("{}")


def _put(uri: str, content: bytes) -> None:
    with fsspec.open(uri, "wb") as stream:
        stream.write(content)


def test_a_folder_goes_there_and_comes_back(tmp_path: Path, store: str) -> None:
    uri = in_store(store, "checkpoints/policy 2")
    assert not is_there(tmp_path, uri)
    _write(tmp_path, uri, b"w" * 3_000_000)
    assert is_there(tmp_path, uri)
    assert sorted(verify(tmp_path, uri)["files"]) == ["adapter/model.bin", "config.json"]
    other_machine = tmp_path / "other"
    for read in (local_path, checked_path):
        found = read(other_machine, uri)
        assert (found / "adapter" / "model.bin").read_bytes() == b"w" * 3_000_000
    remove_folder(tmp_path, uri)
    remove_folder(tmp_path, uri)
    assert not is_there(tmp_path, uri)


def test_an_object_that_was_changed_is_refused_by_name(tmp_path: Path, store: str) -> None:
    uri = f"{store}/policy-2"
    _write(tmp_path, uri)
    for content in (b"wEights", b"weigh", b""):
        _put(f"{uri}/adapter/model.bin", content)
        for check in (verify, checked_path):
            with pytest.raises(Unavailable, match=r"policy-2/adapter/model\.bin is not the one"):
                check(tmp_path, uri)
    assert not list((tmp_path / "fetched").glob("*"))


def test_a_copy_that_was_changed_is_fetched_again(tmp_path: Path, s3: str) -> None:
    uri = f"{s3}/copied"
    _write(tmp_path, uri)
    (checked_path(tmp_path, uri) / "adapter" / "model.bin").write_bytes(b"wEights")
    found = checked_path(tmp_path, uri)
    assert (found / "adapter" / "model.bin").read_bytes() == b"weights"


DYING = """
import os, signal, sys
from pathlib import Path
from s3fs import S3FileSystem
from storage.blobs import write_folder

put, kill_at = S3FileSystem.put_file, sys.argv[2]

def put_file(self, local, remote, **given):
    if remote.endswith(kill_at):
        print("uploading", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, local, remote, **given)

S3FileSystem.put_file = put_file
with write_folder(Path("."), sys.argv[1]) as folder:
    for name in ("a.bin", "b.bin"):
        (folder / name).write_bytes(b"new" * 100_000)
"""


@pytest.mark.parametrize(
    ("file", "old"),
    [
        ("manifest.json", True),
        pytest.param("b.bin", False, marks=pytest.mark.slow),
        pytest.param("b.bin", True, marks=pytest.mark.slow),
        pytest.param("manifest.json", False, marks=pytest.mark.slow),
    ],
)
def test_kill_9_during_an_upload_publishes_nothing(
    tmp_path: Path, s3: str, file: str, old: bool
) -> None:
    uri = f"{s3}/killed-{file}-{old}"
    if old:
        _write(tmp_path, uri)
    command = [sys.executable, "-c", DYING, uri, file]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=os.environ)
    assert (done.returncode, done.stdout) == (-9, b"uploading\n"), done.stderr
    assert fsspec.filesystem("s3").exists(f"{uri}/a.bin")
    # What was there has no manifest any more either: nothing vouches for a mixture.
    for check in (verify, local_path):
        with pytest.raises(Unavailable, match=r"manifest\.json cannot be read \(not found\)"):
            check(tmp_path, uri)
    _write(tmp_path, uri, b"again")
    verify(tmp_path, uri)
    assert (local_path(tmp_path, uri) / "adapter" / "model.bin").read_bytes() == b"again"


def test_copies_take_no_more_than_is_allowed(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store.startswith("file"):
        pytest.skip("a file:// store is read where it is")
    monkeypatch.setenv("RANKLOOP_FETCHED_GIGABYTES", "0.0025")
    copies = []
    for number in range(4):
        _write(tmp_path, f"{store}/{number}", b"w" * 1_000_000)
        copies.append(local_path(tmp_path, f"{store}/{number}"))
        # Used long ago, but for the second, which is used again now and then.
        used = time.time() - (1000 if number == 1 else 5000 - number)
        os.utime(copies[-1], (used, used))
    assert [copy.exists() for copy in copies] == [False, True, False, True]
    assert local_path(tmp_path, f"{store}/0").exists()


def test_a_copy_in_use_stays(tmp_path: Path) -> None:
    folder = tmp_path / "fetched" / "new"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"1234")
    fetched.trim(tmp_path, 0)
    assert folder.exists()


def test_a_copy_that_is_being_made_stays_however_long_it_takes(tmp_path: Path) -> None:
    part = tmp_path / "fetched" / ".large.0123.part"
    part.mkdir(parents=True)
    (part / "model.safetensors").write_bytes(b"so far")
    # A file that grows does not touch its folder.
    os.utime(part, (time.time() - 5000,) * 2)
    fetched.trim(tmp_path, 0)
    assert part.exists()
    os.utime(part / "model.safetensors", (time.time() - 5000,) * 2)
    fetched.trim(tmp_path, 0)
    assert not part.exists(), "whoever made it was killed"


def test_a_store_that_cannot_be_used_is_one_sentence(tmp_path: Path, s3: str) -> None:
    assert s3
    uri = "s3://no-such-bucket/x"
    with pytest.raises(Unavailable, match="no-such-bucket") as error:
        _write(tmp_path, uri)
    assert str(error.value).endswith(".")
    with pytest.raises(Unavailable, match=r"pip install 'rankloop\[gcs\]'"):
        verify(tmp_path, "gs://bucket/x")
    with pytest.raises(Unavailable, match="nosuch://"):
        verify(tmp_path, "nosuch://bucket/x")


@pytest.mark.parametrize("uri", ["bucket", "s3://", "s3://bucket/", "s3://a b"])
def test_a_store_that_is_no_uri_is_named(uri: str) -> None:
    with pytest.raises(BadInput, match="checkpoint_store"):
        load_settings(checkpoint_store=uri)
