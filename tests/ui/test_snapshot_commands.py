"""`rankloop snapshot` and `rankloop export` from end to end."""

import json
from pathlib import Path
from typing import Any

import pytest

from labeling.simulated.simulation import simulate
from storage.engine import reading, writing
from storage.tables import Project, Snapshot
from tests.ui.conftest import Home
from ui.cli.commands import cli
from ui.cli.frame import run


@pytest.fixture
def judged(home: Home) -> Home:
    with reading(home.engine) as session:
        project = session.get_one(Project, home.project_id)
    simulate(
        home.engine, project=project, annotators=2, judgments=8, noise=0.0, preference="shorter",
        seed=1, minutes=5, fill_pool=lambda: 0,
    )  # fmt: skip
    return home


def told(home: Home, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(cli, ["--home", str(home.path), *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_from_a_question_to_files(
    judged: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = told(judged, capsys, "snapshot", "create", "--name", "all")
    assert made["judgments"] == 8 and len(made["rows_sha256"]) == 64
    again = told(judged, capsys, "snapshot", "create")
    assert again["id"] == made["id"]
    one = told(
        judged, capsys, "snapshot", "create", "--annotator", "sim-1", "--consolidation", "majority"
    )
    assert one["consolidated"] == one["tasks"] and sum(one["excluded"].values()) > 0
    listed = told(judged, capsys, "snapshot", "list")
    assert [each["name"] for each in listed] == ["all", ""]
    assert told(judged, capsys, "snapshot", "show", "all") == made
    diff = told(judged, capsys, "snapshot", "diff", "all", str(one["id"]))
    assert len(diff["removed"]) == 8 - one["judgments"] and diff["added"] == []
    out = str(tmp_path / "out")
    done = told(
        judged, capsys, "export", "preferences", "--snapshot", "all", "--format", "ranking",
        "--files", "parquet", "--out", out,
    )  # fmt: skip
    assert sum(done["rows"].values()) == made["tasks"] and done["snapshot_id"] == made["id"]
    assert (tmp_path / "out/train.parquet").exists()


def test_the_words_of_each(judged: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["create", "--ties", "drop-any-tied"], "judgments stayed out"),
        (["create"], "SHA-256 of its rows: "),
        (["list"], "8 judgments"),
        (["show", "1"], "Asked for: "),
        (["diff", "1", "1"], "Snapshots 1 and 1 hold the same rows."),
    ):
        assert run(cli, ["--home", str(judged.path), "snapshot", *arguments]) == 0
        assert words in capsys.readouterr().out
    assert run(cli, ["--home", str(judged.path), "snapshot", "show", "nobody"]) == 1
    assert "no snapshot nobody" in capsys.readouterr().err
    assert run(cli, ["export", "formats"]) == 0
    assert "trl_unpaired" in capsys.readouterr().out


def test_a_name_of_an_older_version_commands_no_reader_of_a_pipe(
    judged: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    told(judged, capsys, "snapshot", "create", "--name", "all")
    with writing(judged.engine) as session:
        session.get_one(Snapshot, 1).name = "a\u202eb\x1b[2J"
    for arguments in (["list"], ["show", "1"]):
        assert run(cli, ["--home", str(judged.path), "snapshot", *arguments]) == 0
        assert "a\\u202eb\\x1b[2J" in capsys.readouterr().out
    assert told(judged, capsys, "snapshot", "list")[0]["name"] == "a\u202eb\x1b[2J"


@pytest.mark.parametrize(
    ("asked", "format_", "said"),
    [
        ([], "trl_prompt_completion", "holds 8 judgments and no demonstration: an answer that"),
        (["--until", "2001-01-01"], "trl_preference", "holds 0 judgments; `rankloop snapshot show"),
    ],
)
def test_a_snapshot_without_such_a_row_says_what_it_lacks(
    judged: Home,
    tmp_path: Path,
    asked: list[str],
    format_: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told(judged, capsys, "snapshot", "create", "--name", "this", *asked)
    at = ["--home", str(judged.path), "export", "preferences", "--snapshot", "this"]
    assert run(cli, [*at, "--format", format_, "--out", str(tmp_path / "out")]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_times_have_zones_and_an_empty_snapshot_is_said_to_be(
    judged: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--home", str(judged.path), "snapshot", "create", "--json", "--until"]
    assert run(cli, [*at, "2001-01-01T00:00+02:00"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["query"]["until"] == "2000-12-31T22:00:00Z"
    assert "It is empty: nothing in the project is what was asked for." in said.err
    assert run(cli, [*at, "2001-13-01"]) == 2
    assert "is no time; write it as 2026-03-01 or" in capsys.readouterr().err
