"""What leads do with judged tasks and judgments: append-only, each once by its nonce.

Nothing here changes a judgment. What a decision means for training, figures and export is in
`labeling/review/decisions.py` and `labeling/datasets/eligibility.py`.
"""

from collections.abc import Sequence

from sqlmodel import Session, func, select

from labeling.events import record
from labeling.judging.judging import who_could_judge
from labeling.judging.judgments import not_superseded
from labeling.judging.rankings import validate_ranks
from labeling.keys import key_of
from labeling.people.sign_ins import may_sign_in
from labeling.permissions import PERMITTED, Action, require, role_of
from labeling.quality_control.known_answers import KINDS, known_by_copy
from labeling.review.decisions import REAL_WORK
from labeling.texts import storable
from labeling.work_queue.assignment import takes_room
from storage.clock import now
from storage.errors import BadInput, Conflict, NotFound
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    Judgment,
    Review,
    ReviewDecision,
    Task,
    TaskCompletion,
    TaskStatus,
)

LONGEST_TEXT = 10_000
_PUT_ASIDE = (AssignmentState.SKIPPED, AssignmentState.FLAGGED)


def decide(
    session: Session, *, task_id: int, ranks: Sequence[int], by: Account, nonce: str, reason: str
) -> Review:
    """Make the lead's ranking (in task position order) the task's label; nobody else is asked.

    The judgments stay. Raises `BadInput` where the ranks do not fit, `Conflict` where the task only
    tests annotators, `NotFound`, `NotAllowed`.
    """
    task = _locked_task(session, task_id, by)
    if task.kind not in REAL_WORK:
        raise Conflict(
            f"This {task.kind.value} task only tests annotators, so there is no label to decide; "
            "keep it as it is or withdraw it."
        )
    k = session.exec(
        select(func.count()).select_from(TaskCompletion).where(TaskCompletion.task_id == task_id)
    ).one()
    review = _review(task, ReviewDecision.DECIDED, by, nonce, reason=reason)
    review.ranks = validate_ranks(ranks, k)
    if (stored := _stored_before(session, review)) is not None:
        return stored
    task.status = TaskStatus.DONE
    return _store(session, review, task)


def keep(session: Session, *, task_id: int, by: Account, nonce: str, comment: str = "") -> Review:
    """Leave the task's judgments as they are: it is off the queue until something new is said.

    A gold or qualification task stays in its set. Raises `Conflict` where nobody could judge an
    other task, `NotFound`, `NotAllowed`.
    """
    task = _locked_task(session, task_id, by)
    review = _review(task, ReviewDecision.KEPT, by, nonce, comment=comment)
    if (stored := _stored_before(session, review)) is not None:
        return stored
    if task.status == TaskStatus.REVIEW and task.kind in KINDS:
        task.status = TaskStatus.READY
    elif task.status == TaskStatus.REVIEW:
        if task.judged == 0:
            raise Conflict(
                "Nobody has judged this task; decide on it, give it to more people or withdraw it."
            )
        task.status = TaskStatus.DONE
    return _store(session, review, task)


def withdraw(session: Session, *, task_id: int, by: Account, nonce: str, reason: str) -> Review:
    """Ask nobody else to judge the task; what was judged of it stays.

    Raises `BadInput` without a reason, `NotFound`, `NotAllowed`.
    """
    task = _locked_task(session, task_id, by)
    review = _review(task, ReviewDecision.WITHDRAWN, by, nonce, reason=_given(reason, "reason"))
    if (stored := _stored_before(session, review)) is not None:
        return stored
    task.status = TaskStatus.WITHDRAWN
    return _store(session, review, task)


def requeue(
    session: Session, *, task_id: int, by: Account, nonce: str, comment: str = ""
) -> Review:
    """Give the task to one more annotator; a lead's earlier decision on it no longer holds.

    A task that was closed to everybody is opened again to those who skipped or flagged it. Raises
    `Conflict` where everybody who could judge it has, or where a copy of it has a known answer:
    who met the one would know the other; `NotFound`, `NotAllowed`.
    """
    task = _locked_task(session, task_id, by)
    review = _review(task, ReviewDecision.REQUEUED, by, nonce, comment=comment)
    if (stored := _stored_before(session, review)) is not None:
        return stored
    if known_by_copy(session, task_ids=[task_id]):
        raise Conflict(
            f"A copy of task {task_id} is a gold or qualification task, and who met that would "
            "know this one; withdraw the copy first (Known answers)."
        )
    _open_to_somebody(session, task)
    taken = session.exec(
        select(func.count())
        .select_from(Assignment)
        .where(Assignment.task_id == task_id, takes_room(now()))
    ).one()
    task.overlap = max(task.overlap, taken + 1)
    task.status = TaskStatus.READY
    return _store(session, review, task)


def send_back(
    session: Session, *, judgment_id: int, by: Account, nonce: str, comment: str
) -> Review:
    """Ask a judgment's annotator to judge again; the judgment counts until they have.

    Raises `BadInput` without a comment, `Conflict` where nobody is there to read it, `NotFound`,
    `NotAllowed`.
    """
    judgment, task = _locked_judgment(session, judgment_id, by)
    review = _review(task, ReviewDecision.RETURNED, by, nonce, comment=_given(comment, "comment"))
    review.judgment_id = judgment_id
    if (stored := _stored_before(session, review)) is not None:
        return stored
    annotator = session.get_one(Account, judgment.annotator_id)
    if not _is_there(annotator, task.project_id):
        raise Conflict(
            f"{annotator.name} cannot judge again; decide on the task or discard the judgment."
        )
    return _store(session, review, task)


def discard(session: Session, *, judgment_id: int, by: Account, nonce: str, reason: str) -> Review:
    """Leave a judgment out of snapshots, figures and exports, until it is restored.

    Raises `BadInput` without a reason, `NotFound`, `NotAllowed`.
    """
    _, task = _locked_judgment(session, judgment_id, by)
    review = _review(task, ReviewDecision.DISCARDED, by, nonce, reason=_given(reason, "reason"))
    review.judgment_id = judgment_id
    if (stored := _stored_before(session, review)) is not None:
        return stored
    return _store(session, review, task)


def restore(session: Session, *, judgment_id: int, by: Account, nonce: str) -> Review:
    """Let a discarded judgment count again; raise `NotFound`, `NotAllowed`."""
    _, task = _locked_judgment(session, judgment_id, by)
    review = _review(task, ReviewDecision.RESTORED, by, nonce)
    review.judgment_id = judgment_id
    if (stored := _stored_before(session, review)) is not None:
        return stored
    return _store(session, review, task)


def _is_there(annotator: Account, project_id: int) -> bool:
    """Say whether somebody signs in to the account and may judge in the project."""
    role = role_of(annotator, project_id)
    may = role is not None and Action.JUDGE in PERMITTED[role]
    return may and annotator.kind == AccountKind.PERSON and may_sign_in(annotator)


def _open_to_somebody(session: Session, task: Task) -> None:
    """Open the task again to those who put it aside, where nobody else is left to judge it."""
    rows = session.exec(select(Assignment).where(Assignment.task_id == task.id)).all()
    busy = {row.annotator_id for row in rows if _has_judged_or_holds(row)}
    free = set(who_could_judge(session, task)) - busy
    if not free:
        raise Conflict(
            "Everybody who could judge this task has judged it or holds it now; "
            "add an annotator or choose something else."
        )
    aside = [row for row in rows if row.state in _PUT_ASIDE]
    if task.status == TaskStatus.REVIEW or free <= {row.annotator_id for row in aside}:
        for assignment in aside:
            assignment.state = AssignmentState.RELEASED
            session.add(assignment)


def _has_judged_or_holds(assignment: Assignment) -> bool:
    held = assignment.state == AssignmentState.LEASED and assignment.expires_at > now()
    return held or assignment.state == AssignmentState.SUBMITTED


def _locked_task(session: Session, task_id: int, by: Account) -> Task:
    task = session.exec(
        select(Task)
        .where(Task.id == task_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).first()
    if task is None:
        raise NotFound(f"There is no task {task_id}; choose another in the review queue.")
    require(by, Action.REVIEW, project_id=task.project_id)
    return task


def _locked_judgment(session: Session, judgment_id: int, by: Account) -> tuple[Judgment, Task]:
    judgment = session.get(Judgment, judgment_id)
    if judgment is None:
        raise NotFound(f"There is no judgment {judgment_id}; choose another in the review queue.")
    task = _locked_task(session, judgment.task_id, by)
    # Under the lock: the annotator's correction may have come in between.
    current = select(Judgment.id).where(Judgment.id == judgment_id, not_superseded())
    if session.exec(current).first() is None:
        raise NotFound("This judgment was changed by its annotator; look at the newer one.")
    return judgment, task


def _stored_before(session: Session, review: Review) -> Review | None:
    """Return the decision that a double click or a retry has stored already, if it said the same.

    Raises `Conflict` where it said something else: what is asked for now was not stored.
    """
    stored = session.exec(select(Review).where(Review.nonce == review.nonce)).first()
    if stored is not None and _content(stored) != _content(review):
        raise Conflict(
            "You decided otherwise in another tab, and that holds; load the page again to see it."
        )
    return stored


def _content(review: Review) -> tuple[object, ...]:
    about = (review.task_id, review.judgment_id, review.decision)
    return (*about, review.ranks, review.reason, review.comment)


def _review(
    task: Task,
    decision: ReviewDecision,
    by: Account,
    nonce: str,
    *,
    reason: str = "",
    comment: str = "",
) -> Review:
    if not 1 <= len(nonce) <= 64 or not nonce.isprintable():
        raise BadInput("The nonce of a decision must be text of 1 to 64 printable characters.")
    return Review(
        project_id=task.project_id,
        task_id=key_of(task),
        decision=decision,
        reason=_text(reason, "reason"),
        comment=_text(comment, "comment"),
        by_id=key_of(by),
        nonce=nonce,
    )


def _given(text: str, what: str) -> str:
    found = _text(text, what).strip()
    if not found:
        raise BadInput(f"Write a {what} first, so that others can understand the decision.")
    return found


def _text(text: str, what: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise BadInput(f"The {what} is too long; {LONGEST_TEXT} characters are the most.")
    return storable(text)


def _store(session: Session, review: Review, task: Task) -> Review:
    session.add_all([review, task])
    session.flush()
    record(
        session,
        project_id=review.project_id,
        account_id=review.by_id,
        kind=f"review.{review.decision.value}",
        review_id=review.id,
        task_id=review.task_id,
        judgment_id=review.judgment_id,
    )
    return review
