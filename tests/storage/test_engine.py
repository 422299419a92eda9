"""The engine's promises: durable, checked, and no "database is locked"."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, text
from sqlalchemy.exc import IntegrityError, InternalError
from sqlmodel import Session, select

from labeling.imports.bulk_insert import insert_rows
from storage import engine as storage_engine
from storage.clock import now
from storage.core import table_of
from storage.engine import asking, build_engine, empty_log, reading, writing
from storage.errors import BadInput, Unavailable
from storage.tables import Event, Project, Prompt, Split
from tests.forked import forked
from tests.unflushed_sqlite import configure_as_shipped

WRITERS, ROWS = 4, 100


def _pragma(session: Session, name: str) -> str | int:
    value: str | int = session.connection().exec_driver_sql(f"PRAGMA {name}").scalar_one()
    return value


def _count(session: Session) -> int:
    return session.exec(select(func.count()).select_from(Event)).one()


@pytest.fixture
def as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_engine, "_configure_sqlite", configure_as_shipped)


@pytest.mark.usefixtures("as_shipped")
def test_sqlite_is_durable_and_checked_on_every_connection(sqlite_engine: Engine) -> None:
    with reading(sqlite_engine) as one, reading(sqlite_engine) as two:
        for session in (one, two):
            assert _pragma(session, "journal_mode") == "wal"
            assert _pragma(session, "synchronous") == 2
            assert _pragma(session, "foreign_keys") == 1
            assert _pragma(session, "secure_delete") == 1
            assert _pragma(session, "busy_timeout") >= 10_000


def test_the_log_is_emptied_unless_somebody_reads(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_engine, "LOG_TIMEOUT_MS", 50)
    log = Path(f"{sqlite_engine.url.database}-wal")
    with writing(sqlite_engine) as session:
        session.add(Event(kind="first"))
    with reading(sqlite_engine) as session:
        assert _count(session) == 1
        with writing(sqlite_engine) as other:
            other.add(Event(kind="second"))
        assert not empty_log(sqlite_engine)
    assert log.stat().st_size > 0
    assert empty_log(sqlite_engine)
    assert log.stat().st_size == 0
    with reading(sqlite_engine) as session:
        assert _count(session) == 2 and _pragma(session, "busy_timeout") >= 10_000


def test_an_error_rolls_the_whole_block_back(engine: Engine) -> None:
    with pytest.raises(RuntimeError), writing(engine) as session:
        session.add(Event(kind="first"))
        session.flush()
        raise RuntimeError
    with reading(engine) as session:
        assert _count(session) == 0


def test_reading_never_commits(engine: Engine) -> None:
    postgresql = engine.dialect.name == "postgresql"
    refused = pytest.raises(InternalError, match="read-only") if postgresql else nullcontext()
    with refused, reading(engine) as session:
        session.add(Event(kind="first"))
        session.flush()
    with reading(engine) as session:
        session.add(Event(kind="not even asked to be written"))
    with reading(engine) as session:
        assert _count(session) == 0


def test_what_is_prepared_is_kept_from_one_reading_to_the_next(postgres_engine: Engine) -> None:
    for _ in range(7):
        with reading(postgres_engine) as session:
            _count(session)
    with asking(postgres_engine) as session:
        prepared = session.execute(text("SELECT statement FROM pg_prepared_statements")).scalars()
        assert any("event" in statement for statement in prepared)


def test_readers_do_not_wait_for_a_writer(sqlite_engine: Engine) -> None:
    with writing(sqlite_engine) as writer:
        writer.add(Event(kind="first"))
        writer.flush()
        with reading(sqlite_engine) as reader:
            assert _count(reader) == 0


def _read_then_write(url: str, writer: int) -> None:
    engine = build_engine(url)
    for row in range(ROWS):
        with writing(engine) as session:
            # Reading first is what makes a deferred BEGIN fail under SQLite.
            seen = _count(session)
            session.add(Event(kind="row", detail={"writer": writer, "row": row, "seen": seen}))
    engine.dispose()


def test_processes_write_at_once_without_an_error(sqlite_engine: Engine) -> None:
    url = str(sqlite_engine.url)
    context = forked()
    writers = [context.Process(target=_read_then_write, args=(url, n)) for n in range(WRITERS)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0] * WRITERS
    with reading(sqlite_engine) as session:
        events = session.exec(select(Event).order_by(Event.id)).all()  # type: ignore[arg-type]
    # Each transaction saw every one before it: they were one after the other.
    assert [event.detail["seen"] for event in events] == list(range(WRITERS * ROWS))


def test_a_url_that_cannot_be_read_is_one_sentence() -> None:
    with pytest.raises(Unavailable, match=r"postgresql\+psycopg://user@host/name"):
        build_engine("not a url")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="set RANKLOOP_HOME"):
        build_engine(f"sqlite:///{tmp_path}/file/rankloop.db")


def test_postgresql_urls_get_the_driver_that_is_installed() -> None:
    engine = build_engine("postgresql://ada:secret@db/loop")
    assert engine.url.drivername == "postgresql+psycopg"
    assert "secret" not in repr(engine.url)


@pytest.mark.parametrize("text", ["half a \ud800 pair", "a NUL \x00"], ids=["surrogate", "NUL"])
@pytest.mark.parametrize("where", ["stored", "as JSON", "looked for"])
def test_a_text_that_cannot_be_stored_everywhere_is_bad_input(
    engine: Engine, text: str, where: str
) -> None:
    with pytest.raises(BadInput, match="take it out"), writing(engine) as session:
        if where == "looked for":
            session.exec(select(Project).where(Project.name == text)).all()
        elif where == "stored":
            session.add(Project(name=text))
        else:
            session.add(Event(kind="x", detail={"name": [text]}))
    with reading(engine) as session:
        assert _count(session) == 0


@pytest.mark.parametrize("text", ["half a \ud800 pair", "a NUL \x00"], ids=["surrogate", "NUL"])
@pytest.mark.parametrize("where", ["source", "tags"])
def test_no_row_of_many_holds_such_a_text(
    engine: Engine, project: Project, text: str, where: str
) -> None:
    with pytest.raises(BadInput, match="take it out"), writing(engine) as session:
        rows = [prompt_row(project, number) for number in range(3)]
        rows[1][where] = text if where == "source" else [text]
        insert_rows(session, table_of(Prompt), rows)


def prompt_row(project: Project, number: int) -> dict[str, Any]:
    return {
        "project_id": project.id, "messages": [], "content_sha256": f"{number:064}",
        "split": Split.TRAIN, "source": "", "license": "", "tags": [], "language": "en",
        "created_at": now(),
    }  # fmt: skip


SPOKEN_OF = [
    "\\u0000",
    "\\\\u0000",
    "a\\\\\\u0000",
    "\\ud800",
    "\U0001f469\u200d\U0001f469",
    "0x00",
    "",
]


@pytest.mark.parametrize("text", SPOKEN_OF)
def test_a_text_that_only_speaks_of_it_is_stored_as_it_is(engine: Engine, text: str) -> None:
    with writing(engine) as session:
        session.add(Event(kind=text[:10], detail={text: [text, {"a": text}]}))
    with reading(engine) as session:
        event = session.exec(select(Event)).one()
    assert (event.kind, event.detail) == (text[:10], {text: [text, {"a": text}]})


def test_a_text_that_only_speaks_of_it_fails_as_any_other(engine: Engine) -> None:
    name = "NUL (0x00), \\u0000 and a surrogate"
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.add_all([Project(name=name), Project(name=name)])
