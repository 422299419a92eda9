"""What the component sends can be forged: every event is parsed and judged on this side."""

from typing import Any

import pytest

from storage.errors import BadInput, NotFound
from tests.ui.conftest import Home
from ui import desk, process
from ui.components.ranking import SkipEvent, SubmitEvent, UndoEvent, parse
from ui.views.rank import act

GOOD: dict[str, Any] = {
    "assignment": 1,
    "ranks_by_place": [1, 2, 3, 4],
    "nonce": "0123456789abcdef",
    "milliseconds": 900,
}


def test_what_the_page_sends_is_taken() -> None:
    assert parse(SubmitEvent, GOOD).ranks_by_place == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"assignment": "1"}, "assignment"),
        ({"assignment": 1.0}, "assignment"),
        ({"ranks_by_place": "1234"}, "ranks_by_place"),
        ({"ranks_by_place": [1, 2, 3, True]}, "ranks_by_place.3"),
        ({"ranks_by_place": [1] * 10}, "ranks_by_place"),
        ({"nonce": "<b>"}, "nonce"),
        ({"milliseconds": -1}, "milliseconds"),
        ({"annotator": 2}, "annotator"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput, match=f"sent a {field} that does not fit"):
        parse(SubmitEvent, {**GOOD, **change})


@pytest.mark.parametrize("value", [None, 7, "submit", [], {}])
@pytest.mark.parametrize("kind", [SubmitEvent, SkipEvent, UndoEvent])
def test_other_shapes_are_refused(kind: Any, value: object) -> None:
    with pytest.raises(BadInput):
        parse(kind, value)


def look(home: Home, name: str) -> tuple[Any, desk.Desk]:
    process.configure(home.settings)
    account = home.account(name)
    return account, desk.look(
        process.engine(),
        project=process.project(),
        account=account,
        minutes=5,
        midnight=desk.midnight_in("Europe/Berlin"),
    )


def test_ranks_by_place_are_stored_by_position(home: Home) -> None:
    account, found = look(home, "ada")
    assert found.task is not None
    act(account, "submit", {**GOOD, "assignment": found.task.assignment_id})
    (judgment,) = home.judgments("ada")
    assert [judgment.ranks[position] for position in found.task.display_order] == [1, 2, 3, 4]


@pytest.mark.parametrize("ranks", [[0, 1, 2, 3], [2, 3, 4, 4], [1, 2, 3], [1, 2, 3, 9]])
def test_ranks_that_do_not_fit_store_nothing(home: Home, ranks: list[int]) -> None:
    account, found = look(home, "ada")
    assert found.task is not None
    with pytest.raises(BadInput):
        act(
            account,
            "submit",
            {**GOOD, "assignment": found.task.assignment_id, "ranks_by_place": ranks},
        )
    assert home.judgments("ada") == []


def test_nobody_judges_or_skips_what_is_lent_to_another(home: Home) -> None:
    _, of_ada = look(home, "ada")
    bob, _ = look(home, "bob")
    assert of_ada.task is not None
    theirs = of_ada.task.assignment_id
    with pytest.raises(NotFound, match="not lent to you"):
        act(bob, "submit", {**GOOD, "assignment": theirs})
    with pytest.raises(Exception, match="lent to somebody else"):
        act(bob, "skip", {"assignment": theirs, "reason": "x", "nonce": "0" * 8})
    assert home.assignments("ada")[0].state == "leased"


def test_nothing_sent_to_the_page_says_whose_completion_is_whose(home: Home) -> None:
    _, found = look(home, "ada")
    data = found.as_data(serial="1", refusal=None)
    assert set(data) == {
        "serial", "assignment", "messages", "completions", "ranks", "today", "total", "news",
        "can_undo", "refusal",
    }  # fmt: skip
    assert all(isinstance(text, str) for text in data["completions"])
