"""Chat completions of a server: retries, limits, deadlines, costs; the key is told to nobody."""

import logging
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from labeling.endpoint_policies import Endpoint, checked_endpoint
from reward.generation.endpoint_client import EndpointAnswer, EndpointClient, EndpointDown
from storage.errors import BadInput, RankloopError
from tests.reward.chat_server import Chatting, chatting

KEY = "sk-very-secret-0123456789"
ASK = [{"role": "user", "content": "Why?"}]


@pytest.fixture
def server() -> Iterator[Chatting]:
    with chatting() as served:
        yield served


def client(server: Chatting, **values: Any) -> EndpointClient:
    given = {"url": server.url, "model": "m", "first_wait": 0.01, "timeout": 5.0} | values
    return EndpointClient(Endpoint(**given), "far")


def ask(one: EndpointClient, **options: Any) -> EndpointAnswer:
    return one.answer(ASK, max_tokens=8, temperature=1.0, top_p=1.0, seed=3, **options)


def test_an_answer_with_its_cost(server: Chatting) -> None:
    found = ask(client(server, price_in=2.0, price_out=8.0, body={"seed": None, "user": "x"}))
    assert found.text == "Answer 1 to: Why?"
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (10, 5)
    assert found.usage.cost == pytest.approx((10 * 2.0 + 5 * 8.0) / 1_000_000)
    sent = server.requests[0]
    assert sent == {
        "model": "m", "messages": ASK, "max_tokens": 8, "temperature": 1.0, "top_p": 1.0,
        "user": "x",
    }  # fmt: skip


def test_an_answer_without_a_count_is_unmetered(server: Chatting) -> None:
    server.usage = None
    assert ask(client(server)).usage.unmetered == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_it_is_asked_again(server: Chatting, status: int) -> None:
    server.faults = [(status, {}, "busy"), (status, {}, "busy")]
    assert ask(client(server)).text.startswith("Answer 3")


def test_attempts_end(server: Chatting) -> None:
    server.faults = [(503, {}, "overloaded")] * 9
    with pytest.raises(EndpointDown, match="far gave no completion: HTTP 503: overloaded"):
        ask(client(server, attempts=3))
    assert len(server.requests) == 3


def test_retry_after_is_honoured(server: Chatting) -> None:
    server.faults = [(429, {"Retry-After": "1"}, "slow down")]
    ask(client(server))
    assert server.times[1] - server.times[0] >= 1.0


def test_a_wait_past_the_deadline_is_not_begun(server: Chatting) -> None:
    at = formatdate(time.time() + 60, usegmt=True)
    for header in ("60", at):
        server.faults = [(429, {"Retry-After": header}, "slow down")]
        began = time.monotonic()
        with pytest.raises(EndpointDown) as caught:
            ask(client(server), deadline=began + 2)
        assert time.monotonic() - began < 1 and 50 < caught.value.seconds <= 60


def test_a_slow_server_is_given_up(server: Chatting) -> None:
    server.sleeps = 3.0
    began = time.monotonic()
    with pytest.raises(EndpointDown, match="no answer in time"):
        ask(client(server, timeout=0.3, attempts=2))
    assert time.monotonic() - began < 2
    began = time.monotonic()
    with pytest.raises(EndpointDown):
        ask(client(server, timeout=60), deadline=began + 0.3)
    assert time.monotonic() - began < 2


def test_requests_a_minute_are_spaced(server: Chatting) -> None:
    one = client(server, requests_per_minute=300)
    for _ in range(3):
        ask(one)
    assert server.times[2] - server.times[0] >= 0.35
    slow = client(server, requests_per_minute=1)
    ask(slow)
    with pytest.raises(EndpointDown, match="requests a minute"):
        ask(slow, deadline=time.monotonic() + 1)


def test_the_key_is_sent_and_told_to_nobody(
    server: Chatting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FAR_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    server.key = KEY
    one = client(server, key_env="FAR_KEY", attempts=1)
    assert ask(one).text
    told = []
    for fault in ((401, {}, f"bad key {KEY}"), (500, {}, f"key {KEY}"), (400, {}, f"with {KEY}")):
        server.faults = [fault]
        with pytest.raises(RankloopError) as caught:
            ask(one)
        told.append(str(caught.value))
    assert KEY not in " ".join([*told, caplog.text, repr(one.endpoint)])
    assert "check FAR_KEY" in told[0] and "***" in told[1]


def test_a_redirect_is_not_followed(server: Chatting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", KEY)
    with chatting() as other:
        server.faults = [(307, {"Location": f"{other.url}/chat/completions"}, "")]
        with pytest.raises(BadInput, match="HTTP 307"):
            ask(client(server, key_env="FAR_KEY"))
        assert other.requests == []


@pytest.mark.parametrize("body", ["no json", "{}", '{"choices": [{"message": {"content": null}}]}'])
def test_what_is_no_completion_is_said(server: Chatting, body: str) -> None:
    server.faults = [(200, {}, body)]
    with pytest.raises(EndpointDown, match="its answer"):
        ask(client(server, attempts=1))


def test_what_no_database_holds_is_not_told(server: Chatting) -> None:
    server.faults = [(500, {}, "out\x00of \x1b[31mmemory")]
    with pytest.raises(EndpointDown) as caught:
        ask(client(server, attempts=1))
    assert str(caught.value).isprintable() and "of \\x1b[31mmemory" in str(caught.value)
    server.usage = {"prompt_tokens": 1, "completion_tokens": 2**40}
    assert ask(client(server)).usage.unmetered == 1


def test_a_wait_without_bound_is_a_day(server: Chatting) -> None:
    server.faults = [(429, {"Retry-After": "9" * 400}, "slow down")]
    with pytest.raises(EndpointDown) as caught:
        ask(client(server, attempts=1))
    assert caught.value.seconds == 86_400.0


def test_a_key_that_is_not_set_and_one_given_in_place_of_its_name(
    server: Chatting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAR_KEY", raising=False)
    with pytest.raises(BadInput, match="FAR_KEY"):
        client(server, key_env="FAR_KEY")
    for values in ({"key_env": KEY}, {"url": f"https://u:{KEY}@host/v1"},
                   {"url": f"https://host/v1?key={KEY}"}):  # fmt: skip
        with pytest.raises(BadInput) as caught:
            checked_endpoint({"url": server.url, "model": "m"} | values)
        assert KEY not in str(caught.value)
