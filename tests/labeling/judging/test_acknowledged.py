"""PostgreSQL is cut off around a COMMIT: what is told as saved is stored, and stored once."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import Connection, Engine, event, make_url, text
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from labeling.work_queue.assignment import AssignedTask
from storage.engine import build_engine, reading
from storage.tables import Judgment, Project
from tests.conftest import _add_project
from tests.labeling.stage import Stage, set_stage

NONCE = "one-nonce"
RANKS = [1, 2]
_PID = "SELECT pg_terminate_backend(:pid, 5000)"
# A trigger that is deferred runs within COMMIT, when all statements are done.
SLOW_COMMIT = """
CREATE FUNCTION wait_in_commit() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(20); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON judgment DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION wait_in_commit();
"""


class DeafProxy:
    """Pass PostgreSQL's bytes on; once `armed`, a COMMIT goes through and its answer does not."""

    def __init__(self, port: int) -> None:
        self.upstream, self.armed, self.swallowed = port, False, 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listening.getsockname()[1])
        self.ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                server = socket.create_connection(("127.0.0.1", self.upstream))
                self.ends += [client, server]
                deaf = threading.Event()
                for source, target, is_client in ((client, server, True), (server, client, False)):
                    threading.Thread(
                        target=self._pass, args=(source, target, is_client, deaf), daemon=True
                    ).start()

    def _pass(
        self, source: socket.socket, target: socket.socket, is_client: bool, deaf: threading.Event
    ) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                if is_client and self.armed and b"COMMIT" in block:
                    self.armed = False
                    deaf.set()
                if not is_client and deaf.is_set():
                    # The server has answered, so it has committed.
                    self.swallowed += 1
                    break
                target.sendall(block)
        for end in (source, target):
            _shut(end)

    def close(self) -> None:
        for end in (self.listening, *self.ends):
            _shut(end)
            end.close()


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def lent(postgres_engine: Engine) -> tuple[Stage, AssignedTask]:
    """Return a stage on PostgreSQL and a task that is lent to ann."""
    project: Project = _add_project(postgres_engine)
    stage = set_stage(postgres_engine, project)
    stage.add_task("t", k=2)
    return stage, stage.lend("ann")


@pytest.fixture
def other_way(postgres_engine: Engine) -> Iterator[Engine]:
    """Return a second engine on the same database, for the administrator."""
    engine = build_engine(postgres_engine.url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()


def stored(engine: Engine) -> list[tuple[str, list[int]]]:
    with reading(engine) as session:
        return [(one.nonce, one.ranks) for one in session.exec(select(Judgment))]


def pid_of(connection: Connection) -> int:
    driver = connection.connection.driver_connection
    assert driver is not None
    return int(driver.info.backend_pid)


def send_again(stage: Stage, task: AssignedTask) -> None:
    """Send the same nonce as the page does, and then once more."""
    answers = [stage.submit("ann", task, RANKS, NONCE) for _ in range(2)]
    assert [each.stored for each in answers] == [True, True]
    assert answers[0].judgment_id == answers[1].judgment_id
    assert stored(stage.engine) == [(NONCE, RANKS)]


def test_a_connection_that_ends_before_commit_stores_nothing_and_says_so(
    lent: tuple[Stage, AssignedTask], other_way: Engine
) -> None:
    stage, task = lent

    def end(connection: Connection) -> None:
        with other_way.begin() as own:
            assert own.execute(text(_PID), {"pid": pid_of(connection)}).scalar_one()

    event.listen(stage.engine, "commit", end)
    with pytest.raises(OperationalError):
        stage.submit("ann", task, RANKS, NONCE)
    event.remove(stage.engine, "commit", end)
    assert stored(other_way) == []
    send_again(stage, task)


def test_a_connection_that_ends_within_commit_stores_nothing_and_says_so(
    lent: tuple[Stage, AssignedTask], other_way: Engine
) -> None:
    stage, task = lent
    with other_way.begin() as own:
        own.execute(text(SLOW_COMMIT))
    ended = threading.Thread(target=_end_who_waits, args=(other_way,))
    ended.start()
    with pytest.raises(OperationalError):
        stage.submit("ann", task, RANKS, NONCE)
    ended.join()
    assert stored(other_way) == []
    with other_way.begin() as own:
        own.execute(text("DROP TRIGGER waits ON judgment"))
    send_again(stage, task)


def _end_who_waits(engine: Engine) -> None:
    within = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE wait_event = 'PgSleep' AND query = 'COMMIT'"
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(200):
            if connection.execute(text(within)).all():
                return
            connection.execute(text("SELECT pg_sleep(0.02)"))


def test_a_commit_whose_answer_is_lost_is_stored_once_when_it_is_sent_again(
    lent: tuple[Stage, AssignedTask], other_way: Engine
) -> None:
    stage, task = lent
    url = make_url(stage.engine.url.render_as_string(hide_password=False))
    assert url.port is not None
    proxy = DeafProxy(url.port)
    through = build_engine(url.set(port=proxy.port).render_as_string(hide_password=False))
    behind = Stage(through, stage.project, stage.policy, stage.accounts)
    # Setting a new connection up ends in a COMMIT, too.
    through.connect().close()
    proxy.armed = True
    with pytest.raises(OperationalError):
        behind.submit("ann", task, RANKS, NONCE)
    assert proxy.swallowed == 1
    assert stored(other_way) == [(NONCE, RANKS)]
    send_again(behind, task)
    through.dispose()
    proxy.close()
