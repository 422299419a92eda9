from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine

from labeling.datasets.snapshot_agreement import SnapshotAgreement, rank_agreement
from labeling.datasets.snapshot_diff import diff_snapshots
from labeling.datasets.snapshot_query import query_of
from labeling.datasets.snapshots import take_snapshot
from labeling.statistics.agreement import pairwise_agreement
from labeling.statistics.quality import pair_ratings
from storage.tables import Project, Snapshot
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(sqlite_engine: Engine, sqlite_project: Project) -> Stage:
    stage = set_stage(sqlite_engine, sqlite_project, overlap=2)
    for text in ("one", "two"):
        stage.add_task(text)
        stage.judge("ann", [1, 2, 3, 4])
        stage.judge("bob", [2, 1, 3, 3])
    return stage


def freeze(stage: Stage, home: Path, code: str = "1", **asked: object) -> Snapshot:
    return take_snapshot(
        stage.engine,
        project=stage.project,
        folder=home / "snapshots",
        code_version=code,
        query=query_of(asked),
    )


def test_what_came_and_what_went(stage: Stage, tmp_path: Path) -> None:
    first = freeze(stage, tmp_path)
    assert diff_snapshots(first, first, home=tmp_path).same
    stage.add_task("three")
    stage.judge("ann", [1, 2, 3, 4])
    second = freeze(stage, tmp_path, code="2", not_annotators=["bob"])
    found = diff_snapshots(first, second, home=tmp_path)
    assert not found.same
    assert found.query == {"not_annotators": (None, ["bob"])}
    assert found.code_version == ("1", "2")
    assert found.added.to_dict("records") == [
        {"task_id": 3, "judgment_id": 5, "annotator_id": stage.account("ann")}
    ]
    assert set(found.removed["annotator_id"]) == {stage.account("bob")}
    assert list(found.removed["task_id"]) == [1, 2] and found.changed.empty
    assert list(found.excluded.values()) == [2]
    assert found.labels_changed is None


def test_labels_that_differ_are_counted(stage: Stage, tmp_path: Path) -> None:
    both = freeze(stage, tmp_path, consolidation="majority")
    one = freeze(stage, tmp_path, consolidation="majority", annotators=["bob"])
    assert diff_snapshots(both, both, home=tmp_path).labels_changed == 0
    assert diff_snapshots(both, one, home=tmp_path).labels_changed == 2


def test_agreement_is_the_one_that_pages_show() -> None:
    rankings = {1: [[1, 2, 3], [1, 3, 2], [2, 2, 1]], 2: [[1, 1, 2], [1, 1, 2]], 3: [[1, 2, 3]]}
    counted = SnapshotAgreement()
    for ranks in rankings.values():
        counted.add(ranks)
    judged = pd.DataFrame(
        [
            {"task_id": task, "annotator_id": rater, "ranks": ranks}
            for task, of_task in rankings.items()
            for rater, ranks in enumerate(of_task)
        ]
    )
    expected = pairwise_agreement(pair_ratings(judged))
    found = counted.figures()
    assert found["pairwise_agreement"]["value"] == pytest.approx(expected.value)
    assert found["pairwise_agreement"]["n"] == expected.n
    assert found["tasks_judged_twice"] == 2
    # On each of the three pairs two of the three raters say the same: one of three pairs of raters.
    assert rank_agreement(rankings[1]) == pytest.approx(1 / 3)
    assert rank_agreement(rankings[2]) == 1.0
