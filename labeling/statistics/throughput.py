"""Throughput: how much is judged, in how much active time, at what cost.

It counts all work that people did, tests and what was discarded later too: it took their time.
What models judged, and what was imported with its annotators, is no work here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import select
from sqlmodel import Session, col

from labeling.permissions import Action, require
from labeling.statistics.judgment_columns import all_judgments
from storage.tables import Account, AccountKind

HOUR_COLUMNS = ("annotator_id", "hour", "judgments", "milliseconds")


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


def work_by_hour(session: Session, *, project_id: int, account: Account) -> WorkByHour:
    """Return judgments and active milliseconds of each annotator in each hour.

    In the order of hour and annotator. Raises `NotAllowed`.
    """
    require(account, Action.SEE_QUALITY, project_id=project_id)
    stored = all_judgments(session, project_id=project_id).arrays
    names = _names(session)
    theirs = np.isin(stored["annotator_id"], list(names))
    work = pd.DataFrame(
        {
            "annotator_id": stored["annotator_id"][theirs],
            "hour": stored["created_at"][theirs].astype("datetime64[h]").astype("datetime64[us]"),
            "milliseconds": stored["milliseconds"][theirs],
        }
    )
    of_hour = work.groupby(["hour", "annotator_id"])["milliseconds"]
    hours = of_hour.agg(judgments="size", milliseconds="sum").reset_index()
    hours["hour"] = hours["hour"].dt.tz_localize("UTC")
    worked = {int(one) for one in hours["annotator_id"].unique()}
    return WorkByHour(
        hours[list(HOUR_COLUMNS)], {one: name for one, name in names.items() if one in worked}
    )


def _names(session: Session) -> dict[int, str]:
    """Return the names of those whose judgments are work, by account."""
    rows = session.execute(
        select(col(Account.id), col(Account.name)).where(
            col(Account.imported_from) == "", col(Account.kind) != AccountKind.MODEL
        )
    )
    return {row[0]: row[1] for row in rows}


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
