"""How long judgments took, and what unknown times do to the figures that are made of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine
from sqlmodel import col, select

from labeling.review.reviewed_task import reviewed_task
from labeling.statistics.annotator_reliability import annotator_reliability
from labeling.statistics.judgment_columns import judgment_columns
from labeling.statistics.judgments_behind import Selection, judgments_behind, selected
from labeling.statistics.measured_times import seconds_of
from labeling.statistics.quality import quality
from storage.engine import reading, writing
from storage.tables import Judgment, Project, Role
from tests.labeling.stage import Stage, set_stage


def test_no_time_is_unknown_but_for_who_was_marked_too_fast() -> None:
    found = seconds_of([1500, 0, 0], [False, False, True])
    assert found[0] == 1.5 and np.isnan(found[1]) and found[2] == 0.0


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    """Three tasks that ann and bob judged; bob's come from an import without times, as ann's first.

    Ann's other two took 90 seconds, and 1.2, which is too fast.
    """
    stage = set_stage(engine, project, overlap=2)
    for text in ("one", "two", "three"):
        stage.add_task(text)
    for name in ("ann", "bob"):
        for _ in range(3):
            stage.judge(name, [1, 2, 3, 4])
    stage.account("lena", Role.LEAD)
    with writing(engine) as session:
        first, second = session.exec(select(Judgment).order_by(col(Judgment.id)).limit(2)).all()
        second.milliseconds, second.marks = 90_000, []
        of_bob = select(Judgment).where(Judgment.annotator_id == stage.account("bob"))
        for one in (first, *session.exec(of_bob)):
            one.milliseconds, one.marks = 0, []
    return stage


def test_annotators_figures_leave_out_what_nobody_measured(stage: Stage, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"project_id": stage.project_id, "account": stage.accounts["lena"]}
    with reading(stage.engine) as session:
        found = annotator_reliability(session, **asked, home=tmp_path)
        of_quality = quality(session, **asked).annotators
    ann, bob = found.annotators.to_dict("records")
    assert (ann["judgments"], bob["judgments"]) == (3, 3)
    assert ann["median_seconds"] == pytest.approx(45.6)
    assert ann["judgments_an_hour"] == pytest.approx(2 * 3600 / 91.2)
    assert ann["fast"] == 0.5
    pace = ("median_seconds", "judgments_an_hour", "fast")
    assert [bob[name] for name in pace] == [None, None, None]
    weekly = found.weeks.set_index("annotator_id")["median_seconds"]
    assert weekly[stage.account("ann")] == pytest.approx(45.6)
    assert weekly[stage.account("bob")] is None
    assert of_quality["median_seconds"].tolist() == [pytest.approx(45.6), None]


def test_a_judgment_without_a_time_shows_none(stage: Stage) -> None:
    asked: dict[str, Any] = {"project_id": stage.project_id, "account": stage.accounts["lena"]}
    with reading(stage.engine) as session:
        columns = judgment_columns(session, project_id=stage.project_id)
        behind = judgments_behind(
            session, **asked, columns=columns, places=selected(columns, Selection())
        )
        task = reviewed_task(session, **asked, task_id=behind[0].task_id)
    assert [one.seconds for one in behind] == [None, 90.0, 1.2, None, None, None]
    assert [one.seconds for one in task.judgments] == [None, None]
