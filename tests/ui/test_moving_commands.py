"""`rankloop db copy`, `backup` and `restore`: what they advise works, and what is not in them."""

import gc
import json
import shlex
from pathlib import Path

import pytest
from sqlmodel import select

from storage import engine as engines
from storage.engine import reading, writing
from storage.errors import Unavailable
from storage.settings import load_settings
from storage.tables import Account, Event, Policy, Role
from tests.ui.conftest import Home
from ui.cli import checks
from ui.cli.commands import cli
from ui.cli.frame import run


def at(home: Home, *arguments: str) -> int:
    return run(cli, ["--home", str(home.path), *arguments])


def test_the_address_of_a_copy_is_good_in_every_folder(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here, elsewhere = tmp_path / "with a space", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(here)
    assert at(home, "db", "copy", "--to", "sqlite:///copy.db") == 0
    (assignment,) = shlex.split(capsys.readouterr().out.splitlines()[-1].split("now on: ")[1])
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv(*assignment.split("=", 1))
    assert at(home, "queue", "--json") == 0


def test_a_relative_address_says_what_it_is_relative_to(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKLOOP_DATABASE_URL", "sqlite:///copy.db")
    assert at(home, "queue") == 1
    said = capsys.readouterr().err
    assert f"no database at {tmp_path / 'copy.db'} (the URL names copy.db within" in said


def test_the_database_in_use_is_known_by_its_relative_name(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home.path)
    assert at(home, "db", "copy", "--to", "sqlite:///rankloop.db") == 1
    assert "is the one in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "cannot be read; it looks like sqlite:///file.db"),
        ("mysql://host/name", "of the kind mysql cannot be used; the URL must begin with sqlite"),
        ("postgresql://host/name", "run `pip install 'rankloop[postgres]'`"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_sentence(
    home: Home,
    url: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _name: None)
    assert at(home, "db", "copy", "--to", url) == 1
    complaint = capsys.readouterr().err
    assert said in complaint and "should not have" not in complaint
    monkeypatch.setenv("RANKLOOP_DATABASE_URL", url)
    assert at(home, "queue") == 1
    assert said in capsys.readouterr().err


def test_a_folder_that_is_not_there_yet_is_made_for_backups(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert at(home, "backup", "--out", f"{tmp_path}/nightly/", "--json") == 0
        made = Path(json.loads(capsys.readouterr().out)["file"])
        assert made.parent == tmp_path / "nightly" and made.suffix == ".tar"
        made.rename(made.with_name("the first.tar"))
    (tmp_path / "file").touch()
    assert at(home, "backup", "--out", f"{tmp_path}/file/") == 1
    assert "cannot be made (File exists); choose another place" in capsys.readouterr().err


def test_what_is_not_in_a_backup_says_where_it_comes_from(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with writing(home.engine) as session:
        policy = session.exec(select(Policy)).one()
        policy.name, policy.checkpoint_uri = home.settings.model, "models/of-rankloop"
        session.add(policy)
    file = str(tmp_path / "backup.tar")
    assert at(home, "backup", "--out", file, "--with-files") == 0
    wanted = "Not in it, `rankloop init` fetches it anew: models/of-rankloop\n"
    assert wanted in capsys.readouterr().out
    restored = tmp_path / "restored"
    assert run(cli, ["--home", str(restored), "restore", file]) == 0
    assert wanted in capsys.readouterr().out
    with pytest.raises(Unavailable, match="run `rankloop init`, which fetches it anew"):
        checks.model(load_settings(home=restored))


def _let_go(home: Home) -> None:
    """Close the database as the end of each command's process does."""
    home.engine.dispose()
    gc.collect()


def test_what_was_revoked_after_a_backup_is_told_and_done_again(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ada", "bob", "eve l"):
        home.account(name)
    home.account("root", Role.ADMIN)
    assert at(home, "account", "token", "bob", "--name", "CI") == 0
    file = str(tmp_path / "backup.tar")
    assert at(home, "backup", "--out", file) == 0
    assert at(home, "account", "revoke-token", "bob", "1") == 0
    assert at(home, "account", "switch-off", "bob") == 0
    assert at(home, "account", "role", "eve l", "none", "--in-project") == 0
    assert at(home, "privacy", "erase", "ada", "--yes") == 0
    _let_go(home)
    capsys.readouterr()
    assert at(home, "restore", file, "--replace") == 0
    said = capsys.readouterr().out
    assert "0 sign-ins, 0 open invitations, 1 token. Everybody signs in anew." in said
    todo = [line.partition(": ") for line in said.splitlines() if line.startswith("  ")]
    assert [what.strip() for what, _, _ in todo] == [
        "account 1 was erased", "bob was switched off", "eve l had the role none in default",
    ]  # fmt: skip
    assert "ada" not in said
    with reading(home.engine) as session:
        told = session.exec(select(Event.detail).where(Event.kind == "database.restored")).one()
    assert told["closed"] == {"sign_ins": 0, "invitations": 0, "tokens": 1}
    assert told["changed_ids"] == [1, 2, 3]
    for _, _, command in todo:
        words = shlex.split(command.removeprefix("rankloop "))
        assert at(home, *words, *(["--yes"] if "erase" in words else [])) == 0, command
    with reading(home.engine) as session:
        ada, bob, eve = (session.get_one(Account, key) for key in (1, 2, 3))
    assert ada.erased_at is not None and not bob.active and eve.project_roles == {"1": ""}


def test_who_keeps_the_sign_ins_of_a_backup_is_told_what_that_means(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.account("bob")
    file = str(tmp_path / "backup.tar")
    assert at(home, "backup", "--out", file) == 0
    other = tmp_path / "restored"
    capsys.readouterr()
    assert run(cli, ["--home", str(other), "restore", file, "--keep-sign-ins"]) == 0
    said = capsys.readouterr().out
    assert "revoked since is good again" in said and "Nothing was there to compare with" in said
    _let_go(home)
    assert run(cli, ["--home", str(other), "restore", file, "--replace", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changed"] == [] and told["closed"]["tokens"] == 0
