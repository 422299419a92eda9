"""Throughput: how much is judged, in how much active time, at what cost.

It counts all work that people did, tests and what was discarded later too: it took their time.
What models judged, and what was imported with its annotators, is no work here.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd
from sqlalchemy import ColumnElement, Text, cast, func, select
from sqlmodel import Session, col

from labeling.permissions import Action, require
from storage.tables import Account, AccountKind, Judgment

HOUR_COLUMNS = ("annotator_id", "hour", "judgments", "milliseconds")
# Work is read again from so long before the newest hour: a transaction that began earlier may
# end later, but not by more.
_OVERLAP = timedelta(hours=1)


@dataclass(frozen=True)
class WorkByHour:
    """Hold all work, one row an annotator and hour (`HOUR_COLUMNS`; hour is in UTC), and names."""

    hours: pd.DataFrame
    names: dict[int, str]


@dataclass(frozen=True)
class Throughput:
    """Hold the work of a span of time.

    `hours` is as in `WorkByHour`. `annotators` has one row each, the busiest first: annotator_id,
    name, judgments, active_hours, judgments_an_hour (of active time), seconds (active, a judgment),
    cost (None without a rate).
    """

    judgments: int
    active_hours: float
    judgments_an_hour: float | None
    seconds: float | None
    cost: float | None
    hours: pd.DataFrame
    annotators: pd.DataFrame


def work_by_hour(
    session: Session, *, project_id: int, account: Account, before: WorkByHour | None = None
) -> WorkByHour:
    """Return judgments and active milliseconds of each annotator in each hour.

    `before` is an earlier answer: only what came since is read, which is all that can have changed
    as long as nothing is imported. Raises `NotAllowed`.
    """
    require(account, Action.SEE_QUALITY, project_id=project_id)
    wanted = [
        col(Judgment.project_id) == project_id,
        col(Account.imported_from) == "",
        col(Account.kind) != AccountKind.MODEL,
    ]
    if before is None or before.hours.empty:
        hours = _hours(session, wanted)
    else:
        since = before.hours["hour"].max().to_pydatetime() - _OVERLAP
        newest = _hours(session, [*wanted, col(Judgment.created_at) >= since])
        older = before.hours[before.hours["hour"] < since]
        hours = pd.concat([older, newest], ignore_index=True)
    ids = [int(one) for one in hours["annotator_id"].unique()]
    named = session.execute(
        select(col(Account.id), col(Account.name)).where(col(Account.id).in_(ids))
    )
    return WorkByHour(hours, {row[0]: row[1] for row in named})


def throughput(work: WorkByHour, *, since: datetime | None, hourly_rate: float) -> Throughput:
    """Sum the work from `since` on; `hourly_rate` is paid for active time.

    A rate of 0 gives no cost. The first hour counts whole.
    """
    hours = work.hours
    if since is not None:
        hours = hours[hours["hour"] > pd.Timestamp(since) - timedelta(hours=1)]
    sums = hours.groupby("annotator_id")[["judgments", "milliseconds"]].sum()
    table = pd.DataFrame({"judgments": sums["judgments"]})
    table["active_hours"] = sums["milliseconds"] / 3_600_000
    # A simulated annotator may take no time at all.
    active_hours = table["active_hours"].where(table["active_hours"] > 0)
    table["judgments_an_hour"] = table["judgments"] / active_hours
    table["seconds"] = sums["milliseconds"] / 1000 / table["judgments"]
    table["cost"] = table["active_hours"] * hourly_rate if hourly_rate else None
    table = table.sort_values("judgments", ascending=False, kind="stable").reset_index()
    table.insert(1, "name", [work.names[one] for one in table["annotator_id"]])
    judgments, active = int(table["judgments"].sum()), float(table["active_hours"].sum())
    return Throughput(
        judgments=judgments,
        active_hours=active,
        judgments_an_hour=judgments / active if active else None,
        seconds=3600 * active / judgments if judgments else None,
        cost=active * hourly_rate if hourly_rate else None,
        hours=hours,
        annotators=table,
    )


def _hours(session: Session, wanted: list[ColumnElement[bool]]) -> pd.DataFrame:
    hour = _hour_of(session)
    rows = session.execute(
        select(
            col(Judgment.annotator_id),
            hour,
            func.count(),
            func.sum(col(Judgment.milliseconds)),
        )
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .where(*wanted)
        .group_by(col(Judgment.annotator_id), hour)
        .order_by(hour, col(Judgment.annotator_id))
    ).all()
    found = pd.DataFrame(rows, columns=list(HOUR_COLUMNS))
    times = [datetime.strptime(each, "%Y-%m-%d %H").replace(tzinfo=UTC) for each in found["hour"]]
    found["hour"] = pd.Series(times, index=found.index, dtype="datetime64[us, UTC]")
    return found.astype({"annotator_id": int, "judgments": int, "milliseconds": int})


def _hour_of(session: Session) -> ColumnElement[str]:
    """Return the hour of a judgment in UTC as text, `2026-11-22 03`."""
    created = col(Judgment.created_at)
    if session.get_bind().dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", created), "YYYY-MM-DD HH24")
    # SQLite stores UTC as text: its first 13 characters are the hour.
    return func.substr(cast(created, Text), 1, 13)
