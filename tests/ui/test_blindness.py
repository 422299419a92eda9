"""What reaches an annotator's browser tells nothing of policies, scores, kinds, or other people.

Every frame of the websocket is read, and every answer over HTTP (most tasks come by one): a session
ranks ordinary, gold, repeated and arena tasks, corrects one, and looks at its own judgments.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Response, WebSocket
from sqlmodel import select

from storage.engine import reading
from storage.tables import Account, Assignment, Task, TaskKind
from tests.ui.conftest import PASSWORD, Home, running_server
from tests.ui.ranking.ranking_page import PATIENCE_MS, cards, press, shown, submit_and_wait
from tests.ui.secret_stage import SECRETS, found_in, make_secret_home
from ui.components.ranking import DIRECTLY

TASKS = 9


class Wire:
    """All that came over the network to one page."""

    def __init__(self, page: Page) -> None:
        self.frames: list[bytes] = []
        self.answers: list[bytes] = []
        self.tasks: list[bytes] = []
        self.all: list[bytes] = []
        page.on("websocket", self._listen)
        page.on("response", self._answer)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda data: self._keep(self.frames, _bytes(data)))

    def _keep(self, where: list[bytes], data: bytes) -> None:
        where.append(data)
        self.all.append(data)

    def _answer(self, response: Response) -> None:
        if response.url.endswith(DIRECTLY):
            self._keep(self.tasks, response.body())
        if "/static/" not in response.url and response.request.method == "GET":
            self.answers.append(response.url.encode())
            self.answers.append(json.dumps(response.headers).encode())


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data


@pytest.fixture(scope="module")
def secret_home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Home]:
    made = make_secret_home(tmp_path_factory.mktemp("secret") / "data", sqlite_template)
    yield made
    made.engine.dispose()


def kinds_judged(home: Home, name: str) -> list[TaskKind]:
    with reading(home.engine) as session:
        return list(
            session.exec(
                select(Task.kind)
                .join(Assignment, Assignment.task_id == Task.id)  # type: ignore[arg-type]
                .join(Account, Account.id == Assignment.annotator_id)  # type: ignore[arg-type]
                .where(Account.name == name, Assignment.state == "submitted")
                .order_by(Assignment.id)  # type: ignore[arg-type]
            )
        )


def data_of(frames: list[bytes]) -> list[dict[str, Any]]:
    """Return what the ranking component was given, in order."""
    found = []
    for frame in frames:
        start = frame.find(b'{"serial"')
        while start >= 0:
            text = frame[start:].decode("utf-8", "ignore")
            found.append(json.JSONDecoder().raw_decode(text)[0])
            start = frame.find(b'{"serial"', start + 1)
    return found


def test_no_frame_tells_what_an_annotator_must_not_know(
    browser: Browser, secret_home: Home
) -> None:
    secret_home.account("ann")
    with running_server(secret_home.path) as server:
        context = browser.new_context()
        context.set_default_timeout(2 * PATIENCE_MS)
        page = context.new_page()
        wire = Wire(page)
        page.goto(f"{server.url}/login")
        sign_in(page)
        for _ in range(TASKS):
            press(page, "1234"[: cards(page).count()])
            submit_and_wait(page, lambda: page.keyboard.press("Enter"))
        last = shown(page)
        submit_and_wait(page, lambda: page.keyboard.press("u"))
        press(page, "2")
        until_drafted(secret_home, "ann")
        page.reload()
        cards(page).nth(1).wait_for()
        submit_and_wait(page, lambda: page.locator(".submit").click())
        assert shown(page) == last
        page.get_by_role("link", name="My judgments").click()
        page.get_by_text("What was shown").first.click()
        page.wait_for_timeout(1000)
        context.close()
    kinds = kinds_judged(secret_home, "ann")
    assert set(kinds) == {TaskKind.ORDINARY, TaskKind.GOLD, TaskKind.REPEAT, TaskKind.ARENA}, kinds
    assert b"answer p to" in b"".join(wire.frames), "frames can be read as they are"
    assert len(data_of(wire.tasks)) >= TASKS, "tasks came by HTTP, and were read"
    assert found_in(wire.all + wire.answers) == {}
    expect_alike(data_of(wire.all), kinds)


def until_drafted(home: Home, name: str, seconds: float = 30) -> None:
    """Wait until the database has a draft of the annotator, whose next page then carries it."""
    deadline = time.monotonic() + seconds
    while not any(each.draft for each in home.assignments(name)):
        assert time.monotonic() < deadline, "the draft was not kept"
        time.sleep(0.1)


def sign_in(page: Page) -> None:
    page.fill("#name", "ann")
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    cards(page).nth(1).wait_for()


def expect_alike(data: list[dict[str, Any]], kinds: list[TaskKind]) -> None:
    """A task of one kind looks like one of another but for its texts and their number."""
    first_showings: dict[int, dict[str, Any]] = {}
    for each in data:
        first_showings.setdefault(each["assignment"], each)
    assert len(first_showings) >= len(kinds)
    changing = ("serial", "look", "assignment", "messages", "completions", "today", "total")
    said = ("can_undo", "done", "words", "language", "direction", "sitting")
    rest = [
        {name: value for name, value in each.items() if name not in changing + said}
        for each in first_showings.values()
    ]
    for each in rest:
        each["page"].pop("strength")
        assert each == rest[0]
    for assignment, each in first_showings.items():
        assert each["serial"] == f"{assignment}.0"


def test_the_search_finds_each_secret() -> None:
    examples = {
        "a prompt's number": b"5510003",
        "a policy's number": b'"x": 4410002',
        "a completion's number": b"8810013",
        "a task's number": b"6610004",
        "a judgment's number": b"3310012",
        "a policy's version": b"7710000",
        "a policy's name or checkpoint": b"checkpoints/quokka-1",
        "sampling settings": b'{"temperature": 0.8124}',
        "a sampling seed": b"918273001",
        "a token count": b"61732",
        "a finish reason": b"echidna",
        "a known answer": b"platypus first",
        "another's name": b"bandicoot-model",
        "another's words": b"kookaburra",
        "a model's confidence": b"0.91827",
        "a reward": b"0.777123",
        "a task's kind as a value": b'"arena"',
        "a field that tells": b'"policy_id": 1',
    }
    assert set(examples) == set(SECRETS)
    for name, example in examples.items():
        assert name in found_in([example]), name
