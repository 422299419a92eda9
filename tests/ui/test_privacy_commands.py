import csv
import json
import zipfile
from pathlib import Path

import pytest

from labeling.accounts import create_account
from labeling.keys import key_of
from labeling.people.failed_sign_ins import record_failure
from labeling.people.sign_ins import Browser, open_sign_in
from labeling.permissions import PERMITTED, role_table
from storage.engine import build_engine, writing
from storage.tables import Role
from ui.cli.commands import cli
from ui.cli.frame import DONE, FAILED, WRONG_USAGE, run


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    file = folder / "rankloop.db"
    file.write_bytes(sqlite_template.read_bytes())
    engine = build_engine(f"sqlite:///{file}")
    with writing(engine) as session:
        create_account(session, name="ada", role=Role.ANNOTATOR, password="long enough 1")
        create_account(session, name="root", role=Role.ADMIN)
    engine.dispose()
    monkeypatch.setenv("RANKLOOP_HOME", str(folder))
    return folder


def test_a_person_is_handed_out_and_erased(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ada.zip"
    assert run(cli, ["privacy", "export", "ada", "--out", str(out), "--json"]) == DONE
    assert json.loads(capsys.readouterr().out)["rows"] == {"account": 1, "events_about": 1}
    assert "README.txt" in zipfile.ZipFile(out).namelist()
    assert run(cli, ["privacy", "export", "ada", "--out", str(out)]) == FAILED
    assert run(cli, ["privacy", "erase", "ada"]) == WRONG_USAGE
    assert "add --yes" in capsys.readouterr().err
    assert run(cli, ["privacy", "erase", "ada", "--yes", "--json"]) == DONE
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "erased-1" and told["events"] >= 1
    assert any("1 export of this person's data" in line for line in told["out_of_reach"])
    assert run(cli, ["privacy", "erase", "root", "--yes"]) == FAILED
    assert "last admin" in capsys.readouterr().err


def test_a_person_is_erased_by_number(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["privacy", "erase", "--yes"]) == WRONG_USAGE
    assert run(cli, ["privacy", "erase", "ada", "--number", "1", "--yes"]) == WRONG_USAGE
    assert "a NAME, or --number" in capsys.readouterr().err
    assert run(cli, ["privacy", "erase", "--number", "9", "--yes"]) == FAILED
    assert "There is no account 9" in capsys.readouterr().err
    assert run(cli, ["privacy", "erase", "--number", "1", "--yes"]) == DONE
    assert "The account is erased-1 now" in capsys.readouterr().out


def test_no_file_of_the_home_tells_who_was_erased(home: Path) -> None:
    # A server has the file open: its log is not put away when the command ends.
    server = build_engine(f"sqlite:///{home / 'rankloop.db'}")
    with writing(server) as session:
        ada = create_account(session, name="Ada Lovelace", role=Role.LEAD, password="long enough 1")
        secret = str(ada.password_hash).rpartition("$")[2]
        session.flush()
        record_failure(session, name="Ada Lovelace", browser=Browser("192.0.2.77", "Babbage OS"))
        open_sign_in(session, account_id=key_of(ada), hours=1, browser=Browser("192.0.2.77", "OS"))
    traces = ["Ada Lovelace", secret, "192.0.2.77"]
    assert _holding(home, traces) == {(trace, "rankloop.db-wal") for trace in traces}
    assert run(cli, ["privacy", "erase", "Ada Lovelace", "--yes"]) == DONE
    assert _holding(home, traces) == set()
    server.dispose()
    assert _holding(home, traces) == set()


def _holding(home: Path, traces: list[str]) -> set[tuple[str, str]]:
    """Return each trace with the name of each file under home that holds it."""
    files = {each.name: each.read_bytes() for each in home.rglob("*") if each.is_file()}
    return {
        (trace, name) for trace in traces for name, held in files.items() if trace.encode() in held
    }


def test_the_audit_log_is_shown_and_taken_away(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["audit"]) == DONE
    assert "the server's shell  Made an account  (ada)" in capsys.readouterr().out
    assert run(cli, ["audit", "--csv", "--kind", "account.created"]) == DONE
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["whom"] for row in rows] == ["root", "ada"]
    assert run(cli, ["audit", "--json"]) == DONE
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["kind"] == "audit.exported"
    assert run(cli, ["audit", "--kind", "judgment.stored"]) == FAILED
    assert run(cli, ["audit", "--kinds"]) == DONE


def test_the_role_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["account", "roles"]) == DONE
    assert capsys.readouterr().out.splitlines() == role_table()
    assert run(cli, ["account", "roles", "--json"]) == DONE
    told = json.loads(capsys.readouterr().out)
    assert {role: set(may) for role, may in told.items()} == {
        str(role): set(map(str, may)) for role, may in PERMITTED.items()
    }
