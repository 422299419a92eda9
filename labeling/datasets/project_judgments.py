"""A project's judgments with what they rank, prompt by prompt, and why some may not be used.

They are read a few hundred prompts at a time, so that memory does not grow with the project.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Select, bindparam, func, select, union
from sqlmodel import Session, col

from labeling.datasets.eligibility import DECIDED, MODEL, OUT_OF_TRAINING
from labeling.datasets.snapshot_query import ModelsRule
from labeling.datasets.snapshot_rows import canonical_json
from labeling.review.decisions import decided_labels
from storage.core import execute_core
from storage.tables import (
    Account,
    AccountKind,
    Completion,
    Judgment,
    Policy,
    Prompt,
    Review,
    ReviewDecision,
    Round,
    Task,
    TaskCompletion,
)

Row = dict[str, Any]

#: The mark of a model's judgment that stands instead of people's (`model_judgments.py`).
TAKEN = "taken"


@dataclass(frozen=True)
class Candidate:
    """A row that a snapshot might have (columns of `SCHEMA`), and why it may not (None: it may)."""

    row: Row
    excluded: str | None


@dataclass(frozen=True)
class _Standing:
    """What is known of the whole project before its judgments are read."""

    decided: dict[int, Row]
    models: ModelsRule


def project_judgments(
    session: Session,
    *,
    project_id: int,
    models: ModelsRule,
    decisions: bool,
    prompts_at_once: int,
) -> Iterator[list[Candidate]]:
    """Yield every judgment and standing decision of the project, one list a task.

    In the order of prompt, task and judgment; a lead's decision, with judgment_id 0, comes first.
    """
    standing = _Standing(
        decided=_decided(session, project_id) if decisions else {},
        models=models,
    )
    prompts = session.execute(_judged_prompts(project_id).order_by("prompt_id")).scalars().all()
    statements = _statements(project_id)
    for start in range(0, len(prompts), prompts_at_once):
        some = prompts[start : start + prompts_at_once]
        yield from _of_prompts(session, statements, some[0], some[-1], standing)


def count_judged_prompts(session: Session, *, project_id: int) -> int:
    """Return how many prompts have a judgment or a decision."""
    prompts = _judged_prompts(project_id).subquery()
    return session.execute(select(func.count()).select_from(prompts)).scalar_one()


def _decided(session: Session, project_id: int) -> dict[int, Row]:
    found = decided_labels(session, project_id=project_id)
    return {row["task_id"]: row for row in found.to_dict("records")}


def _judged_tasks(project_id: int) -> Select[Any]:
    both = union(
        select(col(Judgment.task_id)).where(col(Judgment.project_id) == project_id),
        select(col(Review.task_id)).where(
            col(Review.project_id) == project_id,
            col(Review.decision) == ReviewDecision.DECIDED,
        ),
    ).subquery()
    return select(both.c.task_id)


def _judged_prompts(project_id: int) -> Select[Any]:
    judged = col(Task.id).in_(_judged_tasks(project_id))
    return select(col(Task.prompt_id)).where(judged).distinct()


@dataclass(frozen=True)
class _Statements:
    """The statements of every few hundred prompts, built once: `first` and `last` are bound."""

    judgments: Select[Any]
    tasks: Select[Any]
    completions: Select[Any]


def _statements(project_id: int) -> _Statements:
    wanted = [
        # By `+ 0` no index on the project serves: without statistics SQLite would take it, and go
        # through all of the project's tasks for every few hundred prompts.
        col(Task.project_id) + 0 == project_id,
        col(Task.prompt_id).between(bindparam("first"), bindparam("last")),
    ]
    return _Statements(_judgments(wanted), _tasks(wanted), _completions(wanted))


def _of_prompts(
    session: Session, statements: _Statements, first: int, last: int, standing: _Standing
) -> Iterator[list[Candidate]]:
    between = {"first": first, "last": last}
    judgments = _judgments_by_task(_rows(session, statements.judgments, between))
    tasks = _rows(session, statements.tasks, between)
    completions = _completions_by_task(
        execute_core(session, statements.completions, **between).all()
    )
    for task in map(_task_row, tasks):
        key = task["task_id"]
        of_task = {**task, **completions[key]}
        found = _candidates(of_task, judgments.get(key, []), standing.decided.get(key), standing)
        if found:
            yield found


def _rows(session: Session, statement: Select[Any], bound: dict[str, int]) -> list[Row]:
    result = execute_core(session, statement, **bound)
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.all()]


def _candidates(
    task: Row, judgments: list[Row], decision: Row | None, standing: _Standing
) -> list[Candidate]:
    found = [] if decision is None else [Candidate(task | _decision_row(decision), None)]
    judged = [(task | judgment, _why_not(judgment, decision)) for judgment in judgments]
    people = any(why is None and row[MODEL.name] for row, why in judged)
    for row, why in judged:
        out = MODEL.words if why is None and not _model_may(row, standing.models, people) else why
        found.append(Candidate(row, out))
    return found


def _model_may(row: Row, models: ModelsRule, people: bool) -> bool:
    if row[MODEL.name] or models == "in":
        return True
    return models == "taken" and TAKEN in row["marks"] and not people


def _why_not(judgment: Row, decision: Row | None) -> str | None:
    """Return the first reason that keeps a judgment out of any snapshot."""
    for reason in OUT_OF_TRAINING:
        if not judgment[reason.name]:
            return reason.words
    return DECIDED if decision is not None else None


def _decision_row(decision: Row) -> Row:
    return {
        "judgment_id": 0,
        "ranks": decision["ranks"],
        "strength": None,
        "likert": "{}",
        "checks": "{}",
        "flags": [],
        "rationale": "",
        "milliseconds": 0,
        "guideline_version": None,
        "annotator_id": decision["by_id"],
        # Only people lead.
        "annotator_kind": AccountKind.PERSON.value,
        "created_at": decision["decided_at"],
        "marks": [],
    }


def _judgments(wanted: list[Any]) -> Any:
    return (
        select(
            col(Judgment.id).label("judgment_id"),
            col(Judgment.task_id),
            col(Judgment.ranks),
            col(Judgment.strength),
            col(Judgment.likert),
            col(Judgment.checks),
            col(Judgment.flags),
            col(Judgment.rationale),
            col(Judgment.milliseconds),
            col(Judgment.guideline_version),
            col(Judgment.annotator_id),
            col(Judgment.marks),
            col(Judgment.created_at),
            col(Account.kind).label("annotator_kind"),
            *(reason.absent().label(reason.name) for reason in (*OUT_OF_TRAINING, MODEL)),
        )
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .where(*wanted)
        .order_by(col(Judgment.task_id), col(Judgment.id))
    )


def _judgments_by_task(rows: list[Row]) -> dict[int, list[Row]]:
    judgments = map(_judgment_row, rows)
    return {task: list(given) for task, given in groupby(judgments, key=itemgetter("task_id"))}


def _judgment_row(row: Row) -> Row:
    # Most judgments have none, and there are many judgments.
    for name in ("likert", "checks"):
        row[name] = canonical_json(row[name]) if row[name] else "{}"
    row["annotator_kind"] = row["annotator_kind"].value
    return row


def _tasks(wanted: list[Any]) -> Any:
    return (
        select(
            col(Task.id).label("task_id"),
            col(Task.prompt_id),
            col(Prompt.split),
            col(Prompt.messages),
            col(Prompt.source),
            col(Prompt.license),
            col(Prompt.tags),
            col(Prompt.language),
            col(Policy.version).label("policy_version"),
            col(Round.number).label("round"),
        )
        .join(Prompt, col(Prompt.id) == col(Task.prompt_id))
        .join(Policy, col(Policy.id) == col(Task.policy_id))
        .join(Round, col(Round.id) == col(Policy.round_id), isouter=True)
        .where(*wanted)
        .order_by(col(Task.prompt_id), col(Task.id))
    )


def _task_row(row: Row) -> Row:
    row["split"], row["round"] = row["split"].value, row["round"] or 0
    row["messages"] = canonical_json(row["messages"])
    return row


def _completions(wanted: list[Any]) -> Any:
    return (
        select(
            col(TaskCompletion.task_id),
            col(Completion.id),
            col(Completion.text),
            col(Completion.finish_reason),
            col(Policy.version),
            col(Policy.name),
        )
        .join(Task, col(Task.id) == col(TaskCompletion.task_id))
        .join(Completion, col(Completion.id) == col(TaskCompletion.completion_id))
        .join(Policy, col(Policy.id) == col(Completion.policy_id))
        .where(*wanted)
        .order_by(col(TaskCompletion.task_id), col(TaskCompletion.position))
    )


def _completions_by_task(rows: Iterable[Any]) -> dict[int, Row]:
    found: dict[int, Row] = {}
    for task, of_task in groupby(rows, key=itemgetter(0)):
        _, *columns = zip(*of_task, strict=True)
        ids, texts, reasons, versions, names = map(list, columns)
        found[task] = {
            "completion_ids": ids,
            "completions": texts,
            "finish_reasons": reasons,
            "policy_versions": versions,
            "policies": names,
        }
    return found
