"""`rankloop account`, in this process on a database of its own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from labeling.people.invitations import accept
from labeling.people.sign_ins import open_sign_in
from storage.engine import reading, writing
from storage.tables import Account, Role
from tests.sample_rows import add_account
from tests.ui.conftest import Home
from tests.ui.small_home import small_home
from ui.cli.commands import cli
from ui.cli.frame import run

Said = Callable[..., Any]


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path) -> Iterator[Home]:
    made = small_home(tmp_path / "home", sqlite_template)
    yield made
    made.engine.dispose()


@pytest.fixture
def said(home: Home, capsys: pytest.CaptureFixture[str]) -> Said:
    """Run `rankloop account …`; return what it printed, read as JSON where `--json` is given."""

    def run_it(*arguments: str, code: int = 0) -> Any:
        assert run(cli, ["--home", str(home.path), "account", *arguments]) == code
        out, err = capsys.readouterr()
        return err if code else json.loads(out) if "--json" in arguments else out

    return run_it


def test_an_invitation_from_the_shell(home: Home, said: Said) -> None:
    made = said("invite", "--role", "lead", "--in-project", "--note", "for Ada", "--json")
    base, _, code = made["link"].partition("#")
    assert base == "http://localhost:8501/join"
    (row,) = said("invitations", "--json")
    assert (row["role"], row["project"], row["note"], row["state"]) == (
        "lead", "default", "for Ada", "open",
    )  # fmt: skip
    assert code not in json.dumps(row)
    with writing(home.engine) as session:
        accept(session, code=code, name="ada", password=None)
    assert "used by ada" in said("invitations")
    assert "not open any more" in said("uninvite", str(row["id"]), code=1)
    (ada,) = said("list", "--json")
    assert ada["project_roles"] == {"*": "", "default": "lead"}
    assert "/join#" in said("reset", "ada", "--hours", "1")
    said("uninvite", "2")
    assert "revoked" in said("invitations")


def test_the_link_is_where_people_reach_the_server(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKLOOP_ACCOUNTS__PUBLIC_URL", "https://rank.example.org")
    assert said("invite", "--role", "admin", "--json")["link"].startswith(
        "https://rank.example.org/join#"
    )


def test_roles_and_switching_off(home: Home, said: Said) -> None:
    add_account(home.engine, "ada")
    add_account(home.engine, "root", role=Role.ADMIN)
    said("role", "ada", "engineer")
    said("role", "ada", "none", "--in-project")
    assert "engineer   active" in said("list", "--search", "AD")
    assert "default: nothing" in said("list", "--search", "AD")
    said("role", "ada", "same", "--in-project")
    assert "default" not in said("list")
    assert "add --in-project" in said("role", "ada", "none", code=2)
    assert "last admin" in said("switch-off", "root", code=1)
    assert "no account nobody" in said("role", "nobody", "lead", code=1)
    said("switch-off", "ada")
    with reading(home.engine) as session:
        assert not session.exec(select(Account.active).where(Account.name == "ada")).one()
    said("switch-on", "ada")
    with reading(home.engine) as session:
        assert session.exec(select(Account.active).where(Account.name == "ada")).one()


def test_sign_ins_and_signing_out(home: Home, said: Said) -> None:
    ada = add_account(home.engine, "ada")
    assert said("sign-ins", "ada") == "ada is signed in nowhere.\n"
    with writing(home.engine) as session:
        for _ in range(3):
            open_sign_in(session, account_id=ada.id or 0, hours=1)
    rows = said("sign-ins", "ada", "--json")
    said("sign-out", "ada", "--only", rows[0]["name"])
    assert {row["name"] for row in said("sign-ins", "ada", "--json")} == {
        row["name"] for row in rows[1:]
    }
    assert said("sign-out", "ada") == "2 sign-ins of ada are closed.\n"


def test_tokens_from_the_shell(home: Home, said: Said) -> None:
    add_account(home.engine, "ada")
    secret = said("token", "ada", "--name", "CI", "--action", "export").split()[-1]
    assert secret.startswith("rlt_")
    (row,) = said("tokens", "ada", "--json")
    assert (row["name"], row["actions"]) == ("CI", ["export"])
    assert "no action fly" in said("token", "ada", "--name", "x", "--action", "fly", code=1)
    said("revoke-token", "ada", str(row["id"]))
    assert said("tokens", "ada") == "ada has no token.\n"
