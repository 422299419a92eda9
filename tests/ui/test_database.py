"""Connections to the database that are cut while somebody is at the door, on a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlmodel import select
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

import ui
from benchmarks.labeling_stage import add_tasks
from labeling.accounts import create_account
from labeling.keys import key_of
from labeling.policies import create_first_policy
from labeling.projects import create_project
from storage.engine import build_engine, reading, writing
from storage.errors import Unavailable
from storage.settings import load_settings
from storage.tables import Event, Role, SignIn
from ui import database, process, session
from ui.cookie import COOKIE
from ui.entrance import sign_in
from ui.languages import words_for
from ui.plain_text import plain
from ui.views import rank
from ui.web.guard import Guard

PASSWORD = "correct horse battery"
TROUBLE = "The server could not reach its database."


class Administrator:
    """Lets some transactions of the server begin, and ends the connections of the next."""

    def __init__(self, url: str) -> None:
        self.engine = build_engine(url)
        self.to_pass = self.to_cut = self.cut = 0

    def at_begin(self, connection: Connection) -> None:
        if self.to_pass > 0:
            self.to_pass -= 1
            return
        if self.to_cut <= 0:
            return
        self.to_cut -= 1
        driver = connection.connection.driver_connection
        assert driver is not None
        with self.engine.begin() as own:
            ended = text("SELECT pg_terminate_backend(:pid, 5000)")
            assert own.execute(ended, {"pid": driver.info.backend_pid}).scalar_one()
        self.cut += 1


@pytest.fixture
def administrator(
    postgres_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Administrator]:
    """Serve from PostgreSQL in this process, with somebody who ends its connections."""
    monkeypatch.setattr(database, "PAUSES", (0.0, 0.0))
    url = postgres_engine.url.render_as_string(hide_password=False)
    settings = load_settings(home=tmp_path / "home", database_url=url)
    with writing(postgres_engine) as rows:
        project = create_project(rows, name="default", settings=settings)
        create_first_policy(rows, project_id=key_of(project), name="none", checkpoint_uri="none")
        create_account(rows, name="ada", role=Role.ANNOTATOR, password=PASSWORD)
    process.configure(settings)
    found = Administrator(url)
    event.listen(process.engine(), "begin", found.at_begin)
    yield found
    process.engine().dispose()
    found.engine.dispose()


@pytest.fixture
def door(administrator: Administrator) -> TestClient:
    guard = Middleware(Guard, signed_in=sign_in.signed_in)
    app = Starlette(routes=sign_in.routes(), middleware=[guard])
    return TestClient(app, follow_redirects=False)


def log_in(door: TestClient) -> tuple[int, str]:
    answer = door.post("/login", data={"name": "ada", "password": PASSWORD, "next": "/rounds"})
    return answer.status_code, answer.text


def test_a_cut_connection_is_not_noticed_at_the_door(
    administrator: Administrator, door: TestClient
) -> None:
    administrator.to_cut = 1
    assert log_in(door)[0] == 303
    assert administrator.cut == 1
    with reading(administrator.engine) as rows:
        assert len(rows.exec(select(SignIn)).all()) == 1
        opened = select(Event).where(Event.kind == "sign_in.opened")
        assert len(rows.exec(opened).all()) == 1


def test_signing_in_without_a_database_is_503_in_plain_words(
    administrator: Administrator, door: TestClient
) -> None:
    administrator.to_cut = 3
    status, page = log_in(door)
    assert (status, administrator.cut) == (503, 3)
    assert TROUBLE in page
    assert 'value="/rounds"' in page and 'value="ada"' in page
    assert log_in(door)[0] == 303


def test_every_other_door_answers_503_too(administrator: Administrator, door: TestClient) -> None:
    assert log_in(door)[0] == 303
    for method, path in (("GET", "/rounds"), ("GET", "/login"), ("POST", "/logout")):
        administrator.to_cut = 3
        answer = door.request(method, path)
        assert answer.status_code == 503, path
        assert "database" in answer.text and "try again in a moment" in answer.text
    assert administrator.cut == 9
    # Nobody was signed out by it.
    assert door.get("/login").status_code == 303


def test_a_page_says_it_in_plain_words_instead_of_an_error(
    administrator: Administrator, door: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert log_in(door)[0] == 303
    token = door.cookies[COOKIE]

    def script() -> None:
        from ui.views import rank

        rank.show()

    seen = SimpleNamespace(cookies={COOKIE: token}, timezone="UTC", url="/")
    monkeypatch.setattr(session.st, "context", seen)
    monkeypatch.setattr(session, "words", lambda: words_for(None, None))
    for cuts in (3, 1):
        administrator.to_cut = cuts
        page = AppTest.from_function(script, default_timeout=60).run()
        assert not page.exception, page.exception
        trouble = plain(words_for(None, None).say("server.trouble"))
        assert [each.value for each in page.warning] == ([trouble] if cuts == 3 else [])
    assert administrator.cut == 4


@pytest.mark.parametrize("cuts", [1, 30])
def test_no_transaction_of_a_whole_page_ends_in_an_error(
    administrator: Administrator, door: TestClient, monkeypatch: pytest.MonkeyPatch, cuts: int
) -> None:
    assert log_in(door)[0] == 303
    # Else the navigation would not ask for the annotator's standing.
    seen = SimpleNamespace(cookies={COOKIE: door.cookies[COOKIE]}, timezone="UTC", url="/")
    monkeypatch.setattr(session.st, "context", seen)
    monkeypatch.setattr(session, "words", lambda: words_for(None, None))
    trouble = plain(words_for(None, None).say("server.trouble"))
    # A longer outage is tried at every fourth: it is the same code, and each page takes its time.
    for passed in range(0, 60, 1 if cuts == 1 else 4):
        administrator.to_pass, administrator.to_cut, administrator.cut = passed, cuts, 0
        page = AppTest.from_file(str(Path(ui.__file__).parent / "app.py"), default_timeout=60)
        page = page.run()
        assert not page.exception, (passed, page.exception)
        if not administrator.cut:
            break
        warned = [each.value for each in page.warning]
        assert warned == ([] if cuts == 1 else [trouble]), (passed, warned)
    assert passed > 3 and not administrator.cut, "every transaction of the page had its turn"


def test_a_task_stays_on_the_page_while_the_database_is_away(
    administrator: Administrator, door: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty page would read as "all done", and take what the annotator has just typed."""
    assert log_in(door)[0] == 303
    add_tasks(administrator.engine, "default", range(1))
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(rank, "ranking", lambda *, data, **_: shown.append(data))
    seen = SimpleNamespace(cookies={COOKIE: door.cookies[COOKIE]}, timezone="UTC", url="/")
    monkeypatch.setattr(session.st, "context", seen)
    monkeypatch.setattr(session, "words", lambda: words_for(None, None))

    def script() -> None:
        from ui.views import rank

        rank.show()

    page = AppTest.from_function(script, default_timeout=60).run()
    administrator.to_cut = 3
    page = page.run()
    assert administrator.cut == 3
    page = page.run()
    assert not page.exception and not page.warning
    assert len({data["serial"] for data in shown}) == 1
    assert [bool(data["refusal"]) for data in shown] == [False, True, True]
    assert TROUBLE in shown[1]["refusal"]["text"]


def test_what_is_no_lost_connection_is_not_tried_again() -> None:
    tried = []

    def act() -> None:
        tried.append(1)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        database.retried(act)
    assert tried == [1]
    with pytest.raises(Unavailable, match="try again"):
        database.retried(lambda: _lost())


def _lost() -> None:
    from sqlalchemy.exc import OperationalError

    raise OperationalError("SELECT 1", {}, Exception("gone"))
