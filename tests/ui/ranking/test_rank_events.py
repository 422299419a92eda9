"""The ranking page's events by plain HTTP: what is answered, what goes by the page, who may not."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlmodel import select
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from benchmarks.labeling_stage import fill
from labeling.people.sign_ins import close_sign_in, open_sign_in
from labeling.quality_control.guidelines import publish_guidelines
from labeling.work_queue import scan_start
from storage.engine import reading, writing
from storage.settings import load_settings
from storage.tables import Account, Assignment, AssignmentState, Judgment, Project
from ui import process
from ui.components.ranking import DIRECTLY
from ui.cookie import COOKIE
from ui.entrance import sign_in
from ui.ranking import rank_events
from ui.web.guard import ASKING_THEMSELVES, Guard

#: statements of a submit and the next task together, the sign-in's question and BEGINs counted in
MOST_STATEMENTS = 25


@dataclass
class Poster:
    """An annotator's browser without a page."""

    client: TestClient
    token: str

    def post(self, name: str, headers: dict[str, str] | None = None, **value: Any) -> Any:
        body = {"event": name, "value": value, "timezone": "Asia/Shanghai"}
        self.client.cookies.set(COOKIE, self.token)
        return self.client.post(DIRECTLY, json=body, headers=headers or {})

    def submit(self, assignment: int, nonce: str = "0" * 16, **more: Any) -> Any:
        values = {"ranks_by_place": [1, 2, 3, 4], "milliseconds": 9000, **more}
        return self.post("submit", assignment=assignment, nonce=nonce, **values)


@pytest.fixture
def poster(sqlite_engine: Engine, tmp_path: Path) -> Iterator[Poster]:
    yield from opened(sqlite_engine, tmp_path)


@pytest.fixture
def either(engine: Engine, tmp_path: Path) -> Iterator[Poster]:
    yield from opened(engine, tmp_path)


def opened(engine: Engine, tmp_path: Path) -> Iterator[Poster]:
    url = engine.url.render_as_string(hide_password=False)
    settings = load_settings(home=tmp_path / "home", database_url=url)
    settings.home.mkdir(exist_ok=True)
    fill(settings, annotators=1, tasks=3, overlap=1)
    process.configure(settings)
    with writing(engine) as session:
        account = session.exec(select(Account)).one()
        assert account.id is not None
        token = open_sign_in(session, account_id=account.id, hours=1)
    guard = Middleware(Guard, signed_in=sign_in.signed_in)
    app = Starlette(routes=rank_events.routes(), middleware=[guard])
    yield Poster(TestClient(app), token)
    process.engine().dispose()


def lent(engine: Engine) -> list[Assignment]:
    with reading(engine) as session:
        return list(session.exec(select(Assignment).order_by(Assignment.id)))  # type: ignore[arg-type]


def first(poster: Poster, engine: Engine) -> int:
    """Have a task lent by asking for what does not exist, as a page that was just opened has."""
    poster.submit(0)
    (assignment,) = lent(engine)
    assert assignment.id is not None
    return assignment.id


def stored(engine: Engine) -> list[Judgment]:
    with reading(engine) as session:
        return list(session.exec(select(Judgment)))


def test_a_submit_is_answered_with_the_next_task_and_stored_once(
    either: Poster, engine: Engine
) -> None:
    assignment = first(either, engine)
    answers = [either.submit(assignment).json()["data"] for _ in range(2)]
    assert [each["done"] for each in answers] == ["0" * 16] * 2
    assert answers[0]["assignment"] == answers[1]["assignment"] != assignment
    assert answers[0]["total"] == 1
    (judgment,) = stored(engine)
    assert [judgment.ranks[place] for place in judgment.display_order] == [1, 2, 3, 4]


def test_what_a_submit_asks_the_database(
    either: Poster, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Beside other tests a look may be slow, and then asks once where the next one may begin.
    monkeypatch.setattr(scan_start, "SLOW", math.inf)
    answer = either.submit(first(either, engine)).json()["data"]
    asked: list[str] = []
    own = process.engine()
    event.listen(own, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert either.submit(answer["assignment"], nonce="1" * 16).status_code == 200
    assert len(stored(engine)) == 2
    assert len(asked) <= MOST_STATEMENTS, "\n".join(asked)


def test_a_refusal_is_told_and_the_task_stays(poster: Poster, sqlite_engine: Engine) -> None:
    assignment = first(poster, sqlite_engine)
    said = poster.submit(assignment, ranks_by_place=[1, 2]).json()["data"]
    assert said["assignment"] == assignment
    assert said["refusal"]["text"]
    assert stored(sqlite_engine) == []


def test_drafts_and_heartbeats_are_kept_without_a_new_look(
    poster: Poster, sqlite_engine: Engine
) -> None:
    assignment = first(poster, sqlite_engine)
    draft = {"ranks_by_place": [2, 0, 1, 0]}
    answer = poster.post("draft", assignment=assignment, serial=f"{assignment}.0", draft=draft)
    assert "completions" not in answer.json()["data"]
    assert poster.post("beat", assignment=assignment, at="x").json()["data"]["refusal"] is None
    assert lent(sqlite_engine)[0].draft == draft
    with writing(sqlite_engine) as session:
        session.get_one(Assignment, assignment).state = AssignmentState.RELEASED
    warned = [poster.post("beat", assignment=assignment, at="x").json() for _ in range(2)]
    assert warned[0]["data"]["refusal"]["id"] == warned[1]["data"]["refusal"]["id"]


def test_the_page_is_asked_where_more_than_the_component_changes(
    poster: Poster, sqlite_engine: Engine
) -> None:
    assignment = first(poster, sqlite_engine)
    with writing(sqlite_engine) as session:
        project = session.exec(select(Project)).one()
        publish_guidelines(session, project=project, by=None, text="Look at the facts first.")
    assert poster.submit(assignment).json() == rank_events.AGAIN
    assert len(stored(sqlite_engine)) == 1
    assert len(lent(sqlite_engine)) == 1, "no task is lent before the guidelines are read"


def test_nothing_left_is_the_page_s_to_say(poster: Poster, sqlite_engine: Engine) -> None:
    assignment = first(poster, sqlite_engine)
    for number in range(2):
        assignment = poster.submit(assignment, nonce=str(number) * 16).json()["data"]["assignment"]
    assert poster.submit(assignment, nonce="2" * 16).json() == rank_events.AGAIN
    assert len(stored(sqlite_engine)) == 3


def test_strangers_other_sites_and_other_things_are_refused(
    poster: Poster, sqlite_engine: Engine
) -> None:
    assignment = first(poster, sqlite_engine)
    elsewhere = poster.post("beat", {"origin": "http://attack.invalid"}, assignment=assignment)
    assert elsewhere.status_code == 403
    assert poster.client.post(DIRECTLY, json={"event": "undo", "value": {}}).status_code == 400
    assert poster.client.post(DIRECTLY, content=b"[").status_code == 400
    large = int(process.settings().message_megabytes * 2**20) + 1
    assert poster.client.post(DIRECTLY, content=b" " * large).status_code == 413
    with writing(sqlite_engine) as session:
        close_sign_in(session, token=poster.token)
    assert poster.submit(assignment).status_code == 401
    assert stored(sqlite_engine) == []


def test_the_guard_leaves_the_sign_in_to_the_route() -> None:
    assert DIRECTLY in ASKING_THEMSELVES
