import json

import pytest

from labeling.webhooks.messages import KINDS, body_of, message_id, sources, told_by
from storage.tables import Event, Project


@pytest.mark.parametrize(
    ("kind", "detail", "told"),
    [
        ("judgment.stored", {"task_completed": False}, ("judgment.stored",)),
        ("judgment.stored", {"task_completed": True}, ("judgment.stored", "task.completed")),
        ("judgment.stored", {}, ("judgment.stored",)),
        ("review.decided", {}, ("task.completed",)),
        ("round.opened", {"state": "queued"}, ("round.started",)),
        ("round.advanced", {"state": "reward"}, ()),
        ("round.advanced", {"state": "done"}, ("round.published",)),
        ("round.advanced", {"state": "rejected"}, ("round.rejected",)),
        ("round.advanced", {"state": "failed"}, ("round.failed",)),
        ("export.written", {}, ("export.written",)),
        ("sign_in.opened", {}, ()),
    ],
)
def test_events_tell_what_their_detail_says(
    kind: str, detail: dict[str, object], told: tuple[str, ...]
) -> None:
    assert told_by(kind, detail) == told
    assert all(kind in sources([one]) for one in told)


def test_every_kind_has_an_event_that_tells_it() -> None:
    for kind in KINDS:
        details = [{"state": state} for state in ("done", "rejected", "failed")]
        tellings = [
            told_by(source, {"task_completed": True, **detail})
            for source in sources([kind])
            for detail in details
        ]
        assert any(kind in told for told in tellings)


def test_the_ids_of_two_projects_and_of_two_kinds_differ() -> None:
    one, other = Project(id=1, name="p"), Project(id=1, name="p")
    ids = {
        message_id(project, event, kind)
        for project in (one, other)
        for event in (1, 2)
        for kind in ("judgment.stored", "task.completed")
    }
    assert len(ids) == 8
    assert message_id(one, 1, "x") == message_id(one, 1, "x")


def test_hostile_text_is_a_json_string_and_nothing_else() -> None:
    event = Event(id=3, kind="alarm.raised", detail={"text": "</script>\n\u2028\ud800"})
    found = json.loads(body_of(Project(id=1, name="p"), event, "alarm.raised"))
    assert (found["type"], found["data"]["event_id"]) == ("alarm.raised", 3)
    assert found["data"]["text"] == "</script>\n\u2028\ud800"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_people_are_named_in_alarms_and_by_who_asked_for_a_round_alone(kind: str) -> None:
    named = {"alarm.raised", "alarm.cleared", "round.started"}
    event = Event(id=3, kind=sorted(sources([kind]))[0], personal={"words": ["Ada guesses."]})
    body = body_of(Project(id=1, name="p"), event, kind)
    assert (b"Ada" in body) == (kind in named)
