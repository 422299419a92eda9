"""Alarms as events: raised once when something begins to want a lead, cleared when it ends.

Pages measure alarms anew whenever they are drawn; only where a webhook asks for them does somebody
look without being asked. An alarm is known by its kind, since its words have figures in them.
"""

import logging
import threading
import time

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import NotFound, RankloopError
from storage.tables import Account, Event, Project, Role, Webhook, WorkerLease

_log = logging.getLogger(__name__)

RAISED, CLEARED = "alarm.raised", "alarm.cleared"
_LOOK_SECONDS = 20.0


def watch_alarms(engine: Engine, *, judgments_per_round: int, stop: threading.Event) -> None:
    """Look at the alarms of projects whose webhooks ask for them, until `stop` is set."""
    due: dict[int, float] = {}
    while not stop.wait(_LOOK_SECONDS):
        try:
            for project in _projects_that_ask(engine):
                _look_if_due(engine, project, due, judgments_per_round)
        except (RankloopError, SQLAlchemyError):
            _log.exception("the alarms could not be looked at; they are again in a moment")


def _look_if_due(
    engine: Engine, project: Project, due: dict[int, float], judgments_per_round: int
) -> None:
    at, key = time.monotonic(), key_of(project)
    if at < due.get(key, at):
        return
    due[key] = at + 60 * labeling_settings(project).alarms.minutes_between_looks
    note_alarms(engine, project=project, judgments_per_round=judgments_per_round)


def note_alarms(
    engine: Engine, *, project: Project, judgments_per_round: int
) -> tuple[list[str], list[str]]:
    """Record the kinds of alarms that began to stand, and those that ended; return both."""
    with reading(engine) as session:
        found = _found(session, project, judgments_per_round)
    with writing(engine) as session:
        # Two who look at once take their turns: each sees what the other has recorded.
        session.exec(select(Project.id).where(Project.id == project.id).with_for_update())
        standing = _standing(session, key_of(project))
        raised = sorted(set(found) - standing)
        cleared = sorted(standing - set(found))
        for kind in raised:
            _record(session, project, RAISED, kind, found[kind])
        for kind in cleared:
            _record(session, project, CLEARED, kind, [])
    return raised, cleared


def _projects_that_ask(engine: Engine) -> list[Project]:
    with reading(engine) as session:
        hooks = session.exec(select(Webhook).where(col(Webhook.active))).all()
        asking = {one.project_id for one in hooks if {RAISED, CLEARED} & set(one.kinds)}
        return list(session.exec(select(Project).where(col(Project.id).in_(asking))))


def _found(session: Session, project: Project, judgments_per_round: int) -> dict[str, list[str]]:
    """Return the words of the alarms that stand, by kind."""
    # Only where a webhook asks is what measures loaded: the deliverer is small without it.
    from labeling.alarms import alarms
    from labeling.loop_state import loop_state
    from labeling.statistics.quality import quality
    from labeling.statistics.reliability import reliability

    project_id = key_of(project)
    try:
        loop = loop_state(session, project_id=project_id, judgments_per_round=judgments_per_round)
    except NotFound:
        return {}
    shell = Account(name="the server's shell", role=Role.ADMIN)
    lease = session.get(WorkerLease, project_id)
    found: dict[str, list[str]] = {}
    for one in alarms(
        labeling_settings(project).alarms,
        loop=loop,
        worker_runs=lease is not None and lease.expires_at > now(),
        alpha=quality(session, project_id=project_id, account=shell).krippendorff_alpha.value,
        reliable=reliability(session, project_id=project_id, account=shell),
    ):
        found.setdefault(one.kind, []).append(one.words)
    return found


def _standing(session: Session, project_id: int) -> set[str]:
    standing: set[str] = set()
    told = session.exec(
        select(Event)
        .where(Event.project_id == project_id, col(Event.kind).in_([RAISED, CLEARED]))
        .order_by(col(Event.id))
    )
    for event in told:
        name = str(event.detail.get("alarm"))
        if event.kind == RAISED:
            standing.add(name)
        else:
            standing.discard(name)
    return standing


def _record(session: Session, project: Project, event: str, kind: str, words: list[str]) -> None:
    # The words may name annotators.
    record(
        session,
        project_id=project.id,
        account_id=None,
        kind=event,
        alarm=kind,
        personal={"words": words},
    )
