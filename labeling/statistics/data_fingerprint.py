"""A digest of all that quality figures are made of: what a file of figures is believed by.

`data_version` tells the states of one database apart while a process looks on. This one also tells
databases apart, and what was changed in place: a restored backup, a name, a known answer.
"""

import hashlib
from typing import Any

from sqlalchemy import ColumnElement, Executable, String, cast, exists, func, or_, select
from sqlmodel import Session, col

from labeling.permissions import role_in
from labeling.statistics.data_version import data_version
from storage.core import table_of
from storage.tables import (
    Account,
    Assignment,
    AssignmentState,
    Judgment,
    KnownAnswer,
    Policy,
    Project,
    Qualification,
    Review,
    Role,
    Round,
    Task,
    Withdrawal,
)

# Two histories that have their newest judgments in common, to the microsecond, have all in common.
_NEWEST = 1000


def data_fingerprint(session: Session, *, project_id: int) -> str:
    """Return the digest (SHA-256, hexadecimal) of the project's data as figures see them.

    It reads small tables whole, counts of large ones, and the newest judgments; a judgment that is
    new, corrected, discarded, withdrawn or put back changes it, and so does an annotator.
    """
    version = data_version(session, project_id=project_id, accounts=False)
    digest = hashlib.sha256(repr(version).encode())
    for statement in (*_small(project_id), *_counts(project_id), _newest(project_id)):
        for row in session.execute(statement):
            digest.update(repr(tuple(row)).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _small(project_id: int) -> list[Executable]:
    """Select what may change in place; all of it is small."""
    return [
        select(table_of(Project)).where(col(Project.id) == project_id),
        select(
            *(col(Account.id), col(Account.name), col(Account.role), col(Account.kind)),
            *(col(Account.active), col(Account.imported_from)),
            cast(col(Account.project_roles), String),
        ).where(_in_figures(project_id)).order_by(col(Account.id)),
        select(
            *(col(Policy.id), col(Policy.version), col(Policy.name), col(Policy.status)),
            *(col(Policy.kind), col(Policy.published_at)),
        ).where(col(Policy.project_id) == project_id).order_by(col(Policy.id)),
        # How far a round is changes all the time, and is in no figure of people.
        select(
            *(col(Round.id), col(Round.number), col(Round.state), col(Round.finished_at)),
            col(Round.artefacts),
        ).where(col(Round.project_id) == project_id).order_by(col(Round.id)),
        select(table_of(Withdrawal))
        .where(col(Withdrawal.project_id) == project_id)
        .order_by(col(Withdrawal.id)),
        select(table_of(Qualification))
        .where(col(Qualification.project_id) == project_id)
        .order_by(
            col(Qualification.project_id), col(Qualification.account_id), col(Qualification.attempt)
        ),
        select(table_of(KnownAnswer)).order_by(col(KnownAnswer.task_id)),
    ]  # fmt: skip


def _in_figures(project_id: int) -> ColumnElement[bool]:
    """Select who has judged and who may: a lead who is new, or an admin, is in no figure."""
    return or_(
        role_in(project_id) == Role.ANNOTATOR.value,
        exists().where(
            col(Judgment.annotator_id) == col(Account.id), col(Judgment.project_id) == project_id
        ),
    )


def _counts(project_id: int) -> list[Executable]:
    put_aside = (
        select(col(Assignment.state), func.count())
        .where(
            # By an index that begins with the account: all assignments would be gone through.
            col(Assignment.annotator_id).in_(select(col(Account.id))),
            col(Assignment.state).in_([AssignmentState.SKIPPED, AssignmentState.FLAGGED]),
        )
        .group_by(col(Assignment.state))
        .order_by(col(Assignment.state))
    )
    tasks = (
        select(col(Task.status), func.count())
        .where(col(Task.project_id) == project_id)
        .group_by(col(Task.status))
        .order_by(col(Task.status))
    )
    judged = select(func.count()).select_from(Judgment)
    reviews = select(func.count(), func.max(col(Review.id)))
    return [
        judged.where(col(Judgment.project_id) == project_id),
        reviews.where(col(Review.project_id) == project_id),
        put_aside,
        tasks,
    ]


def _newest(project_id: int) -> Executable:
    columns: list[Any] = [
        one for one in table_of(Judgment).columns if one.name not in ("rationale", "nonce")
    ]
    return (
        select(*columns)
        .where(col(Judgment.project_id) + 0 == project_id)
        .order_by(col(Judgment.id).desc())
        .limit(_NEWEST)
    )
