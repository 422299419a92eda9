"""What is submitted besides the ranking, down to the stored row."""

from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select

from labeling.judging.judgments import submit_judgment
from labeling.quality_control.guidelines import publish_guidelines
from labeling.work_queue.assignment import AssignedTask
from storage.engine import reading, writing
from storage.errors import BadInput
from storage.tables import Judgment, Project
from tests.labeling.stage import Stage, set_stage

HELPFUL = {"name": "helpful", "kind": "likert"}
SAFE = {"name": "safe", "kind": "check"}


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project)
    stage.change("page", criteria=[HELPFUL, SAFE], rationale="required")
    return stage


def submit(stage: Stage, task: AssignedTask, **values: Any) -> int:
    """Submit with all that the project asks, but for what `values` says; return the judgment."""
    given: dict[str, Any] = {
        "ranks": [2, 1],
        "milliseconds": 60_000,
        "nonce": f"n{task.task_id}",
        "rationale": "The second answers.",
        "strength": 3,
        "likert": {"helpful": [1, 7]},
        "checks": {"safe": [True, None]},
        "flags": ["other", "other"],
    }
    given |= {"assignment_id": task.assignment_id, "annotator_id": stage.account("ann")}
    with writing(stage.engine) as session:
        return submit_judgment(session, **(given | values)).judgment_id or 0


def published(session: Session, stage: Stage, text: str) -> None:
    project = session.get_one(Project, stage.project_id)
    publish_guidelines(session, project=project, by=None, text=text)


def test_everything_that_was_answered_is_stored_with_the_guidelines_in_force(stage: Stage) -> None:
    for number, text in enumerate(("Be kind.", "Be brief."), start=1):
        with writing(stage.engine) as session:
            published(session, stage, text)
        stage.add_task(f"t{number}", k=2)
        submit(stage, stage.lend("ann"))
    with reading(stage.engine) as session:
        first, second = session.exec(select(Judgment).order_by("id")).all()
    assert (first.guideline_version, second.guideline_version) == (1, 2)
    assert (second.ranks, second.strength, second.flags) == ([2, 1], 3, ["other"])
    assert (second.likert, second.checks) == ({"helpful": [1, 7]}, {"safe": [True, None]})
    assert (second.rationale, second.marks) == ("The second answers.", [])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"strength": 5}, "must be 1 .* to 4"),
        ({"strength": True}, "must be 1 .* to 4"),
        ({"strength": 2, "ranks": [1, 1]}, "leave it out of a tie"),
        ({"likert": {"helpful": [0, 7]}}, "whole number from 1 to 7"),
        ({"likert": {"helpful": [1, 2, 3]}}, "must be 2, one for each completion"),
        ({"likert": {"safe": [1, 2]}}, "criteria have changed"),
        ({"checks": {"helpful": [True, True]}}, "criteria have changed"),
        ({"checks": {"safe": [1, 0]}}, "yes or no"),
        ({"rationale": " \n"}, "asks for a reason"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_stored(
    stage: Stage, values: dict[str, Any], said: str
) -> None:
    stage.add_task("t", k=2)
    task = stage.lend("ann")
    with pytest.raises(BadInput, match=said):
        submit(stage, task, **values)
    with reading(stage.engine) as session:
        assert session.exec(select(Judgment)).all() == []
    assert submit(stage, task), "the right answers are taken afterwards"


def test_a_strength_is_of_two_completions(stage: Stage) -> None:
    stage.add_task("t", k=3)
    task = stage.lend("ann")
    more = {"ranks": [1, 2, 3], "likert": None, "checks": None}
    with pytest.raises(BadInput, match="more than two"):
        submit(stage, task, **more)
    assert submit(stage, task, **more, strength=None)
