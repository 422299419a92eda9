"""Servers' completions in the pool's tasks; a server that fails never stops the loop."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlmodel import Session, col, select

from labeling.endpoint_policies import (
    Endpoint,
    add_endpoint_policy,
    endpoint_of,
    endpoint_policies,
    usage_of,
)
from labeling.labeling_settings import change_labeling
from reward.generation.pool import PoolFiller
from reward.running.runtime import Runtime
from storage.engine import build_engine, reading, writing
from storage.settings import Settings
from storage.tables import (
    Account,
    Completion,
    Event,
    Policy,
    PolicyStatus,
    Project,
    Role,
    Task,
    TaskCompletion,
)
from tests.reward.chat_server import Chatting, chatting


@pytest.fixture
def runtime(judged: Settings) -> Runtime:
    return Runtime(build_engine(judged.url), judged)


@pytest.fixture
def server() -> Iterator[Chatting]:
    with chatting() as served:
        yield served


def add(runtime: Runtime, server: Chatting, *, share: float = 0.5, **values: Any) -> int:
    given = {"url": server.url, "model": "m", "first_wait": 0.01, "attempts": 2} | values
    with writing(runtime.engine) as session:
        policy = add_endpoint_policy(
            session,
            project_id=runtime.project_id,
            name="far",
            endpoint=Endpoint(**given),
            by=Account(name="shell", role=Role.ADMIN),
        )
        project = session.get_one(Project, runtime.project_id)
        settings = {"share": share, "patience": 2.0, "pause": 60.0}
        change_labeling(session, project=project, by=None, section="endpoints", values=settings)
    assert policy.id is not None
    return policy.id


def newest(session: Session) -> tuple[Task, list[Completion]]:
    task = session.exec(select(Task).order_by(col(Task.id).desc())).first()
    assert task is not None
    found = session.exec(
        select(Completion)
        .join(TaskCompletion, col(TaskCompletion.completion_id) == col(Completion.id))
        .where(TaskCompletion.task_id == task.id)
    ).all()
    return task, list(found)


def failures(session: Session) -> list[Event]:
    return list(session.exec(select(Event).where(Event.kind == "policy.endpoint_failed")))


def stored(runtime: Runtime) -> Policy:
    with reading(runtime.engine) as session:
        return endpoint_policies(session, project_id=runtime.project_id)[0]


def test_a_share_of_a_task_is_the_servers_and_its_cost_is_counted(
    runtime: Runtime, server: Chatting
) -> None:
    far = add(runtime, server, price_in=1.0, price_out=2.0)
    assert PoolFiller(runtime).add_chunk(1) == 1
    with reading(runtime.engine) as session:
        task, found = newest(session)
        live = session.exec(select(Policy).where(Policy.status == PolicyStatus.LIVE)).one()
    assert sorted(one.policy_id == far for one in found) == [False, False, True, True]
    # The loop counts the task as the live policy's.
    assert task.policy_id == live.id
    used = usage_of(stored(runtime))
    assert (used.requests, used.prompt_tokens, used.completion_tokens) == (2, 20, 10)
    assert used.cost == pytest.approx((20 * 1.0 + 10 * 2.0) / 1_000_000)
    (text,) = {
        one.text for one in found if one.policy_id == far and one.text.startswith("Answer 1")
    }
    assert text and server.requests[0]["max_tokens"] == 12


def test_half_a_character_of_a_server_stops_no_task(runtime: Runtime, server: Chatting) -> None:
    far = add(runtime, server, share=0.25)
    server.faults = [(200, {}, '{"choices": [{"message": {"content": "Ha \\ud83d"}}]}')] * 4
    assert PoolFiller(runtime).add_chunk(1) == 1
    with reading(runtime.engine) as session:
        _, found = newest(session)
    assert [one.text for one in found if one.policy_id == far] == ["Ha ?"]


def test_without_a_share_no_server_is_asked(runtime: Runtime, server: Chatting) -> None:
    add(runtime, server, share=0.0)
    PoolFiller(runtime).add_chunk(1)
    assert server.requests == []


@pytest.mark.parametrize("how", ["dead", "slow", "no key"])
def test_a_server_that_fails_is_told_once_and_the_live_policy_answers(
    runtime: Runtime, server: Chatting, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAR_KEY", raising=False)
    server.sleeps = 30.0 if how == "slow" else 0.0
    values = {
        "dead": {"url": "http://127.0.0.1:9/v1"},
        "slow": {},
        "no key": {"key_env": "FAR_KEY"},
    }
    add(runtime, server, **values[how])
    filler = PoolFiller(runtime)
    began = time.monotonic()
    drawn = filler.endpoints.draw([], seed=1)
    assert drawn == []
    assert filler.add_chunk(1) == 1
    waited = time.monotonic() - began
    assert filler.add_chunk(1) == 1
    with reading(runtime.engine) as session:
        task, found = newest(session)
        (event,) = failures(session)
    assert {one.policy_id for one in found} == {task.policy_id} and len(found) == 4
    assert event.detail["name"] == "far" and event.detail["pause_seconds"] == 60.0
    assert event.detail["reason"]
    assert waited < 25


def test_a_budget_ends_the_asking(runtime: Runtime, server: Chatting) -> None:
    add(runtime, server, price_out=1e6, budget=1.0)
    filler = PoolFiller(runtime)
    filler.add_chunk(1)
    asked = len(server.requests)
    assert asked > 0 and not endpoint_of(stored(runtime)).active
    filler.add_chunk(1)
    assert len(server.requests) == asked
    with reading(runtime.engine) as session:
        kinds = set(session.exec(select(Event.kind)))
    assert "policy.endpoint_switched_off" in kinds


def test_a_key_is_nowhere_in_the_database(
    runtime: Runtime, server: Chatting, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("FAR_KEY", key)
    server.key = "another"
    add(runtime, server, key_env="FAR_KEY")
    PoolFiller(runtime).add_chunk(1)
    with runtime.engine.connect() as connection:
        dump = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    assert "FAR_KEY" in dump and key not in dump
