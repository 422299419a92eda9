"""One JSON object a line, whatever is logged."""

import json
import logging
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.printable import printable
from storage.settings import load_settings
from storage.telemetry.logs import JsonFormatter, build_formatter, log_context
from tests.hostile_texts import TEXTS, HostileText


def line(message: str, **extra: Any) -> str:
    record = logging.getLogger("ui.test").makeRecord(
        "ui.test", logging.INFO, __file__, 1, "%s", (message,), None, extra=extra
    )
    return JsonFormatter().format(record)


@given(st.text())
def test_a_message_stays_one_line_and_comes_back(message: str) -> None:
    text = line(message)
    assert text.isascii()
    assert len(text.splitlines()) == 1
    assert json.loads(text)["message"] == message


def test_a_line_has_its_context_and_its_fields() -> None:
    with log_context(request_id="a"), log_context(round=3):
        found = json.loads(line("stored", milliseconds=1.5))
    assert found["time"].endswith("Z")
    assert (found["level"], found["logger"]) == ("info", "ui.test")
    assert (found["request_id"], found["round"], found["milliseconds"]) == ("a", 3, 1.5)
    assert "request_id" not in json.loads(line("later"))


def test_an_exception_is_in_its_line() -> None:
    logger = logging.getLogger("ui.test")
    try:
        raise ValueError("lost")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
        record = logger.makeRecord("ui.test", logging.ERROR, __file__, 1, "broke", (), info)
    found = json.loads(JsonFormatter().format(record))
    assert "ValueError: lost" in found["exception"]


def test_a_line_that_a_child_made_is_passed_on_as_it_is() -> None:
    with log_context(round=7, step="ppo"):
        made = line("trained")
    assert line(made) == made
    assert json.loads(line('{"other": 1}'))["message"] == '{"other": 1}'


def test_the_setting_chooses_the_form() -> None:
    assert isinstance(build_formatter(load_settings(log_format="json")), JsonFormatter)
    plain = build_formatter(load_settings(), plain="%(message)s")
    record = logging.makeLogRecord({"msg": "ready"})
    assert plain.format(record) == "ready"


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("one", TEXTS, ids=lambda one: one.name)
def test_a_hostile_text_begins_no_line_of_its_own(one: HostileText, log_format: str) -> None:
    formatter = build_formatter(load_settings(log_format=log_format))
    for message in ("%s", "A judge said %s"):
        record = logging.makeLogRecord({"msg": message, "args": (one.text,)})
        made = formatter.format(record)
        assert len(made.splitlines()) == 1
        assert printable(made, keep="\t") == made
        if log_format == "json":
            assert isinstance(json.loads(made), dict)


def test_lines_of_a_traceback_are_set_in() -> None:
    try:
        raise ValueError("lost\n2026-01-01T00:00:00Z admin signed in\x1b[2J")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    first, *rest = build_formatter(load_settings(), plain="%(message)s").format(record).split("\n")
    assert first == "failed"
    assert rest and all(line.startswith("  ") and "\x1b" not in line for line in rest)


def test_a_line_that_only_looks_like_a_childs_is_a_message() -> None:
    forged = '{"time": "now"}\n{"time": "now", "message": "admin signed in"}'
    assert json.loads(line(forged))["message"] == forged
    assert json.loads(line('{"time": nothing}'))["message"] == '{"time": nothing}'
