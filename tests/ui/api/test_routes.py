import io
import json
import tarfile
import tempfile
from pathlib import Path

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from labeling.people.refused_tokens import FREE, REFUSED
from labeling.people.roles import switch_off
from labeling.people.sign_ins import open_sign_in
from labeling.permissions import PERMITTED, Action
from storage.engine import reading, writing
from storage.tables import AccessToken, Account, Event, Prompt, Role
from tests.ui.api.conftest import As, pairs
from tests.ui.conftest import Home
from ui.api.endpoints import BASE, ENDPOINTS, Endpoint
from ui.cookie import COOKIE

GETS = [each.path for each in ENDPOINTS if each.method == "GET" and "{" not in each.path]
#: what each endpoint needs; the requests are such that only the permission can refuse them first
NEEDS = {
    "GET /queue": "see_quality", "GET /stats": "see_quality", "GET /reliability": "see_quality",
    "GET /rounds": "see_quality", "POST /rounds": "request_round",
    "GET /policies": "see_quality", "GET /events": "manage_webhooks",
    "GET /snapshots": "export", "POST /snapshots": "export", "GET /snapshots/{which}": "export",
    "GET /snapshots/{which}/export": "export", "GET /imports": "import",
    "POST /prompts": "manage_prompts", "POST /completions": "import",
    "POST /preferences": "import", "GET /webhooks": "manage_webhooks",
    "POST /webhooks": "manage_webhooks", "DELETE /webhooks/{id}": "manage_webhooks",
}  # fmt: skip
HOOK = {"url": "https://hooks.example.org/x", "kinds": ["task.completed"], "secret_env": "HOOK_S"}


def hook(name: str) -> dict[str, object]:
    return {**HOOK, "url": f"https://example.org/{name}", "secret_env": f"HOOK_{name}"}


def ask(client: TestClient, endpoint: Endpoint) -> int:
    path = BASE + endpoint.path.replace("{which}", "999").replace("{id}", "999")
    body: dict[str, object] = {}
    if endpoint.takes == "json":
        body = {"json": HOOK if endpoint.path == "/webhooks" else {"query": {"policies": [99]}}}
    if endpoint.takes == "rows":
        body = {"content": b"{}"}
    return client.request(endpoint.method, path, **body).status_code  # type: ignore[arg-type]


def test_every_endpoint_is_in_the_table() -> None:
    assert {f"{each.method} {each.path}" for each in ENDPOINTS} == {*NEEDS, "GET /me"}


@pytest.mark.parametrize("role", Role)
def test_each_role_gets_exactly_what_its_actions_allow(api_as: As, role: Role) -> None:
    client = api_as(role)
    for endpoint in ENDPOINTS:
        needs = NEEDS.get(f"{endpoint.method} {endpoint.path}")
        allowed = needs is None or Action(needs) in PERMITTED[role]
        assert (ask(client, endpoint) != 403) is allowed, endpoint.path


@pytest.mark.parametrize("action", ["export", "see_quality"])
def test_a_token_may_do_less_than_its_account(api_as: As, action: str) -> None:
    client = api_as(Role.ADMIN, action)
    for endpoint in ENDPOINTS:
        needs = NEEDS.get(f"{endpoint.method} {endpoint.path}")
        assert (ask(client, endpoint) != 403) is (needs in (None, action)), endpoint.path
    assert client.get(f"{BASE}/me").json()["actions"] == [action]


def test_without_a_good_token_nothing_is_answered(api_as: As, api_home: Home) -> None:
    client = api_as(Role.ADMIN)
    with writing(api_home.engine) as session:
        admin = session.exec(select(Account).where(Account.role == Role.ADMIN)).first()
        assert admin is not None
        cookie = open_sign_in(session, account_id=admin.id or 0, hours=1)
    good = client.headers["authorization"]
    recorded = refusals(api_home)
    for headers in (
        {"authorization": ""}, {"authorization": good + "x"}, {"authorization": "Basic abc"},
        {"authorization": "", "cookie": f"{COOKIE}={cookie}"},
        {"authorization": f"Bearer {cookie}"},
    ):  # fmt: skip
        for path in GETS:
            answer = client.get(BASE + path, headers=headers)
            assert answer.status_code == 401, (headers, path)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "access token is not good" in answer.json()["error"]
    assert client.get(f"{BASE}/me").status_code == 200
    # Two of them sent a token; more than a few of one address are not recorded.
    assert refusals(api_home) - recorded == FREE


def refusals(home: Home) -> int:
    with reading(home.engine) as session:
        return len(session.exec(select(Event.id).where(Event.kind == REFUSED)).all())


def test_a_token_of_an_account_that_is_off_is_worth_nothing(api_as: As, api_home: Home) -> None:
    client = api_as(Role.LEAD)
    name = client.get(f"{BASE}/me").json()["account"]
    with writing(api_home.engine) as session:
        account = session.exec(select(Account).where(Account.name == name)).one()
        token = session.exec(select(AccessToken).where(AccessToken.account_id == account.id)).one()
        assert token.last_used_at is not None
        switch_off(session, account=account, by=None)
    assert client.get(f"{BASE}/me").status_code == 401


def test_what_is_not_there_is_said_in_json(api_as: As) -> None:
    client = api_as()
    for method, path in (("GET", "/nothing"), ("PUT", "/queue"), ("GET", "/"), ("GET", "/a/b/c")):
        answer = client.request(method, BASE + path)
        assert answer.status_code == 404 and "openapi.json" in answer.json()["error"]
    answer = client.get(f"{BASE}/snapshots/none-such")
    assert answer.status_code == 404 and set(answer.json()) == {"error"}


def test_prompts_come_in_whole_or_not_at_all(api_as: As, api_home: Home) -> None:
    client = api_as(Role.ENGINEER)
    rows = "\n".join(json.dumps({"prompt": f"Which {number}?"}) for number in range(3))
    answer = client.post(f"{BASE}/prompts?tag=api", content=rows)
    assert (answer.status_code, answer.json()) == (201, {"added": 3, "duplicates": 0, "total": 3})
    assert client.post(f"{BASE}/prompts", content=rows).json()["duplicates"] == 3
    bad = client.post(f"{BASE}/prompts", content='{"prompt": "New?"}\n{"prompt": 7}')
    assert bad.status_code == 400
    assert (bad.json()["line"], bad.json()["field"]) == (2, "prompt")
    assert bad.json()["error"].startswith("rows.jsonl, line 2, field prompt: ")
    assert tempfile.gettempdir() not in bad.text
    with reading(api_home.engine) as session:
        texts = [each.messages[0]["content"] for each in session.exec(select(Prompt))]
    assert "New?" not in texts and texts.count("Which 1?") == 1


def test_a_body_that_is_too_large_or_no_json_is_refused(api_as: As) -> None:
    client = api_as(Role.LEAD)
    large = client.post(f"{BASE}/prompts", content=b"x" * 200_000)
    assert large.status_code == 413 and "KiB are the most" in large.json()["error"]
    for content in (b"{", b"[" * 40_000, b"\xff"):
        assert client.post(f"{BASE}/snapshots", content=content).status_code == 400
    answer = client.post(f"{BASE}/snapshots", json={"nmae": "x"})
    assert "no field nmae" in answer.json()["error"]
    assert client.get(f"{BASE}/events?since=-1").status_code == 400
    assert client.post(f"{BASE}/prompts?extension=exe", content=b"x").status_code == 400


def test_preferences_come_in_and_go_out(
    api_as: As, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client = api_as(Role.LEAD)
    rows = pairs("another file")
    assert "source is missing" in client.post(f"{BASE}/preferences", content=rows).text
    done = client.post(f"{BASE}/preferences?source=lab", content=rows)
    assert (done.status_code, done.json()["judgments"]) == (201, 6)
    again = client.post(f"{BASE}/preferences?source=lab", content=rows)
    assert again.status_code == 409
    frozen = client.post(f"{BASE}/snapshots", json={"name": "nightly"}).json()
    shown = client.get(f"{BASE}/snapshots/nightly").json()
    assert shown["rows_sha256"] == frozen["rows_sha256"]
    assert [each["name"] for each in client.get(f"{BASE}/snapshots").json()][-1] == "nightly"
    sent = client.get(f"{BASE}/snapshots/nightly/export?validation_share=0")
    with tarfile.open(fileobj=io.BytesIO(sent.content)) as tar:
        names = {Path(name).name for name in tar.getnames()}
    assert {"README.md", "train.jsonl"} <= names
    one = client.get(f"{BASE}/snapshots/nightly/export?split=train&validation_share=0")
    assert all("chosen" in json.loads(line) for line in one.text.splitlines())
    assert 'filename="snapshot-' in one.headers["content-disposition"]
    for query in ("split=all", "format=none", "files=exe", "validation_share=x"):
        assert client.get(f"{BASE}/snapshots/nightly/export?{query}").status_code == 400
    assert not list(tmp_path.glob("rankloop-api-*")), "what was sent is not left behind"


def test_events_come_once_they_are_asked_for_after(api_as: As) -> None:
    client = api_as(Role.LEAD)
    client.post(f"{BASE}/prompts", content='{"prompt": "What happened?"}')
    page = client.get(f"{BASE}/events").json()
    ids = [each["id"] for each in page["events"]]
    assert ids == sorted(ids) and page["events"][-1]["kind"] == "prompts.imported"
    assert page["next"] == 0, "all are younger than two minutes, so they come again"
    after = client.get(f"{BASE}/events?since={ids[-2]}&kind=prompts.imported").json()
    assert [each["id"] for each in after["events"]] == ids[-1:]


def test_webhooks_are_managed(api_as: As) -> None:
    client = api_as(Role.LEAD)
    made = client.post(f"{BASE}/webhooks", json=hook("other"))
    assert made.status_code == 201, made.text
    assert made.json()["id"] in [each["id"] for each in client.get(f"{BASE}/webhooks").json()]
    path = f"{BASE}/webhooks/{made.json()['id']}"
    assert client.delete(path).status_code == 200
    assert client.delete(path).status_code == 404
    assert client.delete(f"{BASE}/webhooks/x").status_code == 400


def test_numbers_that_no_database_holds_are_refused_and_name_no_other(api_as: As) -> None:
    client = api_as(Role.LEAD)
    made = client.post(f"{BASE}/webhooks", json=hook("kept")).json()
    longer = f"{made['id']:018d}7"
    assert client.delete(f"{BASE}/webhooks/{longer}").status_code == 400
    assert made["id"] in [each["id"] for each in client.get(f"{BASE}/webhooks").json()]
    assert client.get(f"{BASE}/events?since={'0' * 30}{'9' * 30}").status_code == 400
    assert client.get(f"{BASE}/events?since={'0' * 5000}").status_code == 400
    assert client.get(f"{BASE}/snapshots/{'9' * 30}").status_code == 404


def test_figures_are_json_without_nan(api_as: As) -> None:
    client = api_as(Role.ENGINEER)
    for path in GETS:
        answer = client.get(BASE + path)
        assert answer.status_code == 200, (path, answer.text)
        json.loads(answer.text, parse_constant=pytest.fail)
