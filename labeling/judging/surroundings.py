"""What an annotator is shown beside a task, in one question."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import bindparam, exists, func, select, text, true
from sqlmodel import Session

from labeling.labeling_settings import LabelingSettings, stored_settings
from labeling.news import Learned, learned, newest_published
from storage.core import execute_core, table_of
from storage.tables import (
    GuidelineReading,
    GuidelineVersion,
    Judgment,
    Project,
    Qualification,
    Task,
    TaskKind,
)
from storage.tables.tasks import FIRST_JUDGMENT, SPECIAL_TASK


@dataclass(frozen=True)
class Surroundings:
    """Hold the project's settings and guidelines, and what the annotator has judged in it.

    `guideline_version` is None where the project has no guidelines; `unread`: the annotator has not
    read them. `today` counts their judgments since the time that was given, `total` all. `tested`:
    they may be at a qualification. `learned` is what was last learned from them.
    """

    settings: LabelingSettings
    guideline_version: int | None
    unread: bool
    today: int
    total: int
    tested: bool
    learned: Learned | None


def surroundings_of(
    session: Session, *, project_id: int, annotator_id: int, since: datetime
) -> Surroundings:
    """Return what is shown beside a task; a correction counts with what it corrects."""
    values = {"project_id": project_id, "annotator_id": annotator_id, "since": since}
    found = list(execute_core(session, _statement(), **values).one())
    labeling, version, read, today, total, tested, *published = found
    unread = version is not None and not read
    told = learned(*published, by=annotator_id)
    settings = stored_settings(labeling)
    return Surroundings(settings, version, unread, today, total, bool(tested), told)


@cache
def _statement() -> Any:
    project, judgment = table_of(Project), table_of(Judgment)
    newest, read = _guidelines()
    since = func.count().filter(judgment.c.created_at >= bindparam("since"))
    own = (
        select(since.label("since"), func.count().label("total"))
        .where(
            text(FIRST_JUDGMENT),
            judgment.c.project_id == bindparam("project_id"),
            judgment.c.annotator_id == bindparam("annotator_id"),
        )
        .subquery()
    )
    published = newest_published().subquery()
    columns = (project.c.labeling, newest, read, own.c.since, own.c.total, _tested(), *published.c)
    # One row each, so that nothing is multiplied.
    all_three = project.join(own, true()).outerjoin(published, true())
    return select(*columns).select_from(all_three).where(project.c.id == bindparam("project_id"))


def _guidelines() -> tuple[Any, Any]:
    """Return the newest version, and whether the annotator has read it."""
    guidelines, reading = table_of(GuidelineVersion), table_of(GuidelineReading)
    newest = (
        select(func.max(guidelines.c.version))
        .where(guidelines.c.project_id == bindparam("project_id"))
        .scalar_subquery()
    )
    read = exists().where(
        reading.c.project_id == bindparam("project_id"),
        reading.c.account_id == bindparam("annotator_id"),
        reading.c.version == newest,
    )
    return newest, read


def _tested() -> Any:
    task, attempt = table_of(Task), table_of(Qualification)
    asked = exists().where(
        text(SPECIAL_TASK),
        task.c.project_id == bindparam("project_id"),
        task.c.kind == TaskKind.QUALIFICATION,
    )
    begun = exists().where(
        attempt.c.project_id == bindparam("project_id"),
        attempt.c.account_id == bindparam("annotator_id"),
        attempt.c.passed.is_(None),
    )
    return asked | begun
