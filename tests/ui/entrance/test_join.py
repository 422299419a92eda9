import re

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from labeling.people.invitations import invite, offer_new_password
from storage.engine import reading, writing
from storage.tables import Account, Project, Role, SignIn
from tests.ui.conftest import PASSWORD, Home
from ui.cookie import COOKIE


def link(home: Home, role: Role = Role.LEAD, account: Account | None = None) -> str:
    with writing(home.engine) as session:
        project = session.get_one(Project, home.project_id)
        if account is not None:
            return offer_new_password(session, account=account, hours=1, by=None)[1]
        return invite(session, role=role, hours=1, by=None, project=project)[1]


def join(client: TestClient, code: str, name: str, password: str = PASSWORD, **more: str) -> int:
    fields = {"code": code, "step": "join", "name": name, "password": password}
    return client.post("/join", data={**fields, "again": password, **more}).status_code


def test_the_page_has_one_script_and_fetches_nothing(client: TestClient) -> None:
    answer = client.get("/join")
    policy = answer.headers["content-security-policy"]
    (nonce,) = re.findall(r'<script nonce="([^"]+)">', answer.text)
    assert f"script-src 'nonce-{nonce}';" in policy and "default-src 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_looking_at_a_link_does_not_use_it_up(client: TestClient, entrance_home: Home) -> None:
    code = link(entrance_home)
    for _ in range(2):
        text = client.post("/join", data={"code": code}).text
        assert "You are invited to the project default. Your role: lead." in text
    assert join(client, code, "ada") == 303
    assert client.get("/").text == "inside"
    with reading(entrance_home.engine) as session:
        assert str(session.exec(select(SignIn.way)).one()) == "invitation"
    answer = client.post("/join", data={"code": code})
    assert (answer.status_code, "was used" in answer.text) == (410, True)


def test_what_does_not_fit_is_said_and_the_link_stays(
    client: TestClient, entrance_home: Home
) -> None:
    entrance_home.account("ada")
    code = link(entrance_home)
    assert join(client, code, "ada") == 400
    assert join(client, code, "bob", "short") == 400
    assert join(client, code, "bob", again="another one") == 400
    assert COOKIE not in client.cookies
    assert join(client, code, "bob") == 303


def test_a_link_to_a_new_password_names_the_account(
    client: TestClient, entrance_home: Home
) -> None:
    ada = entrance_home.account("<i>ada</i>")
    code = link(entrance_home, account=ada)
    text = client.post("/join", data={"code": code}).text
    assert "Choose a new password for &lt;i&gt;ada" in text and "readonly" in text
    assert "<i>" not in text
    assert join(client, code, "mallory", "another password") == 303
    with reading(entrance_home.engine) as session:
        assert session.exec(select(Account.name)).all() == ["<i>ada</i>"]


def test_joining_ends_the_sign_in_that_the_browser_had(
    client: TestClient, entrance_home: Home
) -> None:
    entrance_home.account("ada")
    client.post("/login", data={"name": "ada", "password": PASSWORD})
    assert join(client, link(entrance_home), "bob") == 303
    with reading(entrance_home.engine) as session:
        rows = session.exec(select(SignIn.revoked_at)).all()
    assert sorted(row is None for row in rows) == [False, True]


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_form_of_another_site_joins_nobody(
    client: TestClient, entrance_home: Home, origin: str
) -> None:
    code = link(entrance_home)
    fields = {"code": code, "step": "join", "name": "m", "password": PASSWORD, "again": PASSWORD}
    answer = client.post("/join", data=fields, headers={"origin": origin})
    assert answer.status_code == 403
    with reading(entrance_home.engine) as session:
        assert not session.exec(select(Account)).all()


def test_a_chinese_browser_is_spoken_to_in_chinese(client: TestClient, entrance_home: Home) -> None:
    answer = client.post(
        "/join", data={"code": link(entrance_home)}, headers={"accept-language": "zh"}
    )
    assert "您受邀加入项目 default，角色：负责人。" in answer.text
