"""What a request to the API names beside its file: refused by its field, and nothing is stored."""

import json
from urllib.parse import quote

import pytest
from sqlmodel import func, select
from starlette.testclient import TestClient

from storage.engine import reading
from storage.tables import Prompt, Role, Snapshot, Task, Webhook
from tests.ui.api.conftest import As
from tests.ui.conftest import Home
from ui.api.endpoints import BASE

HOSTILE = ["\x00", "a\x00b", "\x1b[2J", "a\u202eb", "zz-<x>\x7f"]
ANSWERS = json.dumps({"prompt": "Which?", "completions": ["one", "another"]})


def send(client: TestClient, field: str, text: str) -> tuple[int, str]:
    asked = quote(text)
    if field == "snapshot":
        answer = client.post(f"{BASE}/snapshots", json={"name": text})
    elif field == "query":
        answer = client.post(f"{BASE}/snapshots", json={"query": {"criteria": [text]}})
    elif field == "address":
        hook = {"url": f"https://x.example/{text}", "kinds": ["round.started"]}
        answer = client.post(f"{BASE}/webhooks", json={**hook, "secret_env": "HOOK_X"})
    elif field in ("tag", "language"):
        answer = client.post(f"{BASE}/prompts?{field}={asked}", content='{"prompt": "Odd?"}')
    else:
        query = {"source": "s", "model": "m", field: text}
        words = "&".join(f"{name}={quote(value)}" for name, value in query.items())
        answer = client.post(f"{BASE}/completions?{words}", content=ANSWERS)
    return answer.status_code, answer.json().get("error", "")


def stored(home: Home) -> list[int]:
    with reading(home.engine) as session:
        tables = (Prompt, Task, Snapshot, Webhook)
        return [session.exec(select(func.count()).select_from(one)).one() for one in tables]


@pytest.mark.parametrize("field", ["snapshot", "address", "tag", "language", "source", "model"])
def test_a_text_that_commands_or_cannot_be_stored_is_refused_by_its_field(
    api_as: As, api_home: Home, field: str
) -> None:
    client, before = api_as(Role.ENGINEER), stored(api_home)
    for text in HOSTILE:
        status, error = send(client, field, text)
        assert status == 400 and field in error, (text, status, error)
        assert error.isprintable()
    assert stored(api_home) == before


def test_nor_does_one_come_in_by_a_query(api_as: As, api_home: Home) -> None:
    client, before = api_as(Role.ENGINEER), stored(api_home)
    status, error = send(client, "query", "a\x00")
    assert status == 400 and "NUL" in error
    assert stored(api_home) == before
