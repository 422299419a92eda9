"""Judgments by models: stored beside people's, marked, and taken without people where sure enough.

A model annotator is an account of kind MODEL. Its assignments take none of a task's overlap, and
its judgments enter no figure, snapshot or export unless asked for. Each is marked with what became
of the task: `taken` (no person is asked), `audit` (sure enough, and people judge it all the same)
or `unsure` (people judge it).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from uuid import uuid4

from sqlalchemy import exists, text
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from labeling.accounts import create_account
from labeling.datasets.eligibility import counted
from labeling.events import record
from labeling.judging.judgments import not_superseded
from labeling.judging.rankings import validate_ranks
from labeling.keys import key_of
from labeling.labeling_sections import ModelAnnotatorSettings
from labeling.withdrawals.conditions import withdrawn_at
from labeling.work_queue.assignment import takes_room
from storage.clock import now
from storage.errors import BadInput, Conflict
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    Completion,
    Judgment,
    Prompt,
    Role,
    Split,
    Task,
    TaskCompletion,
    TaskKind,
    TaskStatus,
)
from storage.tables.tasks import QUEUED_TASK


class Mark(StrEnum):
    """What became of a task that a model judged."""

    TAKEN = "taken"
    AUDIT = "audit"
    UNSURE = "unsure"


@dataclass(frozen=True)
class TaskToJudge:
    """A task as a model reads it: texts and why they ended, in task position order."""

    task_id: int
    messages: list[dict[str, str]]
    completions: list[str]
    finish_reasons: list[str]


@dataclass(frozen=True)
class ModelLabel:
    """A model's ranks in task position order, and how sure it is of its least sure pair."""

    ranks: list[int]
    confidence: float


def model_account(session: Session, *, name: str) -> Account:
    """Return the model annotator's account, made where there is none; nobody can sign in to it.

    Raises `Conflict` where somebody else has the name.
    """
    account = session.exec(select(Account).where(Account.name == name)).first()
    if account is None:
        return create_account(session, name=name, role=Role.ANNOTATOR, kind=AccountKind.MODEL)
    if account.kind is not AccountKind.MODEL:
        raise Conflict(f"The account {name} is no model's; rename it, the model needs the name.")
    return account


def tasks_to_judge(
    session: Session,
    *,
    project_id: int,
    annotator_id: int,
    limit: int,
    since: datetime | None = None,
) -> list[TaskToJudge]:
    """Return ready ordinary tasks that nobody works on or has judged, and the model has not.

    Its judgments from before `since` do not count: the model was another one then. A prompt that a
    model has taken is left alone until there is a newer policy, so that a model that is sure of
    everything does not label without end.
    """
    other = aliased(Task)
    taken = exists().where(
        col(other.prompt_id) == col(Task.prompt_id),
        col(other.policy_id) == col(Task.policy_id),
        col(other.status) == TaskStatus.DONE,
        col(other.judged) == 0,
    )
    known = exists().where(
        col(Assignment.task_id) == Task.id, col(Assignment.annotator_id) == annotator_id
    )
    if since is not None:
        known = known.where(col(Assignment.leased_at) >= since)
    statement = (
        select(Task.id)
        .where(
            text(QUEUED_TASK),
            Task.project_id == project_id,
            Task.kind == TaskKind.ORDINARY,
            Task.judged == 0,
            ~taken,
            ~known,
            ~exists().where(col(Assignment.task_id) == Task.id, takes_room(now())),
        )
        .order_by(col(Task.id))
        .limit(limit)
    )
    return _read(session, [key for key in session.exec(statement) if key is not None])


def judged_by_people(
    session: Session, *, project_id: int, limit: int
) -> list[tuple[TaskToJudge, list[list[int]]]]:
    """Return the newest tasks that people have judged, each with the ranks of each of them."""
    rows = session.exec(
        select(Judgment.task_id, Judgment.ranks)
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .where(Judgment.project_id == project_id, Account.kind != AccountKind.MODEL, *counted())
        .order_by(col(Judgment.id).desc())
        .limit(limit)
    ).all()
    rankings: dict[int, list[list[int]]] = {}
    for task_id, ranks in rows:
        rankings.setdefault(task_id, []).append(list(ranks))
    return [(one, rankings[one.task_id]) for one in _read(session, list(rankings))]


def store_model_judgment(
    session: Session,
    *,
    task_id: int,
    account: Account,
    label: ModelLabel,
    settings: ModelAnnotatorSettings,
) -> Mark | None:
    """Store what a model says of a task; where it is sure enough, the task is done without people.

    Held-out prompts are never taken: they measure the reward model; nor is anything while the
    model's judgments are withdrawn. Returns what became of the task; None, with nothing stored,
    where people have come first. A second judgment of the model supersedes its first. Raises
    `BadInput` where the label does not fit. The session must be writing.
    """
    task = session.exec(
        select(Task)
        .where(Task.id == task_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()
    if task.status is not TaskStatus.READY or _has_people(session, task):
        return None
    mark = _mark(session, task, account, label, settings)
    _store(session, task, account, label, mark)
    if mark is Mark.TAKEN:
        task.status = TaskStatus.DONE
        session.add(task)
    record(
        session,
        project_id=task.project_id,
        account_id=account.id,
        kind="judgment.by_model",
        task_id=task.id,
        mark=mark.value,
        confidence=label.confidence,
    )
    session.flush()
    return mark


def in_audit(task_id: int, share: float) -> bool:
    """Say whether people judge a task whatever a model thinks of it; the same for every model."""
    digest = sha256(f"audit/{task_id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48 < share


def _mark(
    session: Session,
    task: Task,
    account: Account,
    label: ModelLabel,
    settings: ModelAnnotatorSettings,
) -> Mark:
    prompt = session.get_one(Prompt, task.prompt_id)
    if label.confidence < settings.confidence or prompt.split is Split.HELDOUT:
        return Mark.UNSURE
    if withdrawn_at(session, project_id=task.project_id, annotator_id=key_of(account), at=now()):
        return Mark.UNSURE
    return Mark.AUDIT if in_audit(key_of(task), settings.audit) else Mark.TAKEN


def _has_people(session: Session, task: Task) -> bool:
    at_work = select(Assignment.id).where(Assignment.task_id == task.id, takes_room(now()))
    return session.exec(at_work.limit(1)).first() is not None


def _store(session: Session, task: Task, account: Account, label: ModelLabel, mark: Mark) -> None:
    k = session.exec(
        select(func.count()).select_from(TaskCompletion).where(TaskCompletion.task_id == task.id)
    ).one()
    if not 0.0 <= label.confidence <= 1.0:
        raise BadInput(f"A confidence is from 0 to 1, but {label.confidence} was given.")
    assignment, before = _assignment_of(session, task, key_of(account), k)
    judgment = Judgment(
        project_id=task.project_id,
        task_id=key_of(task),
        assignment_id=key_of(assignment),
        annotator_id=key_of(account),
        ranks=validate_ranks(label.ranks, k),
        confidence=label.confidence,
        marks=[mark.value],
        display_order=list(range(k)),
        nonce=f"model-{uuid4().hex}",
        supersedes_id=before.id if before else None,
    )
    session.add(judgment)
    session.flush()


def _assignment_of(
    session: Session, task: Task, account_id: int, k: int
) -> tuple[Assignment, Judgment | None]:
    """Return the model's assignment of the task, and its judgment of it so far."""
    at = now()
    found = session.exec(
        select(Assignment).where(
            Assignment.task_id == task.id, Assignment.annotator_id == account_id
        )
    ).first()
    assignment = found or Assignment(
        task_id=key_of(task),
        annotator_id=account_id,
        expires_at=at,
        order_seed=0,
        display_order=list(range(k)),
    )
    assignment.state, assignment.counted = AssignmentState.SUBMITTED, False
    assignment.leased_at = assignment.expires_at = at
    session.add(assignment)
    session.flush()
    before = session.exec(
        select(Judgment).where(Judgment.assignment_id == assignment.id, not_superseded())
    ).first()
    return assignment, before


def _read(session: Session, task_ids: Sequence[int]) -> list[TaskToJudge]:
    rows = session.exec(
        select(Task.id, Prompt.messages, Completion.text, Completion.finish_reason)
        .join(Prompt, col(Prompt.id) == col(Task.prompt_id))
        .join(TaskCompletion, col(TaskCompletion.task_id) == col(Task.id))
        .join(Completion, col(Completion.id) == col(TaskCompletion.completion_id))
        .where(col(Task.id).in_(task_ids))
        .order_by(col(Task.id), col(TaskCompletion.position))
    ).all()
    found: dict[int, TaskToJudge] = {}
    for task_id, messages, completion, reason in rows:
        assert task_id is not None
        one = found.setdefault(task_id, TaskToJudge(task_id, list(messages), [], []))
        one.completions.append(completion)
        one.finish_reasons.append(reason)
    return [found[task_id] for task_id in task_ids if task_id in found]
