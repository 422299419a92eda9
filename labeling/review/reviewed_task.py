"""A task as a lead reviews it: its texts, everybody's judgments, and what leads decided."""

from dataclasses import dataclass
from datetime import datetime
from math import isnan
from typing import Any

from sqlmodel import Session, col, select

from labeling.judging.judgments import not_superseded
from labeling.judging.pace import FAST
from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.review.decisions import discarded_judgments
from labeling.statistics.measured_times import seconds_of
from storage.errors import NotFound
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    Completion,
    Judgment,
    Prompt,
    Review,
    ReviewDecision,
    Task,
    TaskCompletion,
    TaskStatus,
)


@dataclass(frozen=True)
class ReviewedJudgment:
    """Hold a current judgment with who gave it; lists are in task position order.

    `seconds` is None where nobody measured them. `corrects` says that it superseded an earlier one;
    `returned` that it was sent back and its annotator has not judged again; `discarded` that it is
    left out of everything.
    """

    judgment_id: int
    annotator: str
    kind: AccountKind
    ranks: list[int]
    strength: int | None
    answers: dict[str, list[Any]]
    flags: list[str]
    marks: list[str]
    rationale: str
    seconds: float | None
    created_at: datetime
    corrects: bool
    returned: bool
    discarded: bool


@dataclass(frozen=True)
class PutAside:
    """Say who skipped or flagged the task, and what they said."""

    annotator: str
    state: AssignmentState
    flags: list[str]
    said: str


@dataclass(frozen=True)
class PastDecision:
    """Hold what a lead did: about the task, or about the judgment of `annotator`."""

    by: str
    decision: ReviewDecision
    annotator: str | None
    ranks: list[int] | None
    said: str
    created_at: datetime


@dataclass(frozen=True)
class ReviewedTask:
    """Hold all that a lead sees of a task; no policy is named, so that a decision is blind too."""

    task_id: int
    status: TaskStatus
    messages: list[dict[str, str]]
    completions: list[str]
    judgments: list[ReviewedJudgment]
    put_aside: list[PutAside]
    decisions: list[PastDecision]


def reviewed_task(
    session: Session, *, project_id: int, task_id: int, account: Account
) -> ReviewedTask:
    """Return the task with everything that was said of it; raise `NotFound`, `NotAllowed`."""
    require(account, Action.REVIEW, project_id=project_id)
    found = session.exec(
        select(Task, Prompt.messages)
        .join(Prompt, col(Prompt.id) == col(Task.prompt_id))
        .where(Task.id == task_id, Task.project_id == project_id)
    ).first()
    if found is None:
        raise NotFound(f"There is no task {task_id} in this project; choose another in the queue.")
    task, messages = found
    return ReviewedTask(
        task_id=task_id,
        status=task.status,
        messages=list(messages),
        completions=_completions(session, task_id),
        judgments=_judgments(session, task),
        put_aside=_put_aside(session, task_id),
        decisions=_decisions(session, task_id),
    )


def _completions(session: Session, task_id: int) -> list[str]:
    return list(
        session.exec(
            select(Completion.text)
            .join(TaskCompletion, col(TaskCompletion.completion_id) == col(Completion.id))
            .where(TaskCompletion.task_id == task_id)
            .order_by(col(TaskCompletion.position))
        )
    )


def _judgments(session: Session, task: Task) -> list[ReviewedJudgment]:
    discarded = discarded_judgments(session, project_id=task.project_id, task_id=task.id)
    about = session.exec(
        select(Review.judgment_id, Review.decision)
        .where(Review.task_id == task.id, col(Review.judgment_id).is_not(None))
        .order_by(col(Review.id))
    ).all()
    last = dict(about)
    rows = session.exec(
        select(Judgment, Account.name, Account.kind)
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .where(Judgment.task_id == task.id, not_superseded())
        .order_by(col(Judgment.id))
    ).all()
    return [
        ReviewedJudgment(
            judgment_id=key_of(one),
            annotator=name,
            kind=AccountKind(kind),
            ranks=list(one.ranks),
            strength=one.strength,
            answers={**one.likert, **one.checks},
            flags=list(one.flags),
            marks=list(one.marks),
            rationale=one.rationale,
            seconds=_seconds(one),
            created_at=one.created_at,
            corrects=one.supersedes_id is not None,
            returned=last.get(one.id) is ReviewDecision.RETURNED,
            discarded=one.id in discarded,
        )
        for one, name, kind in rows
    ]


def _seconds(one: Judgment) -> float | None:
    (found,) = seconds_of([one.milliseconds], [FAST in one.marks]).tolist()
    return None if isnan(found) else found


def _put_aside(session: Session, task_id: int) -> list[PutAside]:
    rows = session.exec(
        select(Assignment, Account.name)
        .join(Account, col(Account.id) == col(Assignment.annotator_id))
        .where(
            Assignment.task_id == task_id,
            col(Assignment.state).in_([AssignmentState.SKIPPED, AssignmentState.FLAGGED]),
        )
        .order_by(col(Assignment.id))
    ).all()
    return [
        PutAside(name, one.state, list(one.flags or []), one.skip_reason or "")
        for one, name in rows
    ]


def _decisions(session: Session, task_id: int) -> list[PastDecision]:
    named = session.exec(
        select(Judgment.id, Account.name)
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .where(Judgment.task_id == task_id)
    ).all()
    names = dict(named)
    rows = session.exec(
        select(Review, Account.name)
        .join(Account, col(Account.id) == col(Review.by_id))
        .where(Review.task_id == task_id)
        .order_by(col(Review.id))
    ).all()
    return [
        PastDecision(
            by=name,
            decision=one.decision,
            annotator=names.get(one.judgment_id) if one.judgment_id else None,
            ranks=one.ranks,
            said=" ".join(filter(None, [one.reason, one.comment])),
            created_at=one.created_at,
        )
        for one, name in rows
    ]
