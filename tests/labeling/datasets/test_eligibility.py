"""Every standing that a judgment can have: its reason, the counts and the filters agree."""

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Engine, select
from sqlmodel import Session, col

from labeling.datasets.eligibility import (
    DECIDED,
    MODEL,
    OUT_OF_FIGURES,
    OUT_OF_TRAINING,
    counted,
    usable,
)
from labeling.datasets.project_judgments import project_judgments
from labeling.datasets.snapshot_query import ModelsRule, SnapshotQuery
from labeling.datasets.snapshots import create_snapshot
from labeling.keys import key_of
from labeling.statistics.judgment_columns import judgment_columns
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    Completion,
    Judgment,
    Project,
    Review,
    ReviewDecision,
    Task,
    TaskCompletion,
    TaskKind,
    Withdrawal,
)
from tests.labeling.stage import Stage, set_stage

KINDS = (TaskKind.ORDINARY, TaskKind.ARENA, TaskKind.GOLD)
DEEDS: tuple[tuple[str, ...], ...] = (
    (),
    ("corrected",),
    ("discarded",),
    ("discarded", "corrected"),
    ("corrected", "discarded"),
    ("discarded", "restored"),
    ("returned", "discarded", "corrected"),
)


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    """Return a project with every combination of account, kind of task, deeds and decision."""
    stage = set_stage(engine, project)
    prompt_id = stage.add_prompt("t")
    names: dict[str, dict[str, Any]] = {
        "ann": {},
        "off": {"active": False},
        "gone": {},
        "bot": {"kind": AccountKind.MODEL},
        "off bot": {"kind": AccountKind.MODEL, "active": False},
    }
    for name, values in names.items():
        stage.account(name)
        with writing(engine) as session:
            account = session.get_one(Account, stage.account(name))
            for field, value in values.items():
                setattr(account, field, value)
    with writing(engine) as session:
        for name, kind, deeds, decided in product(names, KINDS, DEEDS, (False, True)):
            _judged(session, stage, prompt_id, stage.account(name), kind, deeds, decided)
        session.add(
            Withdrawal(
                project_id=stage.project_id, annotator_id=stage.account("gone"), reason="wrong",
                by_id=stage.account("ann"),
            )
        )  # fmt: skip
    return stage


def _judged(
    session: Session, stage: Stage, prompt_id: int, account_id: int, kind: TaskKind,
    deeds: tuple[str, ...], decided: bool,
) -> None:  # fmt: skip
    task = Task(
        project_id=stage.project_id, prompt_id=prompt_id, policy_id=key_of(stage.policy), kind=kind
    )
    completions = [
        Completion(prompt_id=prompt_id, policy_id=key_of(stage.policy), text=text) for text in "ab"
    ]
    session.add_all([task, *completions])
    session.flush()
    for position, each in enumerate(completions):
        session.add(
            TaskCompletion(task_id=key_of(task), position=position, completion_id=key_of(each))
        )
    lent = Assignment(
        task_id=key_of(task), annotator_id=account_id, state=AssignmentState.SUBMITTED,
        expires_at=now(), order_seed=0,
        display_order=[0, 1],
    )  # fmt: skip
    session.add(lent)
    session.flush()
    newest = _judgment(session, stage, lent, None)
    for number, deed in enumerate(deeds):
        if deed == "corrected":
            newest = _judgment(session, stage, lent, newest.id)
        else:
            _review(session, stage, task, deed, judgment_id=newest.id, nonce=f"{lent.id}-{number}")
    if decided:
        _review(session, stage, task, "decided", ranks=[1, 2], nonce=f"{lent.id}")
    session.flush()


def _judgment(
    session: Session, stage: Stage, lent: Assignment, supersedes_id: int | None
) -> Judgment:
    made = Judgment(
        project_id=stage.project_id, task_id=lent.task_id, assignment_id=key_of(lent),
        annotator_id=lent.annotator_id, ranks=[1, 2], display_order=[0, 1], milliseconds=1,
        nonce=f"{lent.id}-{supersedes_id}", supersedes_id=supersedes_id,
    )  # fmt: skip
    session.add(made)
    session.flush()
    return made


def _review(session: Session, stage: Stage, task: Task, deed: str, **values: Any) -> None:
    session.add(
        Review(
            project_id=stage.project_id,
            task_id=key_of(task),
            decision=ReviewDecision(deed),
            by_id=stage.account("ann"),
            **values,
        )
    )
    session.flush()


def _reasons(
    session: Session, stage: Stage, models: ModelsRule, decisions: bool
) -> dict[int, str | None]:
    found = project_judgments(
        session,
        project_id=stage.project_id,
        models=models,
        decisions=decisions,
        prompts_at_once=10,
    )
    return {
        each.row["judgment_id"]: each.excluded
        for of_task in found
        for each in of_task
        if each.row["judgment_id"]
    }


def _where(session: Session, conditions: list[ColumnElement[bool]]) -> set[int]:
    statement = (
        select(col(Judgment.id))
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .where(*conditions)
    )
    return {row[0] for row in session.execute(statement)}


def test_reasons_counts_and_filters_agree(stage: Stage, tmp_path: Path) -> None:
    with reading(stage.engine) as session:
        reasons = _reasons(session, stage, "out", decisions=False)
        everything = {row[0] for row in session.execute(select(col(Judgment.id)))}
        in_figures, in_training = _where(session, counted()), _where(session, usable())
        columns = judgment_columns(session, project_id=stage.project_id)
        decided = _reasons(session, stage, "out", decisions=True)
        asked = _reasons(session, stage, "in", decisions=False)
    assert set(reasons) == everything
    assert set(filter(None, reasons.values())) == {
        *(reason.words for reason in OUT_OF_TRAINING),
        MODEL.words,
    }
    assert {one for one, why in reasons.items() if why is None} == in_training
    out = {reason.words for reason in OUT_OF_FIGURES}
    assert {one for one, why in reasons.items() if why not in out} == in_figures
    assert set(columns.judgment_id.tolist()) == in_figures
    assert {one for one, why in decided.items() if why is None} < in_training
    assert all(
        reasons[one] in (None, MODEL.words) for one, why in decided.items() if why == DECIDED
    )
    assert asked != reasons and {one for one in asked if asked[one] != reasons[one]} == {
        one for one, why in reasons.items() if why == MODEL.words
    }
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        snapshot = create_snapshot(
            session, project=project, folder=tmp_path / "snapshots", code_version="x",
            query=SnapshotQuery(decisions=False),
        )  # fmt: skip
    counts = Counter(why for why in reasons.values() if why)
    assert snapshot.manifest["judgments"] == len(in_training)
    assert snapshot.manifest["excluded"] == dict(sorted(counts.items()))
