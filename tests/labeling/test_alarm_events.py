import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select

from labeling import alarm_events
from labeling.alarm_events import note_alarms
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import Event, Project, Webhook, WorkerLease
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project)


def look(stage: Stage) -> tuple[list[str], list[str]]:
    with reading(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
    return note_alarms(stage.engine, project=project, judgments_per_round=50)


def test_an_alarm_is_raised_once_and_cleared_once(stage: Stage) -> None:
    raised, cleared = look(stage)
    assert "worker" in raised
    assert "ready_tasks" in raised
    assert cleared == []
    assert look(stage) == ([], [])
    with writing(stage.engine) as session:
        session.add(
            WorkerLease(
                project_id=stage.project_id, owner="w", expires_at=now() + timedelta(minutes=5)
            )
        )
    assert look(stage) == ([], ["worker"])
    assert look(stage) == ([], [])
    with writing(stage.engine) as session:
        session.get_one(WorkerLease, stage.project_id).expires_at = now()
    assert look(stage) == (["worker"], [])
    with reading(stage.engine) as session:
        told = session.exec(
            select(Event.kind, Event.detail, Event.personal)
            .where(col(Event.kind).startswith("alarm."))
            .order_by(col(Event.id))
        ).all()
    of_worker = [kind for kind, detail, _ in told if detail["alarm"] == "worker"]
    assert of_worker == ["alarm.raised", "alarm.cleared", "alarm.raised"]
    assert any("rankloop worker" in word for _, _, words in told for word in words["words"])


def test_only_projects_whose_webhooks_ask_are_looked_at(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarm_events, "_LOOK_SECONDS", 0.02)
    stop = threading.Event()
    thread = threading.Thread(
        target=alarm_events.watch_alarms,
        args=(stage.engine,),
        kwargs={"judgments_per_round": 50, "stop": stop},
    )
    thread.start()
    time.sleep(0.2)
    assert _raised(stage) == []
    with writing(stage.engine) as session:
        session.add(
            Webhook(project_id=stage.project_id, url="https://x.example/", kinds=["alarm.raised"])
        )
    deadline = time.monotonic() + 20
    while not _raised(stage) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    stop.set()
    thread.join(20)
    raised = _raised(stage)
    assert "worker" in raised
    assert len(raised) == len(set(raised)), "not looked at again before its minutes are over"


def _raised(stage: Stage) -> list[str]:
    with reading(stage.engine) as session:
        told = session.exec(select(Event.detail).where(col(Event.kind) == "alarm.raised"))
        return [detail["alarm"] for detail in told]
