import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlmodel import select

from labeling.datasets.export_preferences import Export, export_preferences
from labeling.judging.rankings import ranks_from_places
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed, NotFound, Unavailable
from storage.tables import Account, Event, Project, Role, Split
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project)


@pytest.fixture
def sqlite_stage(sqlite_engine: Engine, sqlite_project: Project) -> Stage:
    return set_stage(sqlite_engine, sqlite_project)


def export(stage: Stage, out: Path, **given: Any) -> Export:
    given = {"home": out.parent / f"home of {out.name}", "validation_share": 0.0} | given
    return export_preferences(stage.engine, project=stage.project, account=None, out=out, **given)


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_rows_are_conversational_and_split_by_prompt(stage: Stage, tmp_path: Path) -> None:
    stage.add_task("für alle", k=2)
    stage.add_task("held", k=2, split=Split.HELDOUT)
    stage.judge("ann", [1, 2])
    stage.judge("ann", [2, 1])
    done = export(stage, tmp_path / "out")
    (train,) = rows_of(tmp_path / "out/train.jsonl")
    (test,) = rows_of(tmp_path / "out/test.jsonl")
    assert train["prompt"] == [{"role": "user", "content": "für alle"}]
    assert train["chosen"] == [{"role": "assistant", "content": "für alle.0"}]
    assert train["rejected"] == [{"role": "assistant", "content": "für alle.1"}]
    assert test["chosen"][0]["content"] == "held.1"
    assert (train["policy_version"], train["round"]) == (1, 0)
    assert (done.train, done.test, done.judgments, done.prompts) == (1, 1, 2, 2)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.md",
        "train.jsonl",
        "test.jsonl",
    }
    card = (tmp_path / "out/README.md").read_text()
    assert "1 train, 0 validation and 1 test rows from 2 rankings of 2 tasks on 2 prompts" in card
    assert all(f"`{name}`" in card for name in train)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.integers(2, 6).flatmap(lambda k: st.lists(st.integers(1, k), min_size=k, max_size=k)))
def test_what_was_shown_and_ranked_is_what_is_exported(
    sqlite_engine: Engine, tmp_path: Path, places: list[int]
) -> None:
    """From the order shown, through input and storage, to the file: one and the same ranking."""
    with writing(sqlite_engine) as session:
        count = len(session.exec(select(Project)).all())
        project = Project(name=f"project {count}")
        session.add(project)
    places = [place - min(places) + 1 for place in places]
    stage = set_stage(sqlite_engine, project)
    stage.add_task("t", k=len(places))
    task = stage.lend(f"ann {count}")
    ranks = ranks_from_places(task.display_order, places)
    stage.submit(f"ann {count}", task, ranks, f"n{count}")
    shown = dict(zip(task.completions, places, strict=True))
    wanted = {(a, b) for a in shown for b in shown if shown[a] < shown[b]}
    out = tmp_path / f"out {count}"
    if not wanted:
        with pytest.raises(
            NotFound, match="holds 1 judgment, but no pair for trl_preference: they tie everything"
        ):
            export(stage, out)
        return
    export(stage, out)
    found = rows_of(out / "train.jsonl")
    assert {(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in found} == wanted
    assert len(found) == len(wanted)


def test_annotators_are_pseudonyms_that_stay(stage: Stage, tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        stage.add_task(f"of {name}", k=2)
        stage.judge(name, [1, 2])
    export(stage, tmp_path / "first", home=tmp_path)
    export(stage, tmp_path / "second", home=tmp_path)
    first = (tmp_path / "first/train.jsonl").read_text()
    assert first == (tmp_path / "second/train.jsonl").read_text()
    names = {row["annotator"] for row in rows_of(tmp_path / "first/train.jsonl")}
    assert len(names) == 2
    assert all(name.startswith("annotator-") and len(name) == 22 for name in names)


def test_a_folder_that_holds_anything_is_left_alone(sqlite_stage: Stage, tmp_path: Path) -> None:
    stage = sqlite_stage
    stage.add_task("t", k=2)
    stage.judge("ann", [1, 2])
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(Conflict, match="not an empty folder"):
        export(stage, out)
    assert [path.name for path in tmp_path.glob("out*/*")] == ["mine.txt"]
    with pytest.raises(Conflict, match="not an empty folder"):
        export(stage, out / "mine.txt")
    (out / "mine.txt").unlink()
    assert export(stage, out).train == 1


def test_a_failed_export_leaves_nothing(
    sqlite_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = sqlite_stage
    stage.add_task("t", k=2)
    stage.judge("ann", [1, 2])

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labeling.datasets.export_folder.dataset_card", fail)
    with pytest.raises(Unavailable, match="No space left on device"):
        export(stage, tmp_path / "deep" / "out", home=tmp_path)
    assert list((tmp_path / "deep").iterdir()) == []


def test_an_unknown_format_or_an_annotator_is_refused(sqlite_stage: Stage, tmp_path: Path) -> None:
    stage = sqlite_stage
    with pytest.raises(BadInput, match="no format csv; use trl_preference"):
        export(stage, tmp_path / "out", format="csv")
    annotator = Account(name="a", role=Role.ANNOTATOR)
    with pytest.raises(NotAllowed, match="export"):
        export_preferences(
            stage.engine,
            project=stage.project,
            account=annotator,
            home=tmp_path,
            out=tmp_path / "out",
        )
    assert exports(stage) == []


def exports(stage: Stage) -> list[Event]:
    with reading(stage.engine) as session:
        found = session.exec(select(Event).where(Event.kind == "preferences.exported"))
        return list(found)


def test_an_export_is_recorded_and_holds_no_lock_while_it_writes(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.add_task("t", k=2)
    stage.judge("ann", [1, 2])

    def card(*_: object, **__: object) -> str:
        with writing(stage.engine) as session:
            session.add(Event(project_id=stage.project.id, kind="test.written"))
        return "card"

    monkeypatch.setattr("labeling.datasets.export_folder.dataset_card", card)
    lead = stage.account("lena", Role.LEAD)
    with reading(stage.engine) as session:
        account = session.get_one(Account, lead)
    out = tmp_path / "out"
    export_preferences(stage.engine, project=stage.project, account=account, home=tmp_path, out=out)
    (event,) = exports(stage)
    assert event.account_id == lead
    assert event.detail["format"] == "trl_preference" and event.detail["snapshot_id"] == 1
    assert sum(event.detail[split] for split in ("train", "validation", "test")) == 1
    with reading(stage.engine) as session:
        assert "test.written" in session.exec(select(Event.kind)).all()


def test_the_folder_one_stands_in_is_filled_and_stays_the_same(
    sqlite_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = sqlite_stage
    stage.add_task("t", k=2)
    stage.judge("ann", [1, 2])
    here = tmp_path / "here"
    here.mkdir()
    inode = here.stat().st_ino
    monkeypatch.chdir(here)
    assert export(stage, Path("."), home=tmp_path).folder == here
    assert here.stat().st_ino == inode
    assert sorted(path.name for path in here.iterdir()) == [
        "README.md",
        "test.jsonl",
        "train.jsonl",
    ]
    with pytest.raises(Conflict, match=r"\. is not an empty folder"):
        export(stage, Path("."), home=tmp_path)
