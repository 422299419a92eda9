"""How much was judged: asked at each submit, so each statement is built once."""

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import bindparam, func, select, text
from sqlmodel import Session

from storage.core import execute_core, table_of
from storage.tables import Judgment
from storage.tables.tasks import FIRST_JUDGMENT


def count_judgments(
    session: Session,
    *,
    project_id: int,
    annotator_id: int | None = None,
    since: datetime | None = None,
) -> int:
    """Count the judgments of a project, or of one annotator in it, or only those since a time.

    A correction is no second judgment: it keeps the time of the one that it corrects.
    """
    values = {"annotator_id": annotator_id, "since": since}
    given = {name: value for name, value in values.items() if value is not None}
    statement = _count_statement(frozenset(given))
    found: int = execute_core(session, statement, project_id=project_id, **given).scalar_one()
    return found


@cache
def _count_statement(given: frozenset[str]) -> Any:
    judgment = table_of(Judgment)
    statement = (
        select(func.count())
        .select_from(judgment)
        .where(text(FIRST_JUDGMENT), judgment.c.project_id == bindparam("project_id"))
    )
    if "annotator_id" in given:
        statement = statement.where(judgment.c.annotator_id == bindparam("annotator_id"))
    if "since" in given:
        statement = statement.where(judgment.c.created_at >= bindparam("since"))
    return statement


def count_own(
    session: Session, *, project_id: int, annotator_id: int, since: datetime
) -> tuple[int, int]:
    """Count an annotator's judgments in a project since a time, and all of them."""
    found = execute_core(
        session, _own_statement(), project_id=project_id, annotator_id=annotator_id, since=since
    ).one()
    return found.since, found.total


@cache
def _own_statement() -> Any:
    judgment = table_of(Judgment)
    since = func.count().filter(judgment.c.created_at >= bindparam("since"))
    return select(since.label("since"), func.count().label("total")).where(
        text(FIRST_JUDGMENT),
        judgment.c.project_id == bindparam("project_id"),
        judgment.c.annotator_id == bindparam("annotator_id"),
    )
