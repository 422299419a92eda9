"""One JSON object a line, whatever is logged."""

import json
import logging
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from storage.settings import load_settings
from storage.telemetry.logs import JsonFormatter, build_formatter, log_context


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
