"""Webhooks and events from the command line."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from labeling.events import record
from storage.engine import writing
from tests.labeling.webhooks.receiver import SECRET, VARIABLE, Receiver, receiving
from tests.ui.conftest import Home, command, environment
from ui.cli.commands import cli
from ui.cli.frame import run


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv(VARIABLE, SECRET)
    monkeypatch.setenv("RANKLOOP_WEBHOOK_PRIVATE_ADDRESSES", "true")
    with receiving() as found:
        yield found


def at(home: Home, *arguments: str) -> int:
    return run(cli, ["--home", str(home.path), *arguments])


def add(home: Home, url: str) -> int:
    return at(home, "webhook", "add", url, "--event", "alarm.raised", "--secret-env", VARIABLE)


def happen(home: Home) -> None:
    with writing(home.engine) as session:
        record(session, project_id=home.project_id, account_id=None, kind="alarm.raised", text="x")


def test_a_webhook_is_added_tested_listed_and_removed(
    home: Home, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(home, receiver.url) == 0
    assert at(home, "webhook", "test", "1") == 0
    assert "accepted: 204" in capsys.readouterr().out
    happen(home)
    assert at(home, "webhook", "deliver", "--once") == 0
    assert "alarm.raised" in capsys.readouterr().out
    assert at(home, "webhook", "list", "--json", "--deliveries", "5") == 0
    found = json.loads(capsys.readouterr().out)
    assert [hook["delivered"] for hook in found["webhooks"]] == [2]
    assert [one["kind"] for one in found["deliveries"]] == ["alarm.raised", "webhook.tested"]
    receiver.statuses = [500]
    assert at(home, "webhook", "test", "1") == 1
    assert "not accepted: 500" in capsys.readouterr().out
    assert at(home, "webhook", "remove", "1") == 0
    assert at(home, "webhook", "remove", "1") == 1


def test_an_address_of_the_own_network_is_refused_unless_allowed(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(home, "http://127.0.0.1:9/") == 1
    assert "must be like https://" in capsys.readouterr().err
    for host in ("127.0.0.1", "localhost", "[::1]", "169.254.169.254"):
        assert add(home, f"https://{host}:9/") == 1
        assert "not of the public internet" in capsys.readouterr().err
    assert add(home, "https://name.invalid/") == 0, "what a name means is seen when it is told"
    assert "cannot be read yet" in capsys.readouterr().err
    monkeypatch.setenv(VARIABLE, SECRET)
    assert at(home, "webhook", "test", "1") == 1
    assert "not accepted: The name name.invalid has no address" in capsys.readouterr().out


def test_the_deliverer_runs_until_it_is_stopped(home: Home, receiver: Receiver) -> None:
    assert add(home, receiver.url) == 0
    process = subprocess.Popen(
        command("--home", str(home.path), "webhook", "deliver"),
        env=environment(
            RANKLOOP_WEBHOOK_PRIVATE_ADDRESSES="true", **{VARIABLE: os.environ[VARIABLE]}
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    happen(home)
    deadline = time.monotonic() + 30
    while not receiver.got and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "alarm.raised of event" in out
    assert len(receiver.got) == 1


def test_events_are_listed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    happen(home)
    assert at(home, "events", "--last", "1", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["kind"], row["detail"], row["tells"]) == (
        "alarm.raised", {"text": "x"}, ["alarm.raised"],
    )  # fmt: skip
    assert at(home, "events", "--kind", "alarm.raised") == 0
    assert 'text="x"' in capsys.readouterr().out


def test_the_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["webhook", "kinds"]) == 0
    assert "round.published" in capsys.readouterr().out
