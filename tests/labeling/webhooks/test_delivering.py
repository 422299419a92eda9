import json
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import select
from standardwebhooks import Webhook as Verifier

from labeling.events import record
from labeling.labeling_sections import WebhookSettings
from labeling.webhooks import outbox
from labeling.webhooks.deliveries import wait_before
from labeling.webhooks.delivering import deliver_due
from labeling.webhooks.outbox import put_in
from labeling.webhooks.subscriptions import (
    last_deliveries,
    remove_webhook,
    send_test,
    webhooks,
)
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed
from storage.tables import Event, Project, Role, Webhook, WebhookDelivery
from tests.labeling.stage import Stage, set_stage
from tests.labeling.webhooks.receiver import SECRET, VARIABLE, Receiver, receiving
from tests.labeling.webhooks.subscribing import deliveries, happen, make_due, subscribe, types

SETTINGS = WebhookSettings()


def test_a_receiver_is_told_what_it_asked_for_and_can_verify_it(
    stage: Stage, receiver: Receiver
) -> None:
    subscribe(stage, receiver.url, "judgment.stored", "task.completed")
    stage.add_task("one")
    stage.judge("ann", [1, 2, 3, 4])
    assert deliver_due(stage.engine, private=True) == 2
    assert deliver_due(stage.engine, private=True) == 0
    assert sorted(types(receiver)) == ["judgment.stored", "task.completed"]
    for headers, body in receiver.got:
        told = Verifier(SECRET).verify(body, headers)
        assert told["data"]["account_id"] == stage.account("ann")
        assert told["data"]["task_completed"] is True
        assert "nonce" not in told["data"]
    assert len(set(receiver.ids)) == 2


def test_a_task_that_wants_more_people_is_not_complete(stage: Stage, receiver: Receiver) -> None:
    subscribe(stage, receiver.url, "task.completed")
    with writing(stage.engine) as session:
        session.get_one(Project, stage.project_id).overlap = 2
    stage.project.overlap = 2
    stage.add_task("one")
    stage.judge("ann", [1, 2, 3, 4])
    assert deliver_due(stage.engine, private=True) == 0
    stage.judge("bob", [1, 2, 3, 4])
    assert deliver_due(stage.engine, private=True) == 1


def test_what_happened_before_is_not_told_and_nothing_is_told_twice(
    stage: Stage, receiver: Receiver
) -> None:
    happen(stage, "alarm.raised", text="before")
    webhook_id = subscribe(stage, receiver.url, "alarm.raised")
    happen(stage, "alarm.raised", text="after")
    happen(stage, "alarm.cleared", text="not asked for")
    for _ in range(2):
        with writing(stage.engine) as session:
            put_in(session, webhook_id=webhook_id)
    deliver_due(stage.engine, private=True)
    assert [json.loads(body)["data"]["text"] for _, body in receiver.got] == ["after"]


def test_an_event_that_commits_after_a_later_one_is_told(
    postgres_engine: Engine, receiver: Receiver
) -> None:
    with writing(postgres_engine) as session:
        project = Project(name="default")
        session.add(project)
    stage = set_stage(postgres_engine, project)
    subscribe(stage, receiver.url, "alarm.raised")
    with writing(postgres_engine) as slow:
        record(slow, project_id=stage.project_id, account_id=None, kind="alarm.raised", text="slow")
        slow.flush()
        happen(stage, "alarm.raised", text="fast")
        assert deliver_due(postgres_engine, private=True) == 1
    assert deliver_due(postgres_engine, private=True) == 1
    assert [json.loads(body)["data"]["text"] for _, body in receiver.got] == ["fast", "slow"]


def test_an_event_that_commits_late_is_told_after_a_quiet_time_too(
    postgres_engine: Engine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(postgres_engine) as session:
        project = Project(name="default")
        session.add(project)
    stage = set_stage(postgres_engine, project)
    with monkeypatch.context() as earlier:
        earlier.setattr("labeling.events.now", lambda: now() - timedelta(minutes=10))
        subscribe(stage, receiver.url, "alarm.raised")
    with writing(postgres_engine) as slow:
        record(slow, project_id=stage.project_id, account_id=None, kind="alarm.raised", text="slow")
        happen(stage, "alarm.raised", text="fast")
        assert deliver_due(postgres_engine, private=True) == 1
    assert deliver_due(postgres_engine, private=True) == 1
    assert [json.loads(body)["data"]["text"] for _, body in receiver.got] == ["fast", "slow"]


def test_a_failed_attempt_is_made_again_later_with_the_same_id_and_a_new_time(
    stage: Stage, receiver: Receiver
) -> None:
    receiver.statuses = [500, 302]
    subscribe(stage, receiver.url, "alarm.raised")
    happen(stage, "alarm.raised")
    waits = []
    for _ in range(2):
        assert deliver_due(stage.engine, private=True) == 1
        assert deliver_due(stage.engine, private=True) == 0, "not before it is due"
        (one,) = deliveries(stage)
        waits.append((one.due_at - now()).total_seconds())
        make_due(stage)
    assert 0 < waits[0] <= SETTINGS.first_wait < waits[1] <= 2 * SETTINGS.first_wait
    assert deliver_due(stage.engine, private=True) == 1
    (one,) = deliveries(stage)
    assert (one.attempts, one.last_status) == (3, 204)
    assert one.delivered_at is not None
    assert len(set(receiver.ids)) == 1
    for headers, body in receiver.got:
        Verifier(SECRET).verify(body, headers)


def test_waits_double_up_to_the_longest_and_are_drawn() -> None:
    settings = WebhookSettings(first_wait=4.0, longest_wait=60.0)
    for attempt, whole in [(2, 4), (3, 8), (4, 16), (5, 32), (6, 60), (500, 60)]:
        drawn = {wait_before(attempt, settings) for _ in range(200)}
        assert whole / 2 <= min(drawn) < max(drawn) <= whole
        assert len(drawn) > 100


def test_a_delivery_is_given_up_in_the_end_and_shown(stage: Stage, receiver: Receiver) -> None:
    receiver.statuses = [500]
    subscribe(stage, receiver.url, "alarm.raised")
    happen(stage, "alarm.raised")
    with reading(stage.engine) as session:
        (hook,) = session.exec(select(Webhook)).all()
    with writing(stage.engine) as session:
        put_in(session, webhook_id=hook.id or 0)
        (one,) = session.exec(select(WebhookDelivery)).all()
        one.created_at = now() - timedelta(hours=SETTINGS.give_up_after, seconds=1)
    assert deliver_due(stage.engine, private=True) == 1
    make_due(stage)
    assert deliver_due(stage.engine, private=True) == 0
    with reading(stage.engine) as session:
        (row,) = webhooks(session, project_id=stage.project_id, account=None)
    assert (row.waiting, row.delivered, row.given_up) == (0, 0, 1)


def test_a_receiver_that_is_gone_switches_its_webhook_off_and_nothing_waits_any_more(
    stage: Stage, receiver: Receiver
) -> None:
    receiver.statuses = [503, 410]
    subscribe(stage, receiver.url, "alarm.raised")
    happen(stage, "alarm.raised")
    deliver_due(stage.engine, private=True)
    happen(stage, "alarm.raised")
    deliver_due(stage.engine, private=True)
    with reading(stage.engine) as session:
        (row,) = webhooks(session, project_id=stage.project_id, account=None)
        last = last_deliveries(session, project_id=stage.project_id, account=None)
    assert (row.active, row.waiting, row.delivered, row.given_up) == (False, 0, 0, 2)
    assert [(one.state, one.next_at) for one in last] == [("given up", None)] * 2
    assert last[1].last_error == "Not sent any more: The receiver answered 410 Gone."
    happen(stage, "alarm.raised")
    assert deliver_due(stage.engine, private=True) == 0
    with reading(stage.engine) as session:
        assert session.exec(select(Webhook.active)).all() == [False]
        assert session.exec(select(Event).where(Event.kind == "webhook.switched_off")).one()


def test_without_its_secret_nothing_is_sent_and_it_waits(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    subscribe(stage, receiver.url, "alarm.raised")
    happen(stage, "alarm.raised")
    deliver_due(stage.engine, private=True)
    (one,) = deliveries(stage)
    assert receiver.got == []
    assert VARIABLE in one.last_error
    monkeypatch.setenv(VARIABLE, SECRET)
    make_due(stage)
    deliver_due(stage.engine, private=True)
    assert len(receiver.got) == 1


def test_the_test_message_goes_the_same_way(stage: Stage, receiver: Receiver) -> None:
    webhook_id = subscribe(stage, receiver.url, "alarm.raised")
    answer = send_test(
        stage.engine, project=stage.project, by=None, webhook_id=webhook_id, private=True
    )
    assert answer.accepted
    assert types(receiver) == ["webhook.tested"]
    assert deliver_due(stage.engine, private=True) == 0


def test_webhooks_are_added_once_by_those_who_may_and_removed(
    stage: Stage, receiver: Receiver
) -> None:
    webhook_id = subscribe(stage, receiver.url, "alarm.raised")
    with pytest.raises(Conflict, match="already"):
        subscribe(stage, receiver.url, "alarm.raised")
    with pytest.raises(BadInput, match=r"no event task\.eaten"):
        subscribe(stage, receiver.url + "2", "task.eaten")
    with pytest.raises(BadInput, match="which events"):
        subscribe(stage, receiver.url + "2")
    stage.account("ann")
    stage.account("eng", Role.ENGINEER)
    with reading(stage.engine) as session, pytest.raises(NotAllowed, match="manage webhooks"):
        webhooks(session, project_id=stage.project_id, account=stage.accounts["ann"])
    happen(stage, "alarm.raised")
    deliver_due(stage.engine, private=True)
    with writing(stage.engine) as session:
        engineer = session.merge(stage.accounts["eng"])
        remove_webhook(session, project=stage.project, by=engineer, webhook_id=webhook_id)
    assert deliveries(stage) == []
    subscribe(stage, receiver.url, "alarm.raised")


def test_many_events_are_put_in_some_at_a_time_and_none_is_left_out(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_AT_ONCE", 3)
    webhook_id = subscribe(stage, receiver.url, "judgment.stored", "task.completed")
    for number in range(8):
        happen(stage, "judgment.stored", judgment_id=number, task_completed=number % 2 == 0)
    made = []
    while not made or made[-1]:
        with writing(stage.engine) as session:
            made.append(put_in(session, webhook_id=webhook_id))
    assert made == [3, 3, 3, 3, 0]
    happen(stage, "judgment.stored", judgment_id=8, task_completed=False)
    assert deliver_due(stage.engine, private=True) == 13
    assert types(receiver).count("judgment.stored") == 9
    assert types(receiver).count("task.completed") == 4
    assert deliver_due(stage.engine, private=True) == 0


def test_two_receivers_of_one_message_get_one_id(stage: Stage, receiver: Receiver) -> None:
    with receiving() as other:
        subscribe(stage, receiver.url, "alarm.raised")
        subscribe(stage, other.url, "alarm.raised")
        happen(stage, "alarm.raised")
        assert deliver_due(stage.engine, private=True) == 2
        assert other.ids == receiver.ids
