"""Folders that are written whole or not at all, and checked when they are read."""

import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from storage.blobs import local_path, verify, write_folder
from storage.errors import Unavailable

URIS = ["checkpoints/policy-2", "memory://bucket/policy-2"]


def _write(home: Path, uri: str, weights: bytes = b"weights") -> None:
    with write_folder(home, uri) as folder:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "model.bin").write_bytes(weights)
        (folder / "config.json").write_text("{}")


@pytest.fixture(autouse=True)
def _empty_memory_store() -> None:
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("uri", URIS)
def test_a_folder_is_read_back_as_written(tmp_path: Path, uri: str) -> None:
    _write(tmp_path, uri)
    manifest = verify(tmp_path, uri)
    assert sorted(manifest["files"]) == ["adapter/model.bin", "config.json"]
    assert manifest["files"]["adapter/model.bin"]["bytes"] == 7
    assert (local_path(tmp_path, uri) / "adapter" / "model.bin").read_bytes() == b"weights"


@pytest.mark.parametrize("uri", URIS)
def test_writing_again_replaces_the_whole_folder(tmp_path: Path, uri: str) -> None:
    _write(tmp_path, uri, b"old")
    assert local_path(tmp_path, uri).exists()
    with write_folder(tmp_path, uri) as folder:
        (folder / "model.bin").write_bytes(b"new")
    assert list(verify(tmp_path, uri)["files"]) == ["model.bin"]
    assert (local_path(tmp_path, uri) / "model.bin").read_bytes() == b"new"


@pytest.mark.parametrize("uri", URIS)
def test_an_error_in_the_block_leaves_nothing(tmp_path: Path, uri: str) -> None:
    with pytest.raises(RuntimeError), write_folder(tmp_path, uri) as folder:
        (folder / "half").write_bytes(b"ha")
        raise RuntimeError
    with pytest.raises(Unavailable, match=r"manifest\.json"):
        verify(tmp_path, uri)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_flipped_byte_is_found_and_named(tmp_path: Path) -> None:
    _write(tmp_path, "checkpoint")
    file = tmp_path / "checkpoint" / "adapter" / "model.bin"
    file.write_bytes(b"wEights")
    with pytest.raises(Unavailable, match=r"checkpoint/adapter/model\.bin is not the one"):
        verify(tmp_path, "checkpoint")


def test_a_flipped_byte_in_an_object_store_is_found_and_named(tmp_path: Path) -> None:
    _write(tmp_path, "memory://bucket/run")
    fsspec.filesystem("memory").pipe_file("/bucket/run/config.json", b"[]")
    with pytest.raises(Unavailable, match=r"memory://bucket/run/config\.json is not the one"):
        verify(tmp_path, "memory://bucket/run")
    with pytest.raises(Unavailable, match=r"config\.json"):
        local_path(tmp_path, "memory://bucket/run")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    _write(tmp_path, "checkpoint")
    (tmp_path / "checkpoint" / "config.json").unlink()
    with pytest.raises(Unavailable, match=r"checkpoint/config\.json cannot be read"):
        verify(tmp_path, "checkpoint")


def test_a_manifest_cannot_point_outside_its_folder(tmp_path: Path) -> None:
    _write(tmp_path, "checkpoint")
    manifest = '{"files": {"../secret": {"sha256": "", "bytes": 0}}}'
    (tmp_path / "checkpoint" / "manifest.json").write_text(manifest)
    with pytest.raises(Unavailable, match="outside its folder"):
        verify(tmp_path, "checkpoint")


def test_fields_that_the_block_put_in_the_manifest_are_kept(tmp_path: Path) -> None:
    with write_folder(tmp_path, "snapshot") as folder:
        (folder / "rows").write_bytes(b"1")
        (folder / "manifest.json").write_text('{"filters": {"people": true}}')
    manifest = verify(tmp_path, "snapshot")
    assert manifest["filters"] == {"people": True}
    assert list(manifest["files"]) == ["rows"]


DIE_BEFORE = """
import os, sys
from pathlib import Path
import storage.blobs as blobs

def die(*_):
    os._exit(9)

setattr(blobs, sys.argv[2], die)
with blobs.write_folder(Path(sys.argv[1]), "checkpoint") as folder:
    (folder / "model.bin").write_bytes(b"new")
"""


@pytest.mark.parametrize("step", ["_write_manifest", "_fsync", "_put_in_place"])
def test_a_process_that_dies_leaves_the_old_folder(tmp_path: Path, step: str) -> None:
    _write(tmp_path, "checkpoint", b"old")
    died = subprocess.run([sys.executable, "-c", DIE_BEFORE, str(tmp_path), step], check=False)
    assert died.returncode == 9
    assert list(tmp_path.glob(".checkpoint.*.part"))
    verify(tmp_path, "checkpoint")
    assert (tmp_path / "checkpoint" / "adapter" / "model.bin").read_bytes() == b"old"

    _write(tmp_path, "checkpoint", b"newer")
    verify(tmp_path, "checkpoint")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
