"""A process that starts finds the file of one before it, and does not believe it unseen."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.ipc
import pytest
from sqlalchemy import Engine, delete
from sqlmodel import col

from labeling.statistics import judgment_columns as columns_module
from labeling.statistics import judgments_on_disk, known_judgments
from labeling.statistics.judgment_columns import JudgmentColumns, judgment_columns
from labeling.statistics.stored_judgments import StoredJudgments
from storage.engine import reading, writing
from storage.tables import Judgment, Project
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project, tmp_path: Path) -> Stage:
    stage = set_stage(engine, project, overlap=3)
    known_judgments.kept_on_disk(engine, tmp_path / "columns")
    for number in range(3):
        stage.add_task(f"t{number}", k=3)
        stage.judge("ann", [1, 2, 3])
    return stage


@pytest.fixture
def whole_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Keep files of few judgments too; hold how many judgments were read in each whole read."""
    monkeypatch.setattr(known_judgments, "WORTH_A_FILE", 1)
    read, sizes = known_judgments.read_judgments, []

    def counted(session: object, **asked: object) -> StoredJudgments:
        found = read(session, **asked)  # type: ignore[arg-type]
        if "after" not in asked:
            sizes.append(len(found))
        return found

    monkeypatch.setattr(known_judgments, "read_judgments", counted)
    return sizes


def started_again(stage: Stage) -> JudgmentColumns:
    """Return the columns of a process that knows nothing yet."""
    columns_module._held.pop(stage.engine, None)
    with reading(stage.engine) as session:
        return judgment_columns(session, project_id=stage.project_id)


def path(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "columns").iterdir()
    return found


def assert_equal(some: JudgmentColumns, others: JudgmentColumns) -> None:
    for name, values in vars(some).items():
        if isinstance(values, np.ndarray):
            np.testing.assert_array_equal(values, getattr(others, name))


def test_the_second_start_reads_the_file(
    stage: Stage, tmp_path: Path, whole_reads: list[int]
) -> None:
    first = started_again(stage)
    second = started_again(stage)
    assert whole_reads == [3]
    assert len(second) == 3
    assert_equal(first, second)
    assert path(tmp_path).name == f"judgments-{stage.project_id}.arrow"


def test_what_came_since_is_seen_and_written_when_it_is_much(
    stage: Stage, tmp_path: Path, whole_reads: list[int]
) -> None:
    started_again(stage)
    before = path(tmp_path).read_bytes()
    stage.judge("bob", [2, 1, 3])
    assert len(started_again(stage)) == 4
    assert whole_reads == [3]
    assert path(tmp_path).read_bytes() != before
    assert len(started_again(stage)) == 4


def _move_the_newest(stage: Stage) -> None:
    with writing(stage.engine) as session:
        newest = session.get_one(Judgment, 3)
        newest.created_at += timedelta(microseconds=1)


def _lose_one(stage: Stage) -> None:
    with writing(stage.engine) as session:
        session.execute(delete(Judgment).where(col(Judgment.id) == 2))


def _rank_otherwise(stage: Stage) -> None:
    with writing(stage.engine) as session:
        session.get_one(Judgment, 1).ranks = [3, 2, 1]


@pytest.mark.parametrize("change", [_move_the_newest, _lose_one, _rank_otherwise])
def test_another_history_is_read_anew(
    stage: Stage, whole_reads: list[int], change: Callable[[Stage], None]
) -> None:
    started_again(stage)
    change(stage)
    found = started_again(stage)
    assert len(whole_reads) == 2
    assert len(found) == whole_reads[1]
    again = started_again(stage)
    assert len(whole_reads) == 2, "the file was written anew"
    assert_equal(found, again)


def test_a_broken_file_and_one_of_another_layout_are_written_anew(
    stage: Stage, tmp_path: Path, whole_reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    started_again(stage)
    path(tmp_path).write_bytes(path(tmp_path).read_bytes()[:100])
    started_again(stage)
    monkeypatch.setattr(judgments_on_disk, "_LAYOUT", "next")
    started_again(stage)
    assert whole_reads == [3, 3, 3]
    with pyarrow.ipc.open_file(path(tmp_path)) as file:
        assert file.schema.metadata[b"layout"] == b"next"


def test_without_room_it_does_without(stage: Stage, tmp_path: Path, whole_reads: list[int]) -> None:
    (tmp_path / "columns").write_text("in the way")
    assert len(started_again(stage)) == len(started_again(stage)) == 3
    assert whole_reads == [3, 3]
