"""JSON columns give back what Python's own `json` reads, whatever was stored."""

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlmodel import select

from storage.engine import reading, writing
from storage.stored_json import parsed
from storage.tables import Event

NUMBERS = st.floats(allow_nan=False) | st.integers()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_json_wrote_is_read_as_json_reads_it(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        expected = json.loads(text)
        assert repr(parsed(text)) == repr(expected)
        if not any("\ud800" <= character <= "\udfff" for character in text):
            assert repr(parsed(text.encode())) == repr(expected)


@given(st.integers(0, 2**64 - 1))
def test_every_float_is_read_to_the_last_bit(bits: int) -> None:
    number = struct.unpack("d", struct.pack("Q", bits))[0]
    found = parsed(json.dumps(number))
    assert (
        math.isnan(found)
        if math.isnan(number)
        else struct.pack("d", found) == struct.pack("d", number)
    )


@pytest.mark.parametrize(
    "text", ["-0", "1e400", "-1e400", "Infinity", '"\\ud800"', '{"a": 1, "a": 2}', "9" * 25]
)
def test_odd_texts_are_read_too(text: str) -> None:
    assert repr(parsed(text)) == repr(json.loads(text))


def test_what_is_no_json_says_so() -> None:
    with pytest.raises(json.JSONDecodeError):
        parsed('{"a": ')


def test_both_databases_read_by_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    detail = {"ü": [1, 2.5, None, True], "": {"x": 10**22}}
    monkeypatch.setattr("json.loads", lambda *_: pytest.fail("read by json"))
    with writing(engine) as session:
        session.add(Event(kind="a.b", detail=detail))
    with reading(engine) as session:
        assert session.exec(select(Event.detail)).one() == detail
