"""`rankloop stats`: the project's figures, its parts', and those of a file."""

import gzip
import json
import shutil
from itertools import islice
from pathlib import Path

import pytest

from storage.engine import build_engine, writing
from storage.settings import load_settings
from storage.tables import Project, Prompt
from tests.labeling.stage import set_stage
from ui.cli.commands import cli
from ui.cli.frame import run

PANDALM = Path(__file__).parents[1] / "labeling/statistics/data/pandalm_multi_annotator.jsonl.gz"
TEXTS = PANDALM.with_name("pandalm_testset_v1_texts.jsonl.gz")
KEYS = ("pairwise_agreement", "krippendorff_alpha", "kendall_w")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    """A home with a database alone: two tasks that two people rank, the second one alike."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, folder / "rankloop.db")
    engine = build_engine(load_settings(home=folder).url)
    with writing(engine) as session:
        project = Project(name="default", completions_per_task=3, overlap=2)
        session.add(project)
    stage = set_stage(engine, project, overlap=2)
    for number in range(2):
        stage.add_task(f"t{number}", k=3)
        stage.judge("ann", [1, 2, 3])
        stage.judge("bob", [1, 2, 3] if number else [1, 3, 2])
    with writing(engine) as session:
        session.get_one(Prompt, 2).tags = ["code"]
    engine.dispose()
    return folder


def stats(home: Path, *arguments: str) -> int:
    return run(cli, ["--home", str(home), "stats", *arguments])


def test_every_figure_has_an_interval(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stats(home, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    for key in KEYS:
        assert {"value", "low", "high", "n"} <= found[key].keys()
        assert found[key]["low"] <= found[key]["value"] <= found[key]["high"]
    assert found["pairwise_agreement"]["value"] == pytest.approx(5 / 6)
    assert found["kendall_w"] == {
        **found["kendall_w"], "value": pytest.approx((0.75 + 1) / 2), "n": 2,
    }  # fmt: skip
    assert [row["name"] for row in found["annotators"]] == ["ann", "bob"]
    assert stats(home) == 0
    words = capsys.readouterr().out
    assert "Kendall's W" in words and "95 %" in words and "agreement with the others" in words


def test_figures_of_groups(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stats(home, "--by", "tag", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["by"] == "tag"
    (row,) = [row for row in found["figures"] if row["measure"] == "pairwise_agreement"]
    assert (row["group"], row["value"], row["tasks"]) == ("code", 1.0, 1)
    assert stats(home, "--by", "tag") == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["tag", "judgments", "tasks"]
    assert line.split()[:4] == ["code", "2", "1", "1.000"]
    assert stats(home, "--by", "criterion") == 0
    assert "no judgment that has a criterion" in capsys.readouterr().out


def test_imported_models_have_their_names(
    tmp_path: Path, sqlite_template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "rankloop.db")
    engine = build_engine(load_settings(home=tmp_path).url)
    with writing(engine) as session:
        session.add(Project(name="default"))
    engine.dispose()
    file = tmp_path / "some.jsonl"
    with gzip.open(PANDALM, "rt") as lines:
        file.write_text("".join(islice(lines, 60)))
    imported = ["import", "preferences", str(file), "--format", "long", "--texts", str(TEXTS)]
    assert run(cli, ["--home", str(tmp_path), *imported]) == 0
    capsys.readouterr()
    assert stats(tmp_path, "--by", "policy", "--json") == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    groups = {row["group"]: row["version"] for row in figures}
    # A task is with the later of its two models.
    assert groups == {"pythia-6.9b": -5, "cerebras-gpt-6.7B": -4, "opt-7b": -3, "bloom-7b": -2}
    assert stats(tmp_path, "--by", "policy") == 0
    head, *lines_shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines_shown] == list(groups)
    assert head.split()[:3] == ["policy", "judgments", "tasks"]


def test_a_file_needs_no_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stats(tmp_path / "nowhere", "--from", str(PANDALM), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pairwise_agreement"]["value"] == pytest.approx(0.91992, abs=1e-5)
    assert found["krippendorff_alpha"]["value"] == pytest.approx(0.86422, abs=1e-5)
    assert found["kendall_w"]["value"] is None
    assert len(found["annotators"]) == 3
    assert not (tmp_path / "nowhere").exists()
    assert stats(tmp_path, "--from", str(PANDALM)) == 0
    assert "2,997 ratings of 999 tasks" in capsys.readouterr().out


def test_one_rating_is_not_called_ratings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "few.csv"
    file.write_text("task_id,annotator_id,label\n1,ann,a\n1,bob,a\n2,bob,b\n")
    assert stats(tmp_path, "--from", str(file)) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "3 ratings of 2 tasks, 1 of them judged more than once"
    assert any("(n = 1 pair of ratings" in line for line in lines)
    assert any(line.split()[:3] == ["ann", "1", "rating"] for line in lines)
    assert any(line.split()[:3] == ["bob", "2", "ratings"] for line in lines)


def test_a_bad_line_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("task_id,annotator_id,item,rank\n1,a,x,first\n")
    assert stats(tmp_path, "--from", str(file)) == 1
    told = capsys.readouterr().err
    assert f"{file}, line 2, field rank: it must be a number" in told
    assert len(told.strip().splitlines()) == 1


def test_a_file_is_not_divided(tmp_path: Path) -> None:
    assert stats(tmp_path, "--from", str(PANDALM), "--by", "tag") == 2


@pytest.mark.parametrize("level", ["interval", "ratio"])
def test_labels_that_are_no_numbers_have_no_distances(
    tmp_path: Path, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text("task_id,annotator_id,label\n1,a,1\n1,b,good\n")
    assert run(cli, ["stats", "--from", str(file), "--level", level]) == 1
    said = capsys.readouterr().err
    assert f"the label 'good' is no number, and the level {level}" in said
    assert run(cli, ["stats", "--from", str(file), "--level", "nominal"]) == 0
    file.write_text("task_id,annotator_id,label\n1,a,1\n1,b,2.5\n")
    assert run(cli, ["stats", "--from", str(file), "--level", level]) == 0
