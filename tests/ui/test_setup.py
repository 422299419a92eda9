"""`rankloop init` with a model folder of one's own: what it makes, and that it makes it once."""

from pathlib import Path

import pytest
from sqlmodel import select

from labeling.accounts import authenticate
from labeling.imports.prompts import count_prompts
from labeling.policies import list_policies, live_policy
from labeling.projects import get_project
from storage.engine import build_engine, reading
from storage.settings import load_settings
from storage.tables import Account, Role
from ui.cli.commands import cli
from ui.cli.frame import run


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a model: setting up does not load it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    monkeypatch.setenv("RANKLOOP_MODEL", str(folder))
    return folder


def init(home: Path) -> int:
    return run(cli, ["--home", str(home), "init"])


def test_a_first_start_makes_everything(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(tmp_path / "home") == 0
    said = capsys.readouterr().out
    password = said.split("shown only now: ")[1].split()[0]
    with reading(build_engine(load_settings(home=tmp_path / "home").url)) as session:
        project = get_project(session, name="default")
        assert project.id is not None
        assert count_prompts(session, project_id=project.id) >= 500
        assert authenticate(session, name="admin", password=password).role is Role.ADMIN
        policy = live_policy(session, project_id=project.id)
        assert (policy.version, policy.checkpoint_uri) == (1, model.as_posix())


def test_a_second_run_changes_nothing_and_says_so(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(tmp_path / "home") == 0
    first = capsys.readouterr().out
    assert init(tmp_path / "home") == 0
    second = capsys.readouterr().out
    assert "shown only now" in first
    assert "shown only now" not in second
    assert "Project   default is there" in second
    assert f"Next: `rankloop --home {tmp_path / 'home'} up`" in second
    with reading(build_engine(load_settings(home=tmp_path / "home").url)) as session:
        project = get_project(session, name="default")
        assert project.id is not None
        assert len(list_policies(session, project_id=project.id)) == 1
        assert len(session.exec(select(Account)).all()) == 1


def test_a_later_run_changes_the_project_by_what_is_set(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert init(tmp_path / "home") == 0
    capsys.readouterr()
    monkeypatch.setenv("RANKLOOP_OVERLAP", "2")
    assert init(tmp_path / "home") == 0
    said = capsys.readouterr().out
    assert "overlap was 1, is 2 now" in said
    assert "completions_per_task" not in said
    with reading(build_engine(load_settings(home=tmp_path / "home").url)) as session:
        assert get_project(session, name="default").overlap == 2
    monkeypatch.delenv("RANKLOOP_OVERLAP")
    assert init(tmp_path / "home") == 0
    assert "now" not in capsys.readouterr().out
    with reading(build_engine(load_settings(home=tmp_path / "home").url)) as session:
        assert get_project(session, name="default").overlap == 2


def test_a_second_project_shares_the_accounts(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(tmp_path / "home") == 0
    assert run(cli, ["--home", str(tmp_path / "home"), "--project", "other", "init"]) == 0
    assert "Accounts  1 is there" in capsys.readouterr().out


def test_after_a_failure_the_next_run_goes_on(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = model / "model.safetensors"
    weights.rename(model / "moved")
    assert init(tmp_path / "home") == 1
    said = capsys.readouterr()
    assert "no .safetensors file" in said.err
    assert said.err.count("\n") == 1
    (model / "moved").rename(weights)
    assert init(tmp_path / "home") == 0
    assert "Policy    version 1 is live" in capsys.readouterr().out


def test_a_home_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert init(tmp_path / "file" / "home") == 1
    said = capsys.readouterr().err
    assert "set RANKLOOP_HOME to a folder that you can write to" in said
    assert said.count("\n") == 1
