"""What a session keeps of fields that are not saved, without a browser."""

from types import SimpleNamespace
from typing import Any

import pytest

from ui import unsaved

WHY = unsaved.key_for("why", 1)
RANK = unsaved.key_for("rank", 1, 0)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found: dict[str, Any] = {}
    monkeypatch.setattr(unsaved, "st", SimpleNamespace(session_state=found))
    monkeypatch.setattr(unsaved, "keeper", lambda *, data, key, act: found.update(told=data))
    return found


def bring(state: dict[str, Any], kept: dict[str, Any]) -> None:
    """Do what the component does when it brings what the browser has kept."""
    state["keeper"] = {"brought": {"kept": kept}}
    unsaved._take()


def run(state: dict[str, Any]) -> dict[str, Any]:
    unsaved.keep(account_id=3, project_id=1)
    told: dict[str, Any] = state["told"]
    return told


def test_what_a_browser_brings_fills_its_field_once(state: dict[str, Any]) -> None:
    bring(state, {WHY: "both are wrong", RANK: 3})
    told = run(state)
    assert (told["owner"], told["brought"]) == ("3:1", True)
    unsaved.field(WHY)
    unsaved.field(RANK, among=range(1, 5))
    assert (state[WHY], state[RANK]) == ("both are wrong", 3)
    # What is on the page is newer.
    state[WHY] = "both are right"
    run(state)
    unsaved.field(WHY)
    assert state[WHY] == "both are right"


def test_what_no_field_can_hold_is_left_out(state: dict[str, Any]) -> None:
    bring(state, {WHY: 3, RANK: 7})
    unsaved.field(WHY)
    unsaved.field(RANK, among=range(1, 5))
    assert WHY not in state and RANK not in state


@pytest.mark.parametrize(
    "kept", [{"review_task": 5}, {"unsaved-why": {"a": 1}}, {"unsaved-why": "x" * 200_001}, "text"]
)
def test_nothing_but_kept_fields_is_taken_from_a_browser(state: dict[str, Any], kept: Any) -> None:
    bring(state, kept)
    told = run(state)
    assert told["typed"] == {} and "review_task" not in state


def test_what_is_saved_does_not_come_back(state: dict[str, Any]) -> None:
    state[WHY] = "both are wrong"
    run(state)
    unsaved.forget(WHY)
    assert state[WHY] == ""
    # The browser sent it again before it heard.
    bring(state, {WHY: "both are wrong"})
    assert run(state)["forgotten"] == [(1, WHY)]
    unsaved.field(WHY)
    assert state[WHY] == ""
    bring(state, {WHY: "on second thoughts"})
    unsaved.field(WHY)
    assert state[WHY] == "on second thoughts"


def test_a_field_that_is_emptied_stays_empty(state: dict[str, Any]) -> None:
    state[WHY], state[RANK] = "both are wrong", 2
    assert run(state)["typed"] == {WHY: "both are wrong"}
    state[WHY], state[RANK] = "", None
    told = run(state)
    assert (told["typed"], told["chosen"]) == ({}, {RANK: None})
