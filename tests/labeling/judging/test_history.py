"""One's own judgments: newest first, as they were shown, and open to correction."""

from itertools import count

import pytest
from sqlalchemy import Engine, event
from sqlmodel import select

from labeling.judging.history import (
    OwnJudgment,
    count_returned,
    judged_task,
    own_judgments,
    reopen_judgment,
    returned_judgments,
)
from storage.engine import reading, writing
from storage.errors import NotFound
from storage.tables import Event, Judgment, Project, Review, ReviewDecision, Role
from tests.labeling.stage import Stage, set_stage

_nonces = (f"review-{number}" for number in count())


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    made = set_stage(engine, project, overlap=2)
    for number in range(5):
        made.add_task(f"Q{number}")
    return made


def history(stage: Stage, name: str = "ann", **values: int) -> list[OwnJudgment]:
    annotator_id = stage.account(name)
    with reading(stage.engine) as session:
        given = {"project_id": stage.project_id, "annotator_id": annotator_id, "count": 10}
        return own_judgments(session, **{**given, **values})  # type: ignore[arg-type]


def returned(stage: Stage, name: str = "ann") -> list[OwnJudgment]:
    annotator_id = stage.account(name)
    with reading(stage.engine) as session:
        found = returned_judgments(session, project_id=stage.project_id, annotator_id=annotator_id)
        assert len(found) == count_returned(
            session, project_id=stage.project_id, annotator_id=annotator_id
        )
    return found


def review(
    stage: Stage, judgment_id: int, decision: ReviewDecision, comment: str = "look again"
) -> None:
    lead = stage.account("lea", Role.LEAD)
    with writing(stage.engine) as session:
        judgment = session.get_one(Judgment, judgment_id)
        session.add(
            Review(
                project_id=stage.project_id, task_id=judgment.task_id, judgment_id=judgment_id,
                decision=decision, comment=comment, by_id=lead, nonce=next(_nonces),
            )
        )  # fmt: skip


def test_newest_first_and_paged_without_shifting(stage: Stage) -> None:
    for _ in range(3):
        stage.judge("ann", [1, 2, 3, 4])
    stage.judge("bob", [4, 3, 2, 1])
    first = history(stage, count=2)
    stage.judge("ann", [1, 2, 3, 4])
    rest = history(stage, before=first[-1].judgment_id)
    assert [each.messages[0]["content"] for each in first + rest] == ["Q2", "Q1", "Q0"]
    assert len(history(stage, "bob")) == 1


def test_a_longer_page_asks_no_more_questions(stage: Stage) -> None:
    asked: list[str] = []
    listener = lambda *given: asked.append(given[2])  # noqa: E731
    event.listen(stage.engine, "before_cursor_execute", listener)
    counts = []
    for _ in range(3):
        stage.judge("ann", [1, 2, 3, 4])
        asked.clear()
        history(stage)
        counts.append(len(asked))
    event.remove(stage.engine, "before_cursor_execute", listener)
    assert len(set(counts)) == 1


def test_it_is_what_was_shown(stage: Stage) -> None:
    task = stage.lend("ann")
    stage.submit("ann", task, [3, 1, 2, 2], "nonce-1")
    (own,) = history(stage)
    assert own.completions == task.completions
    by_text = dict(zip(own.completions, own.answers["ranks_by_place"], strict=True))
    assert by_text == {"Q0.0": 3, "Q0.1": 1, "Q0.2": 2, "Q0.3": 2}
    assert own.answers["rationale"] == "clear"
    assert not own.corrects


def test_criteria_come_back_in_the_order_shown(stage: Stage) -> None:
    task = stage.lend("ann")
    stage.submit("ann", task, [1, 2, 3, 4], "nonce-1")
    with writing(stage.engine) as session:
        judgment = session.exec(select(Judgment)).one()
        judgment.likert = {"helpful": [1, 2, 3, None]}
        judgment.checks = {"polite": [True, False, None, True]}
    answers = history(stage)[0].answers
    assert answers["likert"]["helpful"] == [[1, 2, 3, None][at] for at in task.display_order]
    assert answers["checks"]["polite"] == [
        [True, False, None, True][at] for at in task.display_order
    ]


def test_a_correction_takes_the_place_of_what_it_corrects(stage: Stage) -> None:
    task = stage.lend("ann")
    first = stage.submit("ann", task, [1, 2, 3, 4], "nonce-1")
    assert first.judgment_id is not None
    with writing(stage.engine) as session:
        assert task.assignment_id == reopen_judgment(
            session, annotator_id=stage.account("ann"), judgment_id=first.judgment_id
        )
    with reading(stage.engine) as session:
        again, answers = judged_task(
            session, annotator_id=stage.account("ann"), assignment_id=task.assignment_id
        )
    assert (again.completions, again.ranks) == (task.completions, [1, 2, 3, 4])
    assert answers["ranks_by_place"] == [[1, 2, 3, 4][at] for at in task.display_order]
    stage.submit("ann", again, [4, 3, 2, 1], "nonce-2")
    (own,) = history(stage)
    assert own.corrects
    assert own.judgment_id != first.judgment_id
    with reading(stage.engine) as session:
        session.exec(select(Event).where(Event.kind == "judgment.reopened")).one()


def test_nobody_reopens_what_is_not_theirs_or_was_corrected(stage: Stage) -> None:
    task = stage.lend("ann")
    first = stage.submit("ann", task, [1, 2, 3, 4], "nonce-1").judgment_id or 0
    stage.submit("ann", task, [4, 3, 2, 1], "nonce-2")
    for name, judgment_id in [("ann", first), ("bob", first + 1), ("ann", 999)]:
        with pytest.raises(NotFound), writing(stage.engine) as session:
            reopen_judgment(session, annotator_id=stage.account(name), judgment_id=judgment_id)
    with pytest.raises(NotFound), reading(stage.engine) as session:
        judged_task(session, annotator_id=stage.account("bob"), assignment_id=task.assignment_id)


def test_returned_judgments_stay_until_corrected(stage: Stage) -> None:
    first = stage.judge("ann", [1, 2, 3, 4]).judgment_id or 0
    second = stage.judge("ann", [1, 2, 3, 4]).judgment_id or 0
    of_bob = stage.judge("bob", [1, 2, 3, 4]).judgment_id or 0
    for judgment_id, comment in [(second, "Read C to its end."), (first, "Why?"), (of_bob, "!")]:
        review(stage, judgment_id, ReviewDecision.RETURNED, comment)
    assert [each.comment for each in returned(stage)] == ["Read C to its end.", "Why?"]
    task = stage.lend("ann")
    assert task.assignment_id not in [each.assignment_id for each in returned(stage)]
    with reading(stage.engine) as session:
        again, _ = judged_task(
            session,
            annotator_id=stage.account("ann"),
            assignment_id=returned(stage)[0].assignment_id,
        )
    stage.submit("ann", again, [2, 1, 3, 4], "corrected")
    assert [each.comment for each in returned(stage)] == ["Why?"]


@pytest.mark.parametrize("later", [ReviewDecision.KEPT, ReviewDecision.DISCARDED])
def test_a_newer_review_takes_it_off_the_list(stage: Stage, later: ReviewDecision) -> None:
    judgment_id = stage.judge("ann", [1, 2, 3, 4]).judgment_id or 0
    review(stage, judgment_id, ReviewDecision.RETURNED, "first")
    review(stage, judgment_id, ReviewDecision.RETURNED, "again")
    assert [each.comment for each in returned(stage)] == ["again"]
    review(stage, judgment_id, later)
    assert returned(stage) == []
