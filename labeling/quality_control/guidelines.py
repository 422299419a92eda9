"""Guidelines in versions: the newest is in force, and judgments carry its number."""

import difflib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import and_, bindparam, exists, or_
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.keys import key_of
from labeling.permissions import Action, require, role_in
from labeling.texts import storable
from labeling.work_queue.locks import lock_annotator
from storage.clock import now
from storage.core import execute_core, table_of
from storage.errors import BadInput, NotFound
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    GuidelineReading,
    GuidelineVersion,
    Project,
    Role,
    Task,
)

LONGEST_GUIDELINES = 100_000
LONGEST_NOTE = 500


@dataclass(frozen=True)
class Reader:
    """Tell the newest version that somebody has read, and when; None where they have read none."""

    name: str
    version: int | None
    read_at: datetime | None


def guidelines_in_force(session: Session, *, project_id: int) -> GuidelineVersion | None:
    """Return the project's newest guidelines, or None where it has none of its own."""
    return session.exec(
        select(GuidelineVersion)
        .where(GuidelineVersion.project_id == project_id)
        .order_by(col(GuidelineVersion.version).desc())
        .limit(1)
    ).first()


def version_in_force(session: Session, *, project_id: int) -> int | None:
    """Return the number of the project's newest guidelines, or None where it has none."""
    newest = execute_core(
        session, _newest_statement(), project_id=project_id, account_id=None
    ).first()
    return newest.version if newest is not None else None


@cache
def _newest_statement() -> Any:
    guidelines, reading = table_of(GuidelineVersion), table_of(GuidelineReading)
    read = exists().where(
        reading.c.project_id == guidelines.c.project_id,
        reading.c.account_id == bindparam("account_id"),
        reading.c.version == guidelines.c.version,
    )
    return (
        select_columns(guidelines.c.version, read.label("read"))
        .where(guidelines.c.project_id == bindparam("project_id"))
        .order_by(guidelines.c.version.desc())
        .limit(1)
    )


def guideline_versions(session: Session, *, project_id: int) -> list[GuidelineVersion]:
    """Return every version of the project's guidelines, newest first."""
    statement = (
        select(GuidelineVersion)
        .where(GuidelineVersion.project_id == project_id)
        .order_by(col(GuidelineVersion.version).desc())
    )
    return list(session.exec(statement))


def publish_guidelines(
    session: Session, *, project: Project, by: Account | None, text: str, note: str = ""
) -> GuidelineVersion:
    """Put a new version in force; annotators are asked to read it before their next task.

    `by` is the account that asks (None: the person at the server's shell). Raises `BadInput` where
    the text is empty, too long, or the one in force; `NotAllowed`. The session must be writing.
    """
    if by is not None:
        require(by, Action.CHANGE_LABELING, project_id=key_of(project))
    text, note = _valid(text, "text", LONGEST_GUIDELINES), _valid(note, "note", LONGEST_NOTE)
    if not text:
        raise BadInput("The guidelines are empty; write what annotators should look at.")
    # Two leads who publish at once take their turns, so that both versions are kept.
    session.exec(
        select(Project.id).where(Project.id == project.id).with_for_update(key_share=True)
    ).one()
    newest = guidelines_in_force(session, project_id=key_of(project))
    if newest is not None and newest.text == text:
        raise BadInput(
            f"This text is version {newest.version} already, word for word; change it first."
        )
    published = GuidelineVersion(
        project_id=key_of(project),
        version=newest.version + 1 if newest else 1,
        text=text,
        note=note,
        by_id=by.id if by else None,
    )
    session.add(published)
    session.flush()
    record(
        session,
        project_id=project.id,
        account_id=by.id if by else None,
        kind="guidelines.published",
        version=published.version,
        note=note,
    )
    return published


def unread_guidelines(
    session: Session, *, project_id: int, account_id: int
) -> GuidelineVersion | None:
    """Return the guidelines in force where the account has not read them, else None."""
    newest = execute_core(
        session, _newest_statement(), project_id=project_id, account_id=account_id
    ).first()
    if newest is None or newest.read:
        return None
    return guidelines_in_force(session, project_id=project_id)


def mark_read(session: Session, *, project_id: int, account_id: int, version: int) -> None:
    """Keep that the account says it has read a version; saying it again changes nothing.

    Raises `NotFound` where there is no such version, or no such account. The session must be
    writing.
    """
    # Two tabs that say it at once take their turns.
    lock_annotator(session, account_id)
    if session.get(GuidelineVersion, (project_id, version)) is None:
        raise NotFound(f"There is no version {version} of the guidelines; load the page again.")
    if session.get(GuidelineReading, (project_id, account_id, version)) is not None:
        return
    session.add(GuidelineReading(project_id=project_id, account_id=account_id, version=version))
    session.flush()
    record(
        session,
        project_id=project_id,
        account_id=account_id,
        kind="guidelines.read",
        version=version,
    )


def guidelines_to_read(
    session: Session, *, project_id: int, account_id: int
) -> GuidelineVersion | None:
    """Return unread guidelines of an account that has no task at hand, else None.

    Whoever has one ends it by the guidelines that they began it with.
    """
    unread = unread_guidelines(session, project_id=project_id, account_id=account_id)
    if unread is None:
        return None
    held = session.exec(
        select(Assignment.id)
        .join(Task, col(Task.id) == col(Assignment.task_id))
        .where(
            Assignment.annotator_id == account_id,
            Assignment.state == AssignmentState.LEASED,
            col(Assignment.expires_at) > now(),
            Task.project_id == project_id,
        )
        .limit(1)
    ).first()
    return unread if held is None else None


def last_read(session: Session, *, project_id: int, account_id: int) -> int | None:
    """Return the newest version that the account has read, or None."""
    return session.exec(
        select(func.max(GuidelineReading.version)).where(
            GuidelineReading.project_id == project_id, GuidelineReading.account_id == account_id
        )
    ).one()


def guideline_readers(session: Session, *, project_id: int) -> list[Reader]:
    """Return each active annotator, and whoever else has read a version, by name."""
    newest = (
        select(
            col(GuidelineReading.account_id).label("account_id"),
            func.max(GuidelineReading.version).label("version"),
        )
        .where(GuidelineReading.project_id == project_id)
        .group_by(col(GuidelineReading.account_id))
        .subquery()
    )
    rows = session.exec(
        select(Account.name, newest.c.version, GuidelineReading.read_at)
        .join(newest, newest.c.account_id == col(Account.id), isouter=True)
        .join(
            GuidelineReading,
            and_(
                col(GuidelineReading.project_id) == project_id,
                col(GuidelineReading.account_id) == col(Account.id),
                col(GuidelineReading.version) == newest.c.version,
            ),
            isouter=True,
        )
        .where(
            col(Account.active),
            Account.imported_from == "",
            Account.kind == AccountKind.PERSON,
            or_(role_in(project_id) == Role.ANNOTATOR.value, newest.c.version.is_not(None)),
        )
        .order_by(col(Account.name))
    )
    return [Reader(*row) for row in rows]


def difference(older: str, newer: str) -> str:
    """Return what changed between two texts as a unified diff without file names."""
    lines = difflib.unified_diff(older.splitlines(), newer.splitlines(), lineterm="", n=2)
    # The first two name the files; a line of the texts may look like them, as `--` taken out does.
    return "\n".join(list(lines)[2:])


def _valid(value: str, field: str, longest: int) -> str:
    value = storable(value).replace("\r\n", "\n").strip()
    if len(value) > longest:
        raise BadInput(f"The {field} of the guidelines is too long; {longest} characters at most.")
    return value
