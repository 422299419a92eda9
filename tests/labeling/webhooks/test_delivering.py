import json
import multiprocessing
import os
import signal
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlmodel import col, select
from standardwebhooks import Webhook as Verifier

from labeling.events import record
from labeling.labeling_sections import WebhookSettings
from labeling.webhooks import delivering, outbox
from labeling.webhooks.deliveries import Claim, claim, settle, wait_before
from labeling.webhooks.delivering import deliver_due, deliver_forever
from labeling.webhooks.outbox import put_in
from labeling.webhooks.sending import Answer
from labeling.webhooks.subscriptions import add_webhook, remove_webhook, send_test, webhooks
from storage.clock import now
from storage.engine import build_engine, reading, writing
from storage.errors import BadInput, Conflict, NotAllowed
from storage.tables import Event, Project, Role, Webhook, WebhookDelivery
from tests.labeling.stage import Stage, set_stage
from tests.labeling.webhooks.receiver import SECRET, VARIABLE, Receiver, receiving

SETTINGS = WebhookSettings()


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project)


def subscribe(stage: Stage, url: str, *kinds: str) -> int:
    with writing(stage.engine) as session:
        webhook = add_webhook(
            session,
            project=stage.project,
            by=None,
            url=url,
            kinds=kinds,
            secret_env=VARIABLE,
            private=True,
        )
    return webhook.id or 0


def happen(stage: Stage, kind: str, **detail: object) -> None:
    with writing(stage.engine) as session:
        record(session, project_id=stage.project_id, account_id=None, kind=kind, **detail)


def deliveries(stage: Stage) -> list[WebhookDelivery]:
    with reading(stage.engine) as session:
        return list(session.exec(select(WebhookDelivery).order_by(col(WebhookDelivery.id))))


def make_due(stage: Stage) -> None:
    with writing(stage.engine) as session:
        for one in session.exec(select(WebhookDelivery)):
            one.due_at = now()


def types(receiver: Receiver) -> list[str]:
    return [json.loads(body)["type"] for _, body in receiver.got]


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


def test_a_receiver_that_is_gone_switches_its_webhook_off(stage: Stage, receiver: Receiver) -> None:
    receiver.statuses = [410]
    subscribe(stage, receiver.url, "alarm.raised")
    happen(stage, "alarm.raised")
    deliver_due(stage.engine, private=True)
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


def test_a_claim_is_one_deliverers_alone_until_its_lease_ends(
    stage: Stage, receiver: Receiver
) -> None:
    webhook_id = subscribe(stage, receiver.url, "alarm.raised")
    happen(stage, "alarm.raised")
    lease = timedelta(minutes=1)
    with writing(stage.engine) as session:
        put_in(session, webhook_id=webhook_id)
    with writing(stage.engine) as session:
        (first,) = claim(session, most=5, lease=lease)
    with writing(stage.engine) as session:
        assert claim(session, most=5, lease=lease) == []
    make_due(stage)
    with writing(stage.engine) as session:
        (second,) = claim(session, most=5, lease=lease)
    assert (first.attempt, second.attempt) == (1, 2)
    with writing(stage.engine) as session:
        late = settle(session, claim=first, answer=Answer(204), settings=SETTINGS)
    assert late is None, "its lease is another's now"
    assert deliveries(stage)[0].delivered_at is None


def test_deliverers_beside_each_other_send_each_message_once(
    stage: Stage, receiver: Receiver
) -> None:
    subscribe(stage, receiver.url, "alarm.raised")
    for _ in range(40):
        happen(stage, "alarm.raised")
    threads = [
        threading.Thread(target=deliver_due, args=(stage.engine,), kwargs={"private": True})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.ids) == len(set(receiver.ids)) == 40
    assert all(one.delivered_at for one in deliveries(stage))


def _deliver_until_killed(url: str, lease_seconds: float) -> None:
    delivering._LEASE = timedelta(seconds=lease_seconds)
    deliver_forever(build_engine(url), private=True, stop=threading.Event())


def test_a_deliverer_that_is_killed_loses_nothing(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe(stage, receiver.url, "alarm.raised")
    sending = threading.Event()
    killed = threading.Event()

    def hang(handler: Any) -> None:
        sending.set()
        # The message came in whole, and the sender never hears of it.
        killed.wait(20)

    receiver.respond = hang
    for _ in range(3):
        happen(stage, "alarm.raised")
    context = multiprocessing.get_context("spawn")
    url = stage.engine.url.render_as_string(hide_password=False)
    child = context.Process(target=_deliver_until_killed, args=(url, 2.0))
    child.start()
    assert sending.wait(20)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    killed.set()
    receiver.respond = None
    happen(stage, "alarm.raised")
    deadline = time.monotonic() + 10
    while not all(one.delivered_at for one in deliveries(stage)) or len(deliveries(stage)) < 4:
        assert time.monotonic() < deadline
        deliver_due(stage.engine, private=True)
        time.sleep(0.1)
    assert len(set(receiver.ids)) == 4
    assert len(receiver.ids) > 4, "at least once: what the killed one sent came again"


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


def test_the_loop_stops_when_it_is_told_to(stage: Stage, receiver: Receiver) -> None:
    subscribe(stage, receiver.url, "alarm.raised")
    stop = threading.Event()
    thread = threading.Thread(
        target=deliver_forever, args=(stage.engine,), kwargs={"private": True, "stop": stop}
    )
    thread.start()
    happen(stage, "alarm.raised")
    deadline = time.monotonic() + 10
    while not receiver.got and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert types(receiver) == ["alarm.raised"]


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


def test_whoever_stops_does_not_send_all_that_is_due(stage: Stage, receiver: Receiver) -> None:
    subscribe(stage, receiver.url, "alarm.raised")
    for _ in range(40):
        happen(stage, "alarm.raised")
    stop = threading.Event()
    sent = deliver_due(stage.engine, private=True, stop=stop, say=lambda _: stop.set())
    assert 0 < sent < 40
    assert deliver_due(stage.engine, private=True) == 40 - sent


def test_the_loop_outlives_a_database_that_is_away_while_old_deliveries_are_forgotten(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_old, tries = delivering._forget_old, []

    def away_at_first(engine: Engine) -> None:
        tries.append(engine)
        if len(tries) == 1:
            raise OperationalError("SELECT", None, Exception("the connection was cut"))
        forget_old(engine)

    monkeypatch.setattr(delivering, "_forget_old", away_at_first)
    monkeypatch.setattr(delivering, "_DATABASE_SECONDS", 0.05)
    subscribe(stage, receiver.url, "alarm.raised")
    happen(stage, "alarm.raised")
    stop = threading.Event()
    said: list[str] = []

    def say(words: str) -> None:
        said.append(words)
        if words.startswith("webhook"):
            stop.set()

    deliver_forever(stage.engine, private=True, stop=stop, say=say)
    assert said[0].startswith("The database does not answer")
    assert types(receiver) == ["alarm.raised"]
    assert len(tries) == 2


def test_a_webhook_that_is_removed_after_the_claim_ends_nobodys_work(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as other:
        removed = subscribe(stage, other.url, "alarm.raised")
        subscribe(stage, receiver.url, "alarm.raised")
        happen(stage, "alarm.raised")
        claims = delivering._claims

        def removed_since(engine: Engine, *given: Any) -> list[Claim]:
            found = claims(engine, *given)
            with writing(engine) as session:
                if session.get(Webhook, removed):
                    remove_webhook(session, project=stage.project, by=None, webhook_id=removed)
            return found

        monkeypatch.setattr(delivering, "_claims", removed_since)
        said: list[str] = []
        assert deliver_due(stage.engine, private=True, say=said.append) == 2
        assert (types(receiver), types(other)) == (["alarm.raised"], [])
        assert any("was removed" in words for words in said)
    assert [one.delivered_at is not None for one in deliveries(stage)] == [True]


def test_nobody_waits_for_a_receiver_that_does_not_answer(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    send, dead = delivering.send, "http://127.0.0.1:9/hook"

    def timed(url: str, **given: Any) -> Answer:
        asked.append(url)
        # As if the timeout had passed.
        return Answer(None, "There was no answer.") if url == dead else send(url, **given)

    monkeypatch.setattr(delivering, "send", timed)
    subscribe(stage, dead, "alarm.raised")
    for _ in range(40):
        happen(stage, "alarm.raised")
    subscribe(stage, receiver.url, "alarm.raised")
    happen(stage, "alarm.raised")
    stop = threading.Event()

    def say(words: str) -> None:
        if "not delivered" not in words:
            stop.set()

    deliver_forever(stage.engine, private=True, stop=stop, say=say)
    assert types(receiver) == ["alarm.raised"]
    first = asked.count(dead)
    assert first <= 4
    assert deliver_due(stage.engine, private=True) == 41 - first, "each of them once"


def test_two_receivers_of_one_message_get_one_id(stage: Stage, receiver: Receiver) -> None:
    with receiving() as other:
        subscribe(stage, receiver.url, "alarm.raised")
        subscribe(stage, other.url, "alarm.raised")
        happen(stage, "alarm.raised")
        assert deliver_due(stage.engine, private=True) == 2
        assert other.ids == receiver.ids
