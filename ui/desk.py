"""What lies before one annotator, and what becomes of what they do with it."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Engine
from sqlmodel import Session

from labeling.assignment import AssignedTask, next_assignment
from labeling.judgments import (
    Submission,
    count_judgments,
    ranks_from_places,
    reopen_last,
    skip_assignment,
    submit_judgment,
)
from labeling.news import Learned, learned_from
from labeling.rankings import places_from_ranks
from storage.engine import writing
from storage.errors import NotFound
from storage.tables import Account, Assignment, Project
from ui.components.ranking import SkipEvent, SubmitEvent


@dataclass(frozen=True)
class Desk:
    """Hold what the page shows: the task (None: all done), own counts, news of the model."""

    task: AssignedTask | None
    today: int
    total: int
    news: dict[str, int] | None

    def as_data(self, *, serial: str, refusal: dict[str, str] | None) -> dict[str, Any]:
        """Return what the ranking component is given; nothing in it says whose completion is whose.

        `serial` names this showing of the task: the component keeps its draft under it.
        """
        assert self.task is not None
        ranks = self.task.ranks
        return {
            "serial": serial,
            "assignment": self.task.assignment_id,
            "messages": self.task.messages,
            "completions": self.task.completions,
            "ranks": ranks and places_from_ranks(self.task.display_order, ranks),
            "today": self.today,
            "total": self.total,
            "news": self.news,
            "can_undo": self.total > 0 and ranks is None,
            "refusal": refusal,
        }


def look(
    engine: Engine,
    *,
    project: Project,
    account: Account,
    minutes: float,
    midnight: datetime,
    reopened: AssignedTask | None = None,
) -> Desk:
    """Return the annotator's desk; lends them a task where they hold none and none is reopened."""
    assert project.id is not None and account.id is not None
    here, me = project.id, account.id
    with writing(engine) as session:
        return Desk(
            task=reopened
            or next_assignment(session, project_id=here, annotator_id=me, minutes=minutes),
            today=count_judgments(session, project_id=here, annotator_id=me, since=midnight),
            total=count_judgments(session, project_id=here, annotator_id=me),
            news=_news(learned_from(session, project_id=here, annotator_id=me)),
        )


def _news(learned: Learned | None) -> dict[str, int] | None:
    """Return what the banner says, or None where nothing of the annotator's was learned from."""
    if learned is None or learned.judgments == 0:
        return None
    return {"version": learned.policy_version, "judgments": learned.judgments}


def submit(engine: Engine, *, account: Account, event: SubmitEvent) -> Submission:
    """Store a ranking given by place; raise what `submit_judgment` raises."""
    assert account.id is not None
    with writing(engine) as session:
        order = _own_order(session, account.id, event.assignment)
        return submit_judgment(
            session,
            assignment_id=event.assignment,
            annotator_id=account.id,
            ranks=ranks_from_places(order, event.ranks_by_place),
            milliseconds=event.milliseconds,
            nonce=event.nonce,
        )


def skip(engine: Engine, *, account: Account, event: SkipEvent) -> None:
    """Put a task aside; raise what `skip_assignment` raises."""
    assert account.id is not None
    with writing(engine) as session:
        skip_assignment(
            session,
            assignment_id=event.assignment,
            annotator_id=account.id,
            reason=event.reason,
        )


def reopen(engine: Engine, *, account: Account, project: Project) -> AssignedTask:
    """Return the annotator's last judged task with its ranks; raise `NotFound` without one."""
    assert project.id is not None and account.id is not None
    with writing(engine) as session:
        return reopen_last(session, annotator_id=account.id, project_id=project.id)


def midnight_in(zone: str | None) -> datetime:
    """Return the start of today where the annotator is (UTC where the zone is not known)."""
    place: tzinfo = UTC
    if zone:
        try:
            place = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            place = UTC
    return datetime.now(place).replace(hour=0, minute=0, second=0, microsecond=0)


def _own_order(session: Session, annotator_id: int, assignment_id: int) -> list[int]:
    # Read from the database and not from the page: the order in which a place became a position
    # must be the one that was stored when the task was lent.
    assignment = session.get(Assignment, assignment_id)
    if assignment is None or assignment.annotator_id != annotator_id:
        raise NotFound("This task is not lent to you; load the next one.")
    return assignment.display_order
