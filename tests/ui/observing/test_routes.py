"""What load balancers and Prometheus are answered, and who is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from storage.engine import writing
from storage.settings import load_settings
from storage.tables import Task, TaskStatus
from tests.ui.conftest import Home
from tests.ui.small_home import small_home
from ui import process
from ui.observing import routes
from ui.observing.instruments import observed
from ui.observing.requests import Requests

TOKEN = "a-token-of-more-than-sixteen"


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path) -> Iterator[Home]:
    made = small_home(tmp_path / "home", sqlite_template, judgments=8)
    yield made
    made.engine.dispose()


@pytest.fixture
def client(home: Home) -> Iterator[TestClient]:
    yield from serving(home, metrics_seconds=0.0)


def serving(home: Home, **settings: Any) -> Iterator[TestClient]:
    process.configure(load_settings(home=home.path, **settings))
    app = Starlette(routes=routes.routes())
    with TestClient(
        Requests(app), base_url="http://127.0.0.1:8501", client=("127.0.0.1", 5)
    ) as client:
        yield client
    process.configure(load_settings(home=home.path))


def families(client: TestClient) -> dict[str, dict[tuple[str, ...], float]]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        sample.name: {
            tuple(each.labels.values()): each.value
            for each in family.samples
            if each.name == sample.name
        }
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_alive_and_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"ok": True}
    assert client.get("/readyz").json() == {"ok": True}


def test_an_older_database_is_not_ready_but_the_process_is_alive(
    client: TestClient, home: Home
) -> None:
    with home.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "at revision 0001" in answer.json()["problem"]
    assert "rankloop init" in answer.json()["problem"]
    assert client.get("/healthz").status_code == 200


def test_no_database_is_said_without_its_address(home: Home) -> None:
    secret = "postgresql://ada:sesame@127.0.0.1:1/x"
    for client in serving(home, database_url=secret):
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["problem"].startswith("The database does not answer")
        assert not [word for word in ("sesame", "127.0.0.1", "ada") if word in answer.text]
        assert families(client)["rankloop_database_up"] == {(): 0.0}


def test_the_database_is_asked_once_in_a_while(home: Home) -> None:
    for client in serving(home, metrics_seconds=60.0):
        before = families(client)["rankloop_tasks"]
        with writing(home.engine) as session:
            task = session.get_one(Task, 1)
            task.status = TaskStatus.WITHDRAWN
            session.add(task)
        assert families(client)["rankloop_tasks"] == before


def test_figures_are_those_of_the_database(client: TestClient) -> None:
    found = families(client)
    assert found["rankloop_tasks"] == {
        ("ready",): 8.0,
        ("done",): 0.0,
        ("review",): 0.0,
        ("withdrawn",): 0.0,
    }
    assert found["rankloop_policy_live_version"] == {(): 1.0}
    assert found["rankloop_judgments_total"] == {(): 8.0}


def test_what_an_annotator_did_is_timed_with_its_outcome(client: TestClient) -> None:
    before = families(client).get("rankloop_deed_seconds_count", {})
    with observed("submit", account_id=1):
        pass
    with pytest.raises(ZeroDivisionError), observed("submit", account_id=1):
        1 / 0  # noqa: B018
    after = families(client)["rankloop_deed_seconds_count"]
    for outcome in ("done", "failed"):
        assert after[("submit", outcome)] == before.get(("submit", outcome), 0) + 1


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "10.0.0.1"},
        {"forwarded": "for=10.0.0.1"},
        {"x-real-ip": "10.0.0.1"},
        {"host": "evil.example"},
    ],
)
def test_what_comes_from_elsewhere_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 401
    assert "rankloop_tasks" not in answer.text


@pytest.mark.parametrize(
    ("host", "may"), [("127.0.0.1", True), ("::1", True), ("10.1.2.3", False), ("", False)]
)
def test_only_this_machine_needs_no_token(host: str, may: bool) -> None:
    request = asked(client=(host, 1) if host else None)
    assert routes.may_read_metrics(request, "") is may


@pytest.mark.parametrize(
    ("given", "may"),
    [(f"Bearer {TOKEN}", True), ("Bearer wrong", False), ("", False), ("Bearer é", False)],
)
def test_with_a_token_set_everyone_needs_it(given: str, may: bool) -> None:
    request = asked(client=("127.0.0.1", 1), authorization=given)
    assert routes.may_read_metrics(request, TOKEN) is may


def asked(client: tuple[str, int] | None, authorization: str = "") -> Request:
    headers = [(b"host", b"localhost:8501"), (b"authorization", authorization.encode("latin-1"))]
    return Request(
        {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"",
         "scheme": "http", "server": ("localhost", 8501), "headers": headers, "client": client}
    )  # fmt: skip
