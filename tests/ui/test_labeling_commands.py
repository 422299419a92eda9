"""What leads do from the command line: guidelines, known answers, settings of labeling."""

import json
from pathlib import Path

import pytest
from sqlmodel import select

from labeling.labeling_settings import labeling_settings
from labeling.quality_control.guidelines import guidelines_in_force
from storage.engine import reading
from storage.tables import KnownAnswer, Policy, Project, Task, TaskKind
from tests.ui.conftest import Home
from ui.cli.commands import cli
from ui.cli.frame import run

ROWS = [
    {"prompt": "Say hello.", "completions": ["Hello!", "No.", "Hi!"], "ranks": [1, 2, 1]},
    {"prompt": "2 + 2?", "completions": ["5", "4"], "ranks": [2, 1], "explanation": "It is 4.",
     "set": "qualification"},
]  # fmt: skip


def at(home: Home, *arguments: str) -> int:
    return run(cli, ["--home", str(home.path), *arguments])


@pytest.fixture
def known(tmp_path: Path) -> Path:
    file = tmp_path / "known.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


def test_guidelines_are_published_and_shown(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(home, "guidelines", "show") == 1
    assert "publish one" in capsys.readouterr().err
    file = tmp_path / "guidelines.md"
    file.write_text("# Be kind\n")
    assert at(home, "guidelines", "publish", str(file), "--note", "first") == 0
    assert at(home, "guidelines", "publish", str(file)) == 1
    assert "version 1 already" in capsys.readouterr().err
    assert at(home, "guidelines", "show") == 0
    assert capsys.readouterr().out == "# Be kind\n"
    with reading(home.engine) as session:
        found = guidelines_in_force(session, project_id=home.project_id)
        assert found is not None and (found.note, found.by_id) == ("first", None)


def test_known_answers_are_added_once(
    home: Home, known: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(home, "gold", "add", str(known)) == 0
    assert "1 gold task and 1 qualification task added, 0 were there" in capsys.readouterr().out
    assert at(home, "gold", "add", str(known)) == 0
    assert "0 gold tasks and 0 qualification tasks added, 2 were there" in capsys.readouterr().out
    with reading(home.engine) as session:
        found = session.exec(
            select(Task.kind, KnownAnswer.ranks, KnownAnswer.explanation, Policy.version)
            .join(KnownAnswer)
            .join(Policy)
            .order_by(Task.id)  # type: ignore[arg-type]
        ).all()
    assert [tuple(row) for row in found] == [
        (TaskKind.GOLD, [1, 2, 1], "", 0),
        (TaskKind.QUALIFICATION, [2, 1], "It is 4.", 0),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a", "completions": ["b", "c"], "ranks": [1]}, "field ranks"),
        ({"prompt": "a", "completions": ["b"], "ranks": [1]}, "field completions"),
        ({"prompt": "a", "completions": ["b", "c"], "ranks": [2, 2]}, "No completion has rank 1"),
        ({"prompt": "a", "completions": ["b", "c"], "ranks": [1, 2], "set": "x"}, "field set"),
        ({"prompt": "a", "ranks": [1, 2]}, "field completions: it is missing"),
        (
            {"prompt": "a", "completions": ["b", "c"], "ranks": [1, 2], "explanation": "e" * 2001},
            "field explanation: it has 2,001 characters; 2,000 at most",
        ),
    ],
)
def test_a_bad_row_is_named_and_nothing_added(
    home: Home, known: Path, row: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with known.open("a") as file:
        file.write(json.dumps(row) + "\n")
    assert at(home, "gold", "add", str(known)) == 1
    complaint = capsys.readouterr().err
    assert "line 3" in complaint and said in complaint
    with reading(home.engine) as session:
        assert session.exec(select(KnownAnswer)).all() == []


def test_csv_and_parquet_are_read_alike(home: Home, tmp_path: Path) -> None:
    import pandas

    table = pandas.DataFrame(ROWS).assign(explanation=["", "It is 4."], set=["gold", "gold"])
    table.to_parquet(tmp_path / "known.parquet")
    as_text = {name: table[name].map(json.dumps) for name in ("completions", "ranks")}
    table.assign(**as_text).to_csv(tmp_path / "known.csv", index=False)
    assert at(home, "gold", "add", str(tmp_path / "known.parquet"), "--qualification") == 0
    assert at(home, "gold", "add", str(tmp_path / "known.csv")) == 0
    with reading(home.engine) as session:
        kinds = session.exec(select(Task.kind).join(KnownAnswer)).all()
    assert kinds == [TaskKind.GOLD, TaskKind.GOLD]


def test_settings_are_shown_and_set(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["gold.rate=0.1", "page.rationale=required", "page.criteria=overall quality"]
    assert at(home, "labeling", "set", *given) == 0
    with reading(home.engine) as session:
        found = labeling_settings(session.get_one(Project, home.project_id))
    assert (found.gold.rate, found.page.rationale) == (0.1, "required")
    assert [each.name for each in found.page.criteria] == ["overall quality"]
    capsys.readouterr()
    assert at(home, "labeling", "show", "--json") == 0
    assert json.loads(capsys.readouterr().out)["gold"]["rate"] == 0.1
    assert at(home, "labeling", "show") == 0
    assert "gold.rate = 0.1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["gold.feedback=true", "gold.rate=2"], 1, "labeling.gold.rate does not fit"),
        (
            ["gold.ratio=0.1"],
            1,
            "There is no setting labeling.gold.ratio; `rankloop labeling show`",
        ),
        (["gold.rates=0.1"], 1, "labeling.gold.rates"),
        (["golds.rate=0.1"], 1, "labeling.golds"),
        (["rate=0.1"], 2, "SECTION.FIELD=VALUE"),
    ],
)
def test_a_setting_that_does_not_fit_changes_nothing(
    home: Home, given: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(home, "labeling", "set", *given) == code
    assert said in capsys.readouterr().err
    with reading(home.engine) as session:
        assert session.get_one(Project, home.project_id).labeling == {}


@pytest.mark.parametrize("deed", ["requeue", "withdraw"])
def test_tasks_that_are_not_named_are_wrong_usage(
    home: Home, deed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(home, "tasks", deed, "--reason", "old", "--dry-run") == 2
    assert "Say which tasks: --id, --policy, --put-aside-by or --status" in capsys.readouterr().err


@pytest.mark.parametrize("deed", ["requeue", "withdraw"])
def test_a_policy_that_is_not_there_has_no_tasks_to_change(
    home: Home, deed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["tasks", deed, "--reason", "old", "--dry-run", "--policy"]
    assert at(home, *given, "77") == 1
    assert "no policy version 77; see `rankloop policies list`" in capsys.readouterr().err
    assert at(home, *given, "1") == 0
