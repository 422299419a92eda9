"""An annotator's own judgments: to look at, with what was shown, and to correct."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.judging.judgments import not_superseded
from labeling.judging.rankings import places_from_ranks
from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.work_queue.assignment import AssignedTask, lock_annotator, shown_to
from storage.errors import NotFound
from storage.tables import (
    Assignment,
    Completion,
    Judgment,
    Prompt,
    Review,
    ReviewDecision,
    Task,
    TaskCompletion,
)

_OLDEST_FIRST = 2**31 - 1


@dataclass(frozen=True)
class OwnJudgment:
    """Hold a current judgment as its annotator saw it: lists are in the order shown.

    `corrects` says that it superseded an earlier one; `comment` is the lead's where the judgment
    was sent back (None: it was not).
    """

    judgment_id: int
    assignment_id: int
    created_at: datetime
    messages: list[dict[str, str]]
    completions: list[str]
    answers: dict[str, Any]
    corrects: bool
    comment: str | None = None


def own_judgments(
    session: Session, *, project_id: int, annotator_id: int, before: int | None = None, count: int
) -> list[OwnJudgment]:
    """Return the annotator's newest `count` current judgments, newest first.

    `before` is the judgment after which to go on: a page begins where the one before it ended, so
    new judgments shift nothing.
    """
    found = session.exec(
        select(Judgment)
        .where(
            Judgment.project_id == project_id,
            Judgment.annotator_id == annotator_id,
            not_superseded(),
            col(Judgment.id) < (before or _OLDEST_FIRST),
        )
        .order_by(col(Judgment.id).desc())
        .limit(count)
    ).all()
    return _as_seen(session, [(judgment, None) for judgment in found])


def returned_judgments(
    session: Session, *, project_id: int, annotator_id: int
) -> list[OwnJudgment]:
    """Return the annotator's current judgments that a lead sent back, oldest return first.

    A judgment is off the list once it is corrected, or reviewed anew.
    """
    newer = aliased(Review)
    found = session.exec(
        select(Judgment, Review.comment)
        .join(Review, col(Review.judgment_id) == col(Judgment.id))
        .where(
            Judgment.project_id == project_id,
            Judgment.annotator_id == annotator_id,
            not_superseded(),
            Review.decision == ReviewDecision.RETURNED,
            ~select(newer.id)
            .where(newer.judgment_id == Review.judgment_id, col(newer.id) > col(Review.id))
            .exists(),
        )
        .order_by(col(Review.id))
    ).all()
    return _as_seen(session, found)


def count_returned(session: Session, *, project_id: int, annotator_id: int) -> int:
    """Count what `returned_judgments` gives, without what was shown."""
    newer = aliased(Review)
    return session.exec(
        select(func.count())
        .select_from(Review)
        .join(Judgment, col(Review.judgment_id) == col(Judgment.id))
        .where(
            Review.project_id == project_id,
            Review.decision == ReviewDecision.RETURNED,
            Judgment.annotator_id == annotator_id,
            not_superseded(),
            ~select(newer.id)
            .where(newer.judgment_id == Review.judgment_id, col(newer.id) > col(Review.id))
            .exists(),
        )
    ).one()


def reopen_judgment(session: Session, *, annotator_id: int, judgment_id: int) -> int:
    """Let the annotator correct a current judgment of theirs; return its assignment.

    The old judgment counts until a new one is submitted for the same assignment. Raises `NotFound`
    where it is not theirs or was corrected already, `NotAllowed`.
    """
    annotator = lock_annotator(session, annotator_id)
    judgment = session.exec(
        select(Judgment).where(Judgment.id == judgment_id, not_superseded())
    ).first()
    if judgment is None or judgment.annotator_id != annotator_id:
        raise NotFound("This judgment is not there to be corrected; load the page again.")
    require(annotator, Action.JUDGE, project_id=judgment.project_id)
    record(
        session,
        project_id=judgment.project_id,
        account_id=annotator_id,
        kind="judgment.reopened",
        judgment_id=judgment_id,
        task_id=judgment.task_id,
        assignment_id=judgment.assignment_id,
    )
    return judgment.assignment_id


def judged_task(
    session: Session, *, annotator_id: int, assignment_id: int
) -> tuple[AssignedTask, dict[str, Any]]:
    """Return what was shown under a judged assignment, and what the annotator last answered.

    The answers are as `answers_of` gives them. Raises `NotFound` where they have not judged it.
    """
    judgment = session.exec(
        select(Judgment).where(
            Judgment.assignment_id == assignment_id,
            Judgment.annotator_id == annotator_id,
            not_superseded(),
        )
    ).first()
    if judgment is None:
        raise NotFound("There is no judgment of yours to correct yet.")
    assignment = session.get_one(Assignment, assignment_id)
    return shown_to(session, assignment, ranks=list(judgment.ranks)), answers_of(judgment)


def comment_on(session: Session, *, assignment_id: int) -> str:
    """Return the lead's comment where the assignment's current judgment was sent back, else ""."""
    newest = session.exec(
        select(Review)
        .join(Judgment, col(Judgment.id) == col(Review.judgment_id))
        .where(Judgment.assignment_id == assignment_id, not_superseded())
        .order_by(col(Review.id).desc())
        .limit(1)
    ).first()
    returned = newest is not None and newest.decision == ReviewDecision.RETURNED
    return newest.comment if newest is not None and returned else ""


def answers_of(judgment: Judgment) -> dict[str, Any]:
    """Return what the annotator answered, as a draft holds it: every list in the order shown."""
    order = judgment.display_order
    return {
        "ranks_by_place": places_from_ranks(order, judgment.ranks),
        "strength": judgment.strength,
        "likert": {
            name: [values[position] for position in order]
            for name, values in judgment.likert.items()
        },
        "checks": {
            name: [values[position] for position in order]
            for name, values in judgment.checks.items()
        },
        "flags": list(judgment.flags),
        "rationale": judgment.rationale,
    }


def _as_seen(session: Session, found: Sequence[tuple[Judgment, str | None]]) -> list[OwnJudgment]:
    """Return judgments, each with a lead's comment, and the texts that were shown for them."""
    task_ids = {judgment.task_id for judgment, _ in found}
    messages, texts = _messages(session, task_ids), _texts(session, task_ids)
    return [
        OwnJudgment(
            judgment_id=key_of(judgment),
            assignment_id=judgment.assignment_id,
            created_at=judgment.created_at,
            messages=messages[judgment.task_id],
            completions=[texts[judgment.task_id, place] for place in judgment.display_order],
            answers=answers_of(judgment),
            corrects=judgment.supersedes_id is not None,
            comment=comment,
        )
        for judgment, comment in found
    ]


def _messages(session: Session, task_ids: set[int]) -> dict[int, list[dict[str, str]]]:
    rows = session.exec(
        select(Task.id, Prompt.messages)
        .join(Prompt, col(Prompt.id) == col(Task.prompt_id))
        .where(col(Task.id).in_(task_ids))
    )
    return {key: list(messages) for key, messages in rows if key is not None}


def _texts(session: Session, task_ids: set[int]) -> dict[tuple[int, int], str]:
    """Return the completions by task and position."""
    rows = session.exec(
        select(TaskCompletion.task_id, TaskCompletion.position, Completion.text)
        .join(Completion, col(Completion.id) == col(TaskCompletion.completion_id))
        .where(col(TaskCompletion.task_id).in_(task_ids))
    )
    return {(task_id, position): text for task_id, position, text in rows}
