"""A request has one id: in its answer, and in every log line of its work."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from storage.errors import BadInput
from storage.telemetry.logs import JsonFormatter
from ui.observing.instruments import observed
from ui.observing.requests import Requests


def page(_request: Request) -> Response:
    logging.getLogger("ui.page").info("at work")
    return PlainTextResponse("page")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    room = logging.getLogger("ui")
    before = room.level
    room.addHandler(handler)
    room.setLevel(logging.INFO)
    yield stream
    room.removeHandler(handler)
    room.setLevel(before)


def client() -> TestClient:
    return TestClient(Requests(Starlette(routes=[Route("/page", page)])))


def test_the_id_is_in_the_answer_and_in_the_lines(lines: io.StringIO) -> None:
    answer = client().get("/page?secret=1")
    name = answer.headers["x-request-id"]
    within, after = [json.loads(one) for one in lines.getvalue().splitlines() if "page" in one]
    assert (within["message"], within["request_id"]) == ("at work", name)
    assert (after["message"], after["status"], after["request_id"]) == ("GET /page", 200, name)
    assert "secret" not in lines.getvalue()
    assert client().get("/page").headers["x-request-id"] != name


@pytest.mark.parametrize(
    ("given", "taken"), [("a-b.c_1", True), ('"}{"', False), ("a" * 65, False)]
)
def test_a_proxys_id_is_taken_if_it_is_a_plain_word(given: str, taken: bool) -> None:
    answer = client().get("/page", headers={"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) is taken


def test_a_deed_has_an_id_and_its_outcome(lines: io.StringIO) -> None:
    with pytest.raises(BadInput), observed("skip", account_id=7):
        logging.getLogger("ui.page").info("at work")
        raise BadInput("A skip needs a reason.")
    within, after = [json.loads(one) for one in lines.getvalue().splitlines()]
    assert (after["message"], after["outcome"], after["account_id"]) == ("skip", "refused", 7)
    assert within["request_id"] == after["request_id"]
