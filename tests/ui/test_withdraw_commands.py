"""Withdrawing from the command line."""

import json
from pathlib import Path

import pytest
from sqlmodel import select

from labeling.accounts import create_account
from labeling.judging.judgments import submit_judgment
from labeling.work_queue.assignment import next_assignment
from storage.engine import reading, writing
from storage.tables import Account, Role, Withdrawal
from tests.ui.conftest import Home
from ui.cli.commands import cli
from ui.cli.frame import run


def at(home: Home, *arguments: str) -> int:
    return run(cli, ["--home", str(home.path), *arguments])


def judge(home: Home, name: str) -> None:
    with writing(home.engine) as session:
        found = session.exec(select(Account).where(Account.name == name)).first()
        account = found or create_account(session, name=name, role=Role.ANNOTATOR)
        lent = next_assignment(
            session, project_id=home.project_id, annotator_id=account.id or 0, minutes=5
        )
        assert lent is not None
        submit_judgment(
            session,
            assignment_id=lent.assignment_id,
            annotator_id=account.id or 0,
            ranks=list(range(1, len(lent.completions) + 1)),
            milliseconds=2000,
            nonce=f"{name}-{lent.task_id}",
        )


def test_a_dry_run_tells_and_does_nothing(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    judge(home, "ann")
    assert at(home, "withdraw", "annotator", "ann", "--dry-run") == 0
    assert (
        "1 judgment of ann, on 1 task, and 0 demonstrations no longer count"
        in capsys.readouterr().out
    )
    with reading(home.engine) as session:
        assert session.exec(select(Withdrawal)).all() == []


def test_an_annotator_is_withdrawn_listed_and_put_back(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    judge(home, "ann")
    judge(home, "bob")
    arguments = ("withdraw", "annotator", "ann", "--reason", "guessed", "--json")
    assert at(home, *arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["withdrawal"], told["judgments"], told["annotators"]) == (1, 1, ["ann"])
    assert at(home, "withdraw", "list", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["annotator"], row["reason"], row["reverted_at"]) == ("ann", "guessed", None)
    assert at(home, "withdraw", "revert", "1", "--reason", "was bob") == 0
    assert at(home, "withdraw", "list") == 0
    assert "reverted" in capsys.readouterr().out


def test_whoever_may_still_judge_is_named_and_nobody_else(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge(home, "ann")
    row = {"prompt": "One?", "chosen": "a", "rejected": "b", "annotator": "zoe"}
    file = tmp_path / "theirs.jsonl"
    file.write_text(json.dumps(row) + "\n")
    assert at(home, "import", "preferences", str(file), "--source", "them") == 0
    why = ("--reason", "guessed")
    assert at(home, "withdraw", "annotator", "zoe (them)", "--import", "1", *why) == 0
    assert at(home, "withdraw", "annotator", "zoe (them)", *why) == 0
    assert "may still judge" not in capsys.readouterr().out, "an imported account judges nothing"
    assert at(home, "withdraw", "annotator", "ann", *why) == 0
    assert "ann may still judge" in capsys.readouterr().out


def test_a_window_says_what_is_wrong_with_it(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(home, "withdraw", "window", "--reason", "r") == 2
    assert "--since, --until or both" in capsys.readouterr().err
    assert at(home, "withdraw", "window", "--since", "yesterday", "--reason", "r") == 2
    assert "'yesterday' is no time" in capsys.readouterr().err
    assert at(home, "withdraw", "window", "--since", "2026-01-01") == 2
    assert "Give --reason" in capsys.readouterr().err
    judge(home, "ann")
    assert at(home, "withdraw", "window", "--since", "2020-01-01", "--reason", "r") == 0
    assert "1 judgment of ann" in capsys.readouterr().out
    assert at(home, "withdraw", "import", "7", "--reason", "r") == 1
    assert "no import 7" in capsys.readouterr().err
