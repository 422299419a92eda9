"""Rounds as people see them: when the next is due, asking for one, and how the past ones went."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from labeling.datasets.eligibility import usable
from labeling.events import record
from labeling.permissions import Action, require
from labeling.work_queue.arena import (
    HumanWinRate,
    human_win_rates,
    human_win_rates_over_first,
)
from storage.clock import now
from storage.errors import Conflict
from storage.plurals import counted, form
from storage.tables import (
    Account,
    Judgment,
    Policy,
    PolicyStatus,
    Round,
    RoundPoint,
    Snapshot,
    Task,
)
from storage.tables.rounds import RUNNING

if TYPE_CHECKING:
    import pandas

CURVE_COLUMNS = ["state", "step_index", "steps", "metric", "value"]


def current_round(session: Session, *, project_id: int) -> Round | None:
    """Return the round that has not ended, if there is one."""
    return session.exec(select(Round).where(Round.project_id == project_id, RUNNING)).one_or_none()


def latest_round(session: Session, *, project_id: int) -> Round | None:
    """Return the round with the highest number, ended or not."""
    return session.exec(
        select(Round).where(Round.project_id == project_id).order_by(col(Round.number).desc())
    ).first()


def round_due(
    session: Session, *, project_id: int, judgments_per_round: int, round_hours: float
) -> str | None:
    """Return why a round should start now, or None; None, too, while one has not ended.

    A round is due when `judgments_per_round` judgments are new, or when the oldest new one has
    waited `round_hours` hours (0: never). New is what `_count_new` counts.
    """
    if current_round(session, project_id=project_id) is not None:
        return None
    count, oldest = _count_new(session, project_id=project_id)
    if count >= judgments_per_round:
        return counted(count, "new judgment")
    if oldest is None or round_hours <= 0 or now() - oldest < timedelta(hours=round_hours):
        return None
    hours = f"{round_hours:g} {form(round_hours, 'hour', 'hours')}"
    return f"{counted(count, 'new judgment')}, the oldest {hours} old"


def judgments_until_round(session: Session, *, project_id: int, judgments_per_round: int) -> int:
    """Return how many more judgments start the next round by their number."""
    # No more are counted than are asked for, however many there are.
    some = select(col(Judgment.id)).where(*_new(session, project_id)).limit(judgments_per_round)
    count = session.exec(select(func.count()).select_from(some.subquery())).one()
    return judgments_per_round - count


def add_round(
    session: Session,
    *,
    project_id: int,
    reason: str,
    requested_by_id: int | None = None,
) -> Round:
    """Store the next round, queued; raise `Conflict` where one has not ended.

    The partial unique index on unended rounds decides a race, whichever process asks.
    """
    latest = latest_round(session, project_id=project_id)
    if latest is not None and not latest.state.ended:
        raise Conflict(
            f"Round {latest.number} has not ended yet ({latest.state}); ask again when it has."
        )
    new_round = Round(
        project_id=project_id,
        number=latest.number + 1 if latest else 1,
        reason=reason,
        requested_by_id=requested_by_id,
        judgments=_count_usable(session, project_id=project_id),
    )
    session.add(new_round)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict("Another round was started at this moment; look at it first.") from error
    return new_round


def request_round(session: Session, *, project_id: int, account: Account) -> Round:
    """Queue a round that the worker starts next.

    Raises `NotAllowed` by role, `Conflict` where a round has not ended or nothing was judged.
    """
    require(account, Action.REQUEST_ROUND, project_id=project_id)
    if _count_usable(session, project_id=project_id) == 0:
        raise Conflict("There is no judgment to learn from yet; rank some completions first.")
    requested = add_round(
        session,
        project_id=project_id,
        reason=f"requested by {account.name}",
        requested_by_id=account.id,
    )
    record(
        session,
        project_id=project_id,
        account_id=account.id,
        kind="round.requested",
        round=requested.number,
    )
    return requested


def round_summaries(session: Session, *, project_id: int) -> list[dict[str, Any]]:
    """Return every round, oldest first, as plain values that JSON can hold.

    `policy_version` is the version that the round published (None where it published none),
    `human_win_rate` how often people prefer that version to the one before (None: not asked),
    `human_win_rate_over_first` the same over the weights of version 1, `seconds` the time from its
    start to its end, or until now while it runs; times are ISO 8601 in UTC.
    """
    published = aliased(Policy)
    base = aliased(Policy)
    rows = session.exec(
        select(Round, published.version, base.version, Account.name)
        .outerjoin(
            published,
            and_(
                col(published.round_id) == Round.id,
                col(published.status).in_([PolicyStatus.LIVE, PolicyStatus.RETIRED]),
            ),
        )
        .outerjoin(base, col(base.id) == Round.base_policy_id)
        .outerjoin(Account, col(Account.id) == Round.requested_by_id)
        .where(Round.project_id == project_id)
        .order_by(col(Round.number))
    ).all()
    rates = human_win_rates(session, project_id=project_id)
    over_first = human_win_rates_over_first(session, project_id=project_id)
    return [
        {
            **_summary(*row),
            "human_win_rate": _rate(rates, row[1]),
            "human_win_rate_over_first": _rate(over_first, row[1]),
        }
        for row in rows
    ]


def round_curves(session: Session, *, round_id: int) -> "pandas.DataFrame":
    """Return a round's curves in long form, one row for each number of each point.

    Columns: state, step_index, steps (planned in this state), metric, value; in the order in
    which the states ran.
    """
    # A worker's parent reads rounds, too: it is to start without pandas.
    import pandas

    points = session.exec(select(RoundPoint).where(RoundPoint.round_id == round_id)).all()
    order = {state: place for place, state in enumerate(type(points[0].state))} if points else {}
    rows = [
        (point.state.value, point.step_index, point.steps, metric, float(value))
        for point in sorted(points, key=lambda point: (order[point.state], point.step_index))
        for metric, value in point.metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return pandas.DataFrame(rows, columns=CURVE_COLUMNS)


def _rate(rates: dict[int, HumanWinRate], version: int | None) -> dict[str, Any] | None:
    rate = None if version is None else rates.get(version)
    return rate.as_dict() if rate else None


def _summary(
    one: Round, policy_version: int | None, base_version: int | None, requested_by: str | None
) -> dict[str, Any]:
    seconds = None
    if one.started_at is not None:
        seconds = round(((one.finished_at or now()) - one.started_at).total_seconds(), 1)
    return {
        "id": one.id,
        "number": one.number,
        "state": one.state.value,
        "reason": one.reason,
        "judgments": one.judgments,
        "base_policy_version": base_version,
        "policy_version": policy_version,
        "metrics": dict(one.metrics),
        "seconds": seconds,
        "attempts": one.attempts,
        "requested_by": requested_by,
        "created_at": one.created_at.isoformat(),
        "started_at": one.started_at.isoformat() if one.started_at else None,
        "finished_at": one.finished_at.isoformat() if one.finished_at else None,
    }


def _usable(project_id: int) -> list[ColumnElement[bool]]:
    """Select the judgments that training may read."""
    return [
        col(Judgment.project_id) == project_id,
        col(Task.id) == Judgment.task_id,
        col(Account.id) == Judgment.annotator_id,
        *usable(),
    ]


def _count_usable(session: Session, *, project_id: int) -> int:
    return session.exec(select(func.count(col(Judgment.id))).where(*_usable(project_id))).one()


def _count_new(session: Session, *, project_id: int) -> tuple[int, datetime | None]:
    """Return how many usable judgments no round has seen, and when the oldest was made."""
    wanted = _new(session, project_id)
    count, oldest = session.exec(
        select(func.count(col(Judgment.id)), func.min(col(Judgment.created_at))).where(*wanted)
    ).one()
    return count, oldest


def _new(session: Session, project_id: int) -> list[ColumnElement[bool]]:
    """Select the usable judgments that no round has seen.

    Seen means stored before the last round's snapshot, or made before the round's creation if it
    ended without one: so a round that failed is not tried again on the same judgments. A snapshot
    names its newest judgment, since a clock may be set back; one of an older version does not.
    """
    wanted = _usable(project_id)
    latest = latest_round(session, project_id=project_id)
    if latest is not None:
        snapshot = session.get(Snapshot, latest.snapshot_id) if latest.snapshot_id else None
        newest = snapshot.manifest.get("newest_judgment") if snapshot else None
        if newest is not None:
            wanted.append(col(Judgment.id) > newest)
        else:
            seen_until = snapshot.created_at if snapshot else latest.created_at
            wanted.append(col(Judgment.created_at) > seen_until)
    return wanted
