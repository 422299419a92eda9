"""A backup of a database in use, and its way back; on SQLite and on PostgreSQL."""

import json
import sqlite3
import tarfile
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import select, update

from storage.blobs import write_folder
from storage.engine import build_engine, writing
from storage.errors import BadInput, Conflict, Unavailable
from storage.moving import postgres_tools
from storage.moving.archive import read_manifest
from storage.moving.backup import Backup, back_up
from storage.moving.restore import Restored, restore
from storage.tables import Event, Policy
from tests.conftest import _fresh_database as fresh_database
from tests.postgres_cluster import PostgresCluster
from tests.storage.moving.odd_rows import fill, hashes


def quiet(_words: str, _share: float) -> None:
    return None


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    with write_folder(folder, "checkpoints/round-1") as made:
        (made / "adapter_model.safetensors").write_bytes(b"weights" * 1000)
        (made / "deep").mkdir()
        (made / "deep" / "head.safetensors").write_bytes(b"head")
    (folder / "checkpoints" / "round-2-progress" / "step-3").mkdir(parents=True)
    (folder / "checkpoints" / "round-2-progress" / "step-3" / "state").write_bytes(b"unfinished")
    return folder


@pytest.fixture
def filled(engine: Engine) -> Engine:
    fill(engine)
    with writing(engine) as session:
        first = session.exec(select(Policy).where(Policy.version == 1)).one()
        first.checkpoint_uri = "checkpoints/round-1"
        session.add(first)
    return engine


def backed_up(engine: Engine, home: Path, out: Path, *, with_files: bool = True) -> Backup:
    return back_up(engine, home=home, out=out, with_files=with_files, progress=quiet)


def restored(
    file: Path, engine: Engine, home: Path, *, replace: bool = True, keep_sign_ins: bool = False
) -> Restored:
    url = engine.url.render_as_string(hide_password=False)
    return restore(
        file, url=url, home=home, replace=replace, keep_sign_ins=keep_sign_ins, progress=quiet
    )


def spoil(engine: Engine) -> None:
    with writing(engine) as session:
        session.execute(update(Policy).values(checkpoint_uri="spoiled"))
        session.add(Event(kind="after.backup"))
    engine.dispose()


def test_what_was_lost_comes_back(filled: Engine, home: Path, tmp_path: Path) -> None:
    before = hashes(filled)
    # A reader in the midst of its transaction and a writer that comes after: it is in use.
    with filled.connect() as reader:
        reader.execute(select(Event)).all()
        made = backed_up(filled, home, tmp_path / "backups.tar")
    assert made.files == 4
    spoil(filled)
    (home / "checkpoints/round-1/adapter_model.safetensors").unlink()
    with pytest.raises(Conflict, match="add --replace"):
        restored(made.file, filled, home, replace=False)
    found = restored(made.file, filled, home)
    assert (found.files, found.needs_upgrade) == (3, False)
    assert hashes(filled) == before
    assert (home / "checkpoints/round-1/adapter_model.safetensors").read_bytes() == (
        b"weights" * 1000
    )
    if found.kept is not None:
        with sqlite3.connect(found.kept) as old:
            assert ("after.backup",) in old.execute("SELECT kind FROM event").fetchall()


def test_a_database_in_use_is_not_replaced(filled: Engine, home: Path, tmp_path: Path) -> None:
    made = backed_up(filled, home, tmp_path / "b.tar", with_files=False)
    before = hashes(filled)
    with filled.connect() as reader, pytest.raises(Conflict, match="stop the web server"):
        reader.execute(select(Event)).all()
        restored(made.file, filled, home)
    assert hashes(filled) == before


def test_a_folder_gets_a_file_that_only_its_owner_reads(
    sqlite_engine: Engine, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    made = backed_up(sqlite_engine, home, tmp_path / "out", with_files=False)
    assert [each.name for each in (tmp_path / "out").iterdir()] == [made.file.name]
    assert made.file.stat().st_mode & 0o777 == 0o600
    assert list(read_manifest(made.file)["files"]) == ["database.sqlite"]
    with pytest.raises(Conflict, match="exists already"):
        backed_up(sqlite_engine, home, made.file)


def test_a_damaged_checkpoint_is_not_backed_up(
    sqlite_engine: Engine, home: Path, tmp_path: Path
) -> None:
    (home / "checkpoints/round-1/deep/head.safetensors").write_bytes(b"HEAD")
    with pytest.raises(Unavailable, match=r"deep/head\.safetensors is not the one"):
        backed_up(sqlite_engine, home, tmp_path / "b.tar")
    assert not list(tmp_path.glob("*b.tar*"))


def test_a_checkpoint_that_the_database_names_must_be_there(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    fill(sqlite_engine)
    with writing(sqlite_engine) as session:
        for policy in session.exec(select(Policy)):
            policy.checkpoint_uri = "checkpoints/gone" if policy.version == 2 else "s3://far/away"
            session.add(policy)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unavailable, match="checkpoints/gone, which is not whole"):
        backed_up(sqlite_engine, tmp_path / "empty", tmp_path / "b.tar")


def test_a_changed_byte_is_found_before_anything_is_touched(
    sqlite_engine: Engine, home: Path, tmp_path: Path
) -> None:
    made = backed_up(sqlite_engine, home, tmp_path / "b.tar")
    content = made.file.read_bytes()
    made.file.write_bytes(content.replace(b"weightsweights", b"weightsWeights", 1))
    before = hashes(sqlite_engine)
    sqlite_engine.dispose()
    with pytest.raises(Unavailable, match="is not what was backed up"):
        restored(made.file, sqlite_engine, home)
    assert hashes(sqlite_engine) == before


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_backup_is_refused(
    sqlite_engine: Engine, home: Path, tmp_path: Path, share: float
) -> None:
    made = backed_up(sqlite_engine, home, tmp_path / "b.tar")
    content = made.file.read_bytes()
    made.file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadInput, match="not a whole backup"):
        restored(made.file, sqlite_engine, home)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "files/../../evil", "files/logs/x"])
def test_an_archive_cannot_write_elsewhere(
    sqlite_engine: Engine, home: Path, tmp_path: Path, name: str
) -> None:
    made = backed_up(sqlite_engine, home, tmp_path / "b.tar", with_files=False)
    manifest = made.file.read_bytes()
    evil = tmp_path / "evil.tar"
    (tmp_path / "x").write_bytes(b"x")
    with tarfile.open(made.file) as old, tarfile.open(evil, "w") as new:
        database = old.extractfile("database.sqlite")
        assert database is not None
        new.addfile(old.getmember("database.sqlite"), database)
        new.add(tmp_path / "x", name)
        text = read_manifest(made.file)
        text["files"][name] = {"sha256": "0" * 64, "bytes": 1}
        (tmp_path / "m").write_text(json.dumps(text))
        new.add(tmp_path / "m", "manifest.json")
    with pytest.raises(BadInput):
        restored(evil, sqlite_engine, home)
    assert made.file.read_bytes() == manifest


def test_a_backup_of_the_other_kind_says_what_to_do(
    sqlite_engine: Engine, home: Path, tmp_path: Path
) -> None:
    made = backed_up(sqlite_engine, home, tmp_path / "b.tar", with_files=False)
    with pytest.raises(BadInput, match="rankloop db copy"):
        restore(made.file, url="postgresql://x@h/y", home=home, replace=False, keep_sign_ins=False,
                progress=quiet)  # fmt: skip


def test_without_postgresqls_programs_it_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgres_tools, "DEBIAN", tmp_path)
    with pytest.raises(Unavailable, match="pg_dump was not found; install"):
        postgres_tools.find_tool("pg_dump")


def test_postgresql_comes_back_into_an_empty_database(
    postgres: PostgresCluster, postgres_engine: Engine, home: Path, tmp_path: Path
) -> None:
    fill(postgres_engine)
    before = hashes(postgres_engine)
    made = backed_up(postgres_engine, home, tmp_path / "b.tar", with_files=False)
    with fresh_database(postgres, template="template1") as url:
        restore(made.file, url=url, home=tmp_path / "other", replace=False, keep_sign_ins=False,
                progress=quiet)  # fmt: skip
        engine = build_engine(url)
        assert hashes(engine) == before
        engine.dispose()
