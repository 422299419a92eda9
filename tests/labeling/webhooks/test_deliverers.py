"""Deliverers beside each other, ended ones, and the loop that each of them runs."""

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

from labeling.labeling_sections import WebhookSettings
from labeling.webhooks import delivering
from labeling.webhooks.deliveries import Claim, claim, settle
from labeling.webhooks.delivering import deliver_due, deliver_forever
from labeling.webhooks.outbox import put_in
from labeling.webhooks.sending import Answer
from labeling.webhooks.subscriptions import remove_webhook
from storage.engine import build_engine, writing
from storage.tables import Webhook
from tests.labeling.stage import Stage
from tests.labeling.webhooks.receiver import Receiver, receiving
from tests.labeling.webhooks.subscribing import deliveries, happen, make_due, subscribe, types

SETTINGS = WebhookSettings()


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
        claims, one_at_a_time = delivering._claims, threading.Lock()

        def removed_since(engine: Engine, *given: Any) -> list[Claim]:
            found = claims(engine, *given)
            # Each receiver's deliveries are claimed in a thread of its own.
            with one_at_a_time, writing(engine) as session:
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
