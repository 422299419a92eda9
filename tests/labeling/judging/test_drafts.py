"""Drafts: kept whatever becomes of the lease, never over what came after them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from labeling.judging.drafts import (
    LARGEST_DRAFT_BYTES,
    draft_of,
    drop_draft,
    keep_draft,
    unfinished_correction,
)
from labeling.judging.judgments import skip_assignment
from labeling.work_queue.assignment import release_assignments
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, NotAllowed, NotFound
from storage.tables import Account, Assignment, Project
from tests.labeling.stage import Stage, set_stage

DRAFT = {"ranks_by_place": [2, 0, 1, 0], "rationale": "la première, 第一 🙂", "likert": {}}


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    made = set_stage(engine, project)
    made.add_task("Why?")
    return made


def keep(stage: Stage, assignment_id: int, name: str = "ann", **values: Any) -> bool:
    annotator_id = stage.account(name)
    given: dict[str, Any] = {"draft": DRAFT, **values}
    with writing(stage.engine) as session:
        return keep_draft(session, assignment_id=assignment_id, annotator_id=annotator_id, **given)


def kept(stage: Stage, assignment_id: int) -> Any:
    with reading(stage.engine) as session:
        return draft_of(session, assignment_id=assignment_id)


def change(stage: Stage, assignment_id: int, **values: Any) -> None:
    with writing(stage.engine) as session:
        row = session.get_one(Assignment, assignment_id)
        for name, value in values.items():
            setattr(row, name, value)


def test_the_newest_draft_is_kept(stage: Stage) -> None:
    task = stage.lend("ann")
    assert kept(stage, task.assignment_id) is None
    assert keep(stage, task.assignment_id)
    assert keep(stage, task.assignment_id, draft={**DRAFT, "rationale": "more"})
    assert kept(stage, task.assignment_id) == {**DRAFT, "rationale": "more"}


def test_an_expired_or_released_lease_keeps_its_draft(stage: Stage) -> None:
    task = stage.lend("ann")
    change(stage, task.assignment_id, expires_at=now() - timedelta(hours=1))
    assert keep(stage, task.assignment_id)
    with writing(stage.engine) as session:
        release_assignments(session, annotator_id=stage.account("ann"))
    assert keep(stage, task.assignment_id, draft={"rationale": "after"})
    again = stage.lend("ann")
    assert again.assignment_id == task.assignment_id
    assert again.display_order == task.display_order
    assert kept(stage, again.assignment_id) == {"rationale": "after"}


@pytest.mark.parametrize("strategy", ["priority", "breadth", "depth"])
def test_an_expired_lease_with_a_draft_comes_back_before_other_tasks(
    stage: Stage, strategy: str
) -> None:
    first = stage.lend("ann")
    keep(stage, first.assignment_id)
    change(stage, first.assignment_id, expires_at=now() - timedelta(hours=1))
    stage.add_task("More urgent", priority=9)
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        project.labeling = {"assignment": {"strategy": strategy}}
    assert stage.lend("ann").assignment_id == first.assignment_id
    assert stage.lend("bob").messages[0]["content"] == "More urgent"


def test_a_draft_of_a_task_that_others_filled_is_kept_but_not_lent(stage: Stage) -> None:
    first = stage.lend("ann")
    keep(stage, first.assignment_id)
    change(stage, first.assignment_id, expires_at=now() - timedelta(hours=1))
    stage.judge("bob", [1, 2, 3, 4])
    stage.add_task("Another")
    assert stage.lend("ann").assignment_id != first.assignment_id
    assert kept(stage, first.assignment_id) == DRAFT


def test_a_submit_ends_the_draft_and_a_late_one_is_stale(stage: Stage) -> None:
    task = stage.lend("ann")
    keep(stage, task.assignment_id)
    stage.submit("ann", task, [1, 2, 3, 4], "nonce-1")
    assert kept(stage, task.assignment_id) is None
    assert not keep(stage, task.assignment_id)
    assert kept(stage, task.assignment_id) is None


def test_a_skip_makes_a_late_draft_stale(stage: Stage) -> None:
    task = stage.lend("ann")
    with writing(stage.engine) as session:
        skip_assignment(
            session, assignment_id=task.assignment_id, annotator_id=stage.account("ann"), reason="x"
        )
    assert not keep(stage, task.assignment_id)


def unfinished(stage: Stage) -> int | None:
    with reading(stage.engine) as session:
        return unfinished_correction(
            session, project_id=stage.project_id, annotator_id=stage.account("ann")
        )


def test_a_correction_has_a_draft_of_its_own(stage: Stage) -> None:
    task = stage.lend("ann")
    stage.submit("ann", task, [1, 2, 3, 4], "nonce-1")
    assert unfinished(stage) is None
    assert keep(stage, task.assignment_id, judged_before=1)
    assert kept(stage, task.assignment_id) == DRAFT
    assert unfinished(stage) == task.assignment_id
    stage.submit("ann", task, [2, 1, 3, 4], "nonce-2")
    assert unfinished(stage) is None
    assert not keep(stage, task.assignment_id, judged_before=1)


def test_a_correction_can_be_given_up(stage: Stage) -> None:
    task = stage.lend("ann")
    stage.submit("ann", task, [1, 2, 3, 4], "nonce-1")
    keep(stage, task.assignment_id, judged_before=1)
    with writing(stage.engine) as session:
        drop_draft(session, assignment_id=task.assignment_id, annotator_id=stage.account("ann"))
    assert unfinished(stage) is None


def test_only_the_owner_keeps_a_draft(stage: Stage) -> None:
    task = stage.lend("ann")
    with pytest.raises(NotFound, match="not lent to you"):
        keep(stage, task.assignment_id, name="bob")
    with pytest.raises(NotFound, match="not lent to you"):
        keep(stage, 999)
    assert kept(stage, task.assignment_id) is None


def test_an_account_that_is_off_keeps_none(stage: Stage) -> None:
    task = stage.lend("ann")
    with writing(stage.engine) as session:
        session.get_one(Account, stage.account("ann")).active = False
    with pytest.raises(NotAllowed):
        keep(stage, task.assignment_id)


@pytest.mark.parametrize("draft", ["text", [], {"a": float("nan")}, {"a": {1, 2}}, None])
def test_only_json_objects_are_drafts(stage: Stage, draft: Any) -> None:
    task = stage.lend("ann")
    with pytest.raises(BadInput):
        keep(stage, task.assignment_id, draft=draft)


def test_a_draft_has_a_largest_size(stage: Stage) -> None:
    task = stage.lend("ann")
    room = LARGEST_DRAFT_BYTES - len('{"rationale": ""}')
    assert keep(stage, task.assignment_id, draft={"rationale": "x" * room})
    with pytest.raises(BadInput, match="200000 are the most"):
        keep(stage, task.assignment_id, draft={"rationale": "x" * (room + 1)})


def test_what_no_database_stores_is_left_out(stage: Stage) -> None:
    task = stage.lend("ann")
    keep(stage, task.assignment_id, draft={"rationale": "a\x00b \\u0000 \ud83d", "flags": ["\x00"]})
    assert kept(stage, task.assignment_id) == {"rationale": "ab \\u0000 ?", "flags": [""]}
