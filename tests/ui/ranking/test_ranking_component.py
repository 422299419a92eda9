"""What the component sends can be forged: every event is parsed and judged on this side."""

from typing import Any

import pytest
from sqlmodel import col, select

from labeling.judging.drafts import draft_of
from labeling.keys import key_of
from labeling.labeling_settings import change_labeling
from labeling.projects import get_project
from labeling.quality_control.known_answers import make_gold
from storage.engine import reading, writing
from storage.errors import BadInput
from storage.tables import Completion, Demonstration, Role, Task, TaskKind
from tests.ui.conftest import Home
from ui import process
from ui.components.ranking import (
    BeatEvent,
    Deed,
    DraftEvent,
    FlagEvent,
    RewriteEvent,
    SkipEvent,
    SubmitEvent,
    UndoEvent,
    parse,
)
from ui.languages import words_for
from ui.ranking import desk
from ui.ranking.sitting import Sitting

GOOD: dict[str, Any] = {
    "assignment": 1,
    "ranks_by_place": [1, 2, 3, 4],
    "nonce": "0123456789abcdef",
    "milliseconds": 900,
}
WORDS = words_for("en", None)


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
        ({"likert_by_place": {"helpful": [8, 1, 1, 1]}}, "likert_by_place.helpful.0"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput, match=f"sent a {field} that does not fit"):
        parse(SubmitEvent, {**GOOD, **change})


@pytest.mark.parametrize("value", [None, 7, "submit", [], {}])
@pytest.mark.parametrize(
    "kind",
    [SubmitEvent, SkipEvent, FlagEvent, UndoEvent, DraftEvent, BeatEvent, RewriteEvent],
)
def test_other_shapes_are_refused(kind: Any, value: object) -> None:
    with pytest.raises(BadInput):
        parse(kind, value)


class Seat:
    """An annotator at a page without a browser: what they are shown and what they do."""

    def __init__(self, home: Home, name: str) -> None:
        process.configure(home.settings)
        self.home, self.account, self.sitting = home, home.account(name), Sitting()
        self.look()

    def look(self) -> desk.Desk:
        midnight = desk.midnight_in("Europe/Berlin")
        self.desk = self.sitting.look(account=self.account, midnight=midnight, words=WORDS)
        return self.desk

    @property
    def assignment(self) -> int:
        assert self.desk.task is not None
        return self.desk.task.assignment_id

    def act(self, name: Deed, assignment: int = 0, **values: Any) -> str:
        """Do it, look again, and return what was refused, "" where nothing was."""
        self.sitting.refusal = None
        value = {"assignment": assignment or self.assignment, **values}
        self.sitting.act(account=self.account, name=name, value=value, words=WORDS)
        self.look()
        return self.sitting.refusal["text"] if self.sitting.refusal else ""

    def submit(self, ranks: list[int], nonce: str = GOOD["nonce"], **values: Any) -> str:
        more = {"ranks_by_place": ranks, "nonce": nonce, "milliseconds": 900, **values}
        return self.act("submit", **more)

    def draft(self, **draft: Any) -> str:
        return self.act("draft", serial=self.desk.serial, draft=draft)


@pytest.fixture
def seat(home: Home) -> Seat:
    return Seat(home, "ada")


def set_page(home: Home, **values: Any) -> None:
    with writing(home.engine) as session:
        project = get_project(session, name="default")
        change_labeling(session, project=project, by=None, section="page", values=values)


def test_ranks_by_place_are_stored_by_position(home: Home, seat: Seat) -> None:
    shown = seat.desk.task
    assert shown is not None
    assert seat.submit([1, 2, 3, 4]) == ""
    (judgment,) = home.judgments("ada")
    assert [judgment.ranks[position] for position in shown.display_order] == [1, 2, 3, 4]
    assert seat.assignment != shown.assignment_id


def test_answers_by_place_are_stored_by_position(home: Home, seat: Seat) -> None:
    set_page(home, criteria=[{"name": "helpful"}, {"name": "rude", "kind": "check"}])
    order = seat.desk.task.display_order if seat.desk.task else []
    answers = {
        "likert_by_place": {"helpful": [7, 5, None, 1]},
        "checks_by_place": {"rude": [True, False, False, None]},
        "flags": ["unsafe"],
        "rationale": "B is empty.",
    }
    assert seat.submit([1, 2, 3, 4], **answers) == ""
    (judgment,) = home.judgments("ada")
    assert [judgment.likert["helpful"][position] for position in order] == [7, 5, None, 1]
    assert [judgment.checks["rude"][position] for position in order] == [True, False, False, None]
    assert (judgment.flags, judgment.rationale) == (["unsafe"], "B is empty.")


@pytest.mark.parametrize("ranks", [[0, 1, 2, 3], [2, 3, 4, 4], [1, 2, 3], [1, 2, 3, 9]])
def test_ranks_that_do_not_fit_store_nothing(home: Home, seat: Seat, ranks: list[int]) -> None:
    before = seat.assignment
    assert seat.submit(ranks) != ""
    assert home.judgments("ada") == []
    assert seat.assignment == before


def test_nobody_acts_on_what_is_lent_to_another(home: Home, seat: Seat) -> None:
    bob = Seat(home, "bob")
    theirs = seat.assignment
    nonce = "0" * 8
    events: list[tuple[Deed, dict[str, Any]]] = [
        ("submit", {"ranks_by_place": [1, 2, 3, 4], "nonce": nonce, "milliseconds": 1}),
        ("skip", {"reason": "x", "nonce": nonce}),
        ("flag", {"flags": ["unsafe"], "nonce": nonce}),
        ("draft", {"serial": f"{theirs}.0", "draft": {"rationale": "x"}}),
        ("beat", {"at": "0"}),
        ("rewrite", {"place": 0, "text": "x", "nonce": nonce}),
    ]
    for name, values in events:
        said = bob.act(name, assignment=theirs, **values)
        assert "not lent to you" in said or "lent to somebody else" in said, name
    (untouched,) = home.assignments("ada")
    assert (untouched.state, untouched.draft) == ("leased", None)


def test_nothing_sent_to_the_page_says_whose_completion_is_whose(seat: Seat) -> None:
    data = seat.sitting.as_data(WORDS)
    assert set(data) == {
        "serial", "assignment", "messages", "completions", "layout", "page", "draft", "words",
        "language", "direction", "today", "total", "news", "can_undo", "guideline_version",
        "refusal", "feedback", "done", "sitting", "look", "direct",
    }  # fmt: skip
    assert set(data["page"]) == {"criteria", "strength", "flags", "rationale", "rewrites"}
    assert all(isinstance(text, str) for text in data["completions"])


def test_a_draft_is_there_for_the_next_sitting(home: Home, seat: Seat) -> None:
    assert seat.draft(ranks_by_place=[2, 0, 1, 0], rationale="half") == ""
    assert seat.desk.draft is None, "a showing keeps the draft with which it began"
    seat.sitting = Sitting()
    assert seat.look().draft == {"ranks_by_place": [2, 0, 1, 0], "rationale": "half"}


@pytest.mark.parametrize("serial", ["", "1", "x.0", "999.0", "1.-1", "1.x"])
def test_a_draft_of_another_showing_is_refused(home: Home, seat: Seat, serial: str) -> None:
    assert "another task" in seat.act("draft", serial=serial, draft={})


def test_a_late_draft_does_not_come_back_after_the_submit(home: Home, seat: Seat) -> None:
    serial, assignment = seat.desk.serial, seat.assignment
    seat.submit([1, 2, 3, 4])
    assert seat.act("draft", assignment=assignment, serial=serial, draft={"rationale": "old"}) == ""
    with reading(home.engine) as session:
        assert draft_of(session, assignment_id=assignment) is None


def test_undo_shows_what_was_answered_and_a_submit_supersedes(home: Home, seat: Seat) -> None:
    first = seat.assignment
    seat.submit([2, 1, 3, 3], rationale="so")
    second = seat.assignment
    assert seat.act("undo", at="0") == ""
    assert (seat.assignment, seat.desk.serial) == (first, f"{first}.1")
    assert seat.desk.draft is not None
    assert seat.desk.draft["ranks_by_place"] == [2, 1, 3, 3]
    assert seat.desk.draft["rationale"] == "so"
    seat.draft(ranks_by_place=[1, 2, 3, 4])
    seat.sitting = Sitting(
        correcting=desk.correction_begun(
            home.engine, project_id=process.project_id(), account=seat.account
        )
    )
    assert seat.look().draft == {"ranks_by_place": [1, 2, 3, 4]}
    seat.submit([1, 2, 3, 4], nonce="f" * 16)
    assert seat.assignment == second
    old, new = home.judgments("ada")
    assert new.supersedes_id == old.id


def test_the_same_submit_again_stores_once(home: Home, seat: Seat) -> None:
    first = seat.assignment
    seat.submit([1, 2, 3, 4])
    again = {"ranks_by_place": [1, 2, 3, 4], "nonce": GOOD["nonce"], "milliseconds": 900}
    assert seat.act("submit", assignment=first, **again) == ""
    assert len(home.judgments("ada")) == 1


@pytest.mark.parametrize(("deed", "said"), [("skip", {"reason": "x"}), ("flag", {"flags": ["x"]})])
def test_putting_aside_the_last_qualification_task_tells_the_result(
    home: Home, deed: Deed, said: dict[str, Any]
) -> None:
    lead = home.account("lena", Role.LEAD)
    with writing(home.engine) as session:
        task = session.exec(select(Task).order_by(col(Task.id)).limit(1)).one()
        kind = TaskKind.QUALIFICATION
        make_gold(session, task_id=key_of(task), ranks=[1, 2, 3, 4], by=lead, kind=kind)
    seat = Seat(home, "ada")
    asked, nonce = seat.assignment, GOOD["nonce"]
    for _ in range(2):
        assert seat.act(deed, asked, nonce=nonce, **said) == ""
        told = seat.sitting.as_data(WORDS)["feedback"]
        assert told["id"] == nonce and "0% of the pairs right" in told["text"]


def rewritten(home: Home) -> list[tuple[str, str]]:
    with reading(home.engine) as session:
        rows = session.exec(
            select(Demonstration.text, Completion.text).join(
                Completion, col(Completion.id) == col(Demonstration.rewritten_from_id)
            )
        )
        return [(written, original) for written, original in rows]


def test_a_rewrite_is_stored_once_with_what_it_was_written_from(home: Home, seat: Seat) -> None:
    before, shown = seat.assignment, seat.desk.task
    assert shown is not None
    for _ in range(2):
        assert seat.act("rewrite", place=2, text="Better.", nonce="0" * 8) == ""
    assert rewritten(home) == [("Better.", shown.completions[2])]
    assert seat.sitting.done == "0" * 8
    assert seat.sitting.feedback is not None
    assert seat.assignment == before
    assert "Nothing was shown in place 7" in seat.act("rewrite", place=7, text="x", nonce="1" * 8)


def test_rewrites_have_to_be_allowed(home: Home, seat: Seat) -> None:
    set_page(home, rewrites=False)
    assert "takes no rewritten" in seat.act("rewrite", place=0, text="x", nonce="0" * 8)


def test_a_flagged_task_makes_room_for_the_next(home: Home, seat: Seat) -> None:
    before = seat.assignment
    assert seat.act("flag", flags=["unsafe"], comment="look", nonce="0" * 8) == ""
    assert seat.assignment != before
    assert home.assignments("ada")[0].state == "flagged"


def test_a_heartbeat_keeps_the_task_lent(home: Home, seat: Seat) -> None:
    before = home.assignments("ada")[0].expires_at
    assert seat.act("beat", at="0") == ""
    assert home.assignments("ada")[0].expires_at > before
