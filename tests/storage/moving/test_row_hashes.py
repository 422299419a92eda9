"""One form of a row for both databases; a hash that knows no order but every value."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from storage.moving.row_hashes import TableHash, canonical, tables
from storage.tables import RoundState

ROWS = st.lists(st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(), min_size=1))


def hashed(rows: list[dict[str, Any]]) -> TableHash:
    found = TableHash()
    for row in rows:
        found.add(row)
    return found


@given(ROWS, st.randoms())
def test_the_order_of_rows_is_nothing_to_the_hash(rows: list[dict[str, Any]], random: Any) -> None:
    mixed = list(rows)
    random.shuffle(mixed)
    assert hashed(mixed) == hashed(rows)


@given(ROWS.filter(bool))
def test_a_row_more_or_a_value_changed_changes_the_hash(rows: list[dict[str, Any]]) -> None:
    whole = hashed(rows)
    assert hashed(rows[1:]) != whole
    assert hashed([{**rows[0], "d": 1}, *rows[1:]]).sha256 != whole.sha256
    # The sum of a row twice is not zero, as it would be with an exclusive or.
    assert hashed([rows[0], rows[0]]).sha256 != hashed([]).sha256


def test_what_jsonb_gives_back_in_another_form_is_the_same() -> None:
    assert canonical({"a": 1e22, "b": -0.0, "c": [3.0]}) == {"a": 10**22, "b": 0, "c": [3]}
    assert canonical(0.1) == 0.1
    assert canonical(RoundState.PPO) == "ppo"
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert canonical(moment) == canonical(moment.astimezone(timezone(timedelta(hours=5))))


def test_true_is_not_one_and_none_is_not_its_name() -> None:
    assert hashed([{"a": True}]).sha256 != hashed([{"a": 1}]).sha256
    assert hashed([{"a": None}]).sha256 != hashed([{"a": "None"}]).sha256


def test_what_utf8_or_json_has_not_is_hashed_too() -> None:
    nothing, infinite = hashed([{"a": None}]).sha256, hashed([{"a": float("inf")}]).sha256
    assert len({nothing, infinite, hashed([{"a": float("nan")}]).sha256}) == 3
    halves = [hashed([{"a": {"text": half}}]).sha256 for half in ("\ud800", "\udc00", "\ufffd")]
    assert len(set(halves)) == 3


def test_rows_of_a_table_are_hashed_in_their_one_form() -> None:
    row = {
        "id": 1,
        "kind": "a.b",
        "detail": {"x": 3.0, "y": [1e22]},
        "created_at": datetime.now(UTC),
    }
    same = {**row, "detail": {"y": [10**22], "x": 3}}
    event = next(table for table in tables() if table.name == "event")
    columns = {column.name: None for column in event.columns}
    one, other = TableHash(), TableHash()
    one.add_rows(event, [{**columns, **row}])
    other.add_rows(event, [{**columns, **same}])
    assert one == other and row["detail"] == {"x": 3.0, "y": [1e22]}
    other.add_rows(event, [{**columns, **same, "kind": None}])
    assert one != other
