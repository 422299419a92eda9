"""Throughput: sums by hour, brought up to date by what is new, on both databases."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from sqlalchemy import Engine

from labeling.statistics.throughput import WorkByHour, throughput, work_by_hour
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import AccountKind, Judgment, Project, Role
from tests.labeling.stage import Stage, set_stage

NOON = datetime(2026, 3, 1, 12, 59, tzinfo=UTC)


def work_at(stage: Stage, name: str, times: list[datetime]) -> None:
    for time in times:
        number = len(stage.accounts) * 1000 + int(time.timestamp())
        task_id = stage.add_task(f"{name} {number}")
        submitted = stage.judge(name, [1, 2, 3, 4])
        assert task_id
        with writing(stage.engine) as session:
            judgment = session.get_one(Judgment, submitted.judgment_id)
            judgment.created_at, judgment.milliseconds = time, 30_000
            session.add(judgment)


def measure(stage: Stage) -> WorkByHour:
    stage.account("lena", Role.LEAD)
    with reading(stage.engine) as session:
        return work_by_hour(session, project_id=stage.project_id, account=stage.accounts["lena"])


def test_work_is_summed_by_hour_in_utc(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project)
    work_at(stage, "ann", [NOON, NOON + timedelta(minutes=2), NOON + timedelta(minutes=3)])
    work_at(stage, "bot", [NOON])
    with writing(engine) as session:
        bot = session.merge(stage.accounts["bot"])
        bot.kind = AccountKind.MODEL
    found = measure(stage)
    assert list(found.hours["hour"].dt.hour) == [12, 13]
    assert list(found.hours["judgments"]) == [1, 2]
    assert list(found.hours["milliseconds"]) == [30_000, 60_000]
    assert found.names == {stage.account("ann"): "ann"}


def test_what_is_new_is_seen(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project)
    work_at(stage, "ann", [NOON - timedelta(days=1), NOON])
    assert measure(stage).hours["judgments"].tolist() == [1, 1]
    work_at(stage, "bob", [NOON - timedelta(minutes=30), NOON + timedelta(hours=5)])
    found = measure(stage)
    assert found.hours["annotator_id"].tolist() == [
        stage.account(name) for name in ("ann", "ann", "bob", "bob")
    ]
    assert found.hours["hour"].dt.hour.tolist() == [12, 12, 12, 17]
    assert set(found.names.values()) == {"ann", "bob"}


def test_annotators_may_not_ask(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project)
    stage.account("ann")
    with reading(engine) as session, pytest.raises(NotAllowed):
        work_by_hour(session, project_id=stage.project_id, account=stage.accounts["ann"])


def test_pace_and_cost_are_of_active_time() -> None:
    hours = pd.DataFrame(
        {
            "annotator_id": [1, 2, 1],
            "hour": pd.to_datetime([NOON, NOON, NOON - timedelta(days=9)], utc=True).floor("h"),
            "judgments": [10, 30, 60],
            "milliseconds": [1_800_000, 1_800_000, 0],
        }
    )
    work = WorkByHour(hours, {1: "ann", 2: "bob"})
    found = throughput(work, since=NOON - timedelta(hours=1), hourly_rate=12.0)
    assert (found.judgments, found.active_hours, found.judgments_an_hour) == (40, 1.0, 40.0)
    assert (found.seconds, found.cost) == (90.0, 12.0)
    assert list(found.annotators["name"]) == ["bob", "ann"]
    assert list(found.annotators["judgments_an_hour"]) == [60.0, 20.0]
    everything = throughput(work, since=None, hourly_rate=0.0)
    assert (everything.judgments, everything.cost) == (100, None)
