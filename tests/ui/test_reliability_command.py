"""`rankloop reliability`: as a table and as JSON."""

import json

import pytest
from sqlmodel import select, update

from storage.engine import writing
from storage.tables import Policy, Project, Task, TaskStatus
from tests.labeling.stage import Stage
from tests.ui.conftest import Home
from ui.cli.commands import cli
from ui.cli.frame import run


def test_it_is_told_in_words_and_as_json(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with writing(home.engine) as session:
        project = session.get_one(Project, home.project_id)
        project.overlap = 3
        policy = session.exec(select(Policy)).one()
        session.exec(update(Task).values(status=TaskStatus.WITHDRAWN))
    stage = Stage(home.engine, project, policy)
    for number in range(3):
        stage.add_task(f"one more {number}", k=3)
    for name, ranks in (("ann", [1, 2, 3]), ("bob", [1, 2, 3]), ("cid", [2, 3, 1])):
        for _ in range(3):
            stage.judge(name, ranks)
    assert run(cli, ["--home", str(home.path), "reliability", "--json", "--most", "2"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert "measuring annotators" in said.err
    rows = {row["name"]: row for row in found["annotators"]}
    assert rows["cid"]["weight"] < rows["ann"]["weight"] == rows["bob"]["weight"]
    assert found["overall"]["first_shown_wins_n"] == 9
    assert len(found["disputed"]) == 2 and found["label_errors"] == []
    assert found["weeks"][0]["judgments"] == 3
    assert run(cli, ["--home", str(home.path), "reliability"]) == 0
    words = capsys.readouterr().out
    assert "first-shown completion wins" in words
    assert "most disputed A and C (2 : 0 tied : 1)" in words
    assert "reward model: not measurable" in words
