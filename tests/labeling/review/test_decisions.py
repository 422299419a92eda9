"""What leads' decisions mean for training, figures and export."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from labeling.datasets.export_preferences import export_preferences
from labeling.datasets.snapshots import create_snapshot, read_snapshot
from labeling.judging.judgments import reopen_last
from labeling.review.adjudication import decide, discard, requeue, restore, send_back
from labeling.review.reviews import discarded_judgments
from labeling.rounds import judgments_until_round
from labeling.statistics.quality import quality
from storage.engine import reading, writing
from storage.errors import Conflict
from storage.tables import Account, Project, Review, ReviewDecision, Role, Split, Task, TaskKind
from tests.labeling.stage import Stage, set_stage
from tests.labeling.trained_rows import trained_rows

MIDDLE = [2, 1, 3, 4]
UP, DOWN = [1, 2, 3, 4], [4, 3, 2, 1]


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    """One task, judged by two who see it the other way round."""
    stage = set_stage(engine, project, overlap=2)
    stage.account("lena", Role.LEAD)
    stage.add_task("opposed")
    stage.judge("ann", UP)
    stage.judge("bob", DOWN)
    return stage


def lead(stage: Stage) -> Account:
    return stage.accounts["lena"]


def ranks(stage: Stage) -> list[list[int]]:
    return list(trained_rows(stage.engine, stage.project_id)["ranks"])


def test_a_discarded_judgment_is_left_out_until_it_is_restored(
    stage: Stage, tmp_path: Path
) -> None:
    def left() -> tuple[list[list[int]], int, int, set[int]]:
        with reading(stage.engine) as session:
            found = quality(session, project_id=stage.project_id, account=lead(stage))
            missing = judgments_until_round(
                session, project_id=stage.project_id, judgments_per_round=10
            )
            gone = discarded_judgments(session, project_id=stage.project_id)
        return ranks(stage), found.judgments, missing, gone

    assert left() == ([UP, DOWN], 2, 8, set())
    with writing(stage.engine) as session:
        discard(session, judgment_id=2, by=lead(stage), nonce="a", reason="upside down")
    assert left() == ([UP], 1, 9, {2})
    with writing(stage.engine) as session:
        snapshot = create_snapshot(
            session, project=stage.project, folder=tmp_path / "snapshots", code_version="x"
        )
    assert list(read_snapshot(snapshot.uri, tmp_path)["judgment_id"]) == [1]
    with writing(stage.engine) as session:
        restore(session, judgment_id=2, by=lead(stage), nonce="b")
    assert left() == ([UP, DOWN], 2, 8, set())
    with writing(stage.engine) as session:
        discard(session, judgment_id=2, by=lead(stage), nonce="c", reason="again")
    assert left()[0] == [UP]


def test_a_decision_is_the_label_and_the_judgments_stay_in_the_figures(
    stage: Stage, tmp_path: Path
) -> None:
    with writing(stage.engine) as session:
        decide(session, task_id=1, ranks=[2, 1, 3, 3], by=lead(stage), nonce="a", reason="")
    (row,) = trained_rows(stage.engine, stage.project_id).to_dict("records")
    with reading(stage.engine) as session:
        figures = quality(session, project_id=stage.project_id, account=lead(stage))
    assert (row["judgment_id"], row["annotator_id"]) == (0, lead(stage).id)
    assert row["ranks"] == [2, 1, 3, 3]
    assert row["completions"] == [f"opposed.{position}" for position in range(4)]
    assert (figures.judgments, figures.pairwise_agreement.value) == (2, 0.0)
    with writing(stage.engine) as session:
        snapshot = create_snapshot(
            session, project=stage.project, folder=tmp_path / "snapshots", code_version="x"
        )
    assert list(read_snapshot(snapshot.uri, tmp_path)["ranks"]) == [[2, 1, 3, 3]]
    done = export_preferences(
        stage.engine,
        project=stage.project,
        account=None,
        home=tmp_path,
        out=tmp_path / "out",
        validation_share=0.0,
    )
    lines = (tmp_path / "out" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert (done.judgments, done.train, len(rows)) == (1, 5, 5)
    assert {row["chosen"][0]["content"] for row in rows} == {"opposed.0", "opposed.1"}


def test_a_later_decision_holds_and_a_requeue_takes_it_back(stage: Stage) -> None:
    with writing(stage.engine) as session:
        decide(session, task_id=1, ranks=DOWN, by=lead(stage), nonce="a", reason="")
        decide(session, task_id=1, ranks=UP, by=lead(stage), nonce="b", reason="on reflection")
    assert ranks(stage) == [UP]
    stage.account("cleo")
    with writing(stage.engine) as session:
        requeue(session, task_id=1, by=lead(stage), nonce="c")
    assert ranks(stage) == [UP, DOWN]


def test_a_task_that_nobody_could_judge_can_be_decided(stage: Stage) -> None:
    task_id = stage.add_task("skipped by all", split=Split.HELDOUT)
    with writing(stage.engine) as session:
        decide(session, task_id=task_id, ranks=UP, by=lead(stage), nonce="a", reason="")
    found = trained_rows(stage.engine, stage.project_id)
    assert list(found["task_id"]) == [1, 1, task_id]
    assert list(found["split"]) == ["train", "train", "heldout"]
    assert found["completions"].iloc[2][0] == "skipped by all.0"


def correct(stage: Stage, ranks: list[int], nonce: str) -> int:
    """Submit for bob's judged task again."""
    bob = stage.account("bob")
    with writing(stage.engine) as session:
        lent = reopen_last(session, annotator_id=bob, project_id=stage.project_id)
    found = stage.submit("bob", lent, ranks, nonce).judgment_id
    assert found is not None
    return found


def test_a_correction_of_a_discarded_judgment_is_discarded_with_it(stage: Stage) -> None:
    with writing(stage.engine) as session:
        discard(session, judgment_id=2, by=lead(stage), nonce="a", reason="upside down")
    correct(stage, MIDDLE, "first")
    assert ranks(stage) == [UP]
    third = correct(stage, MIDDLE, "second")
    assert ranks(stage) == [UP], "however often they correct it"
    with writing(stage.engine) as session:
        restore(session, judgment_id=third, by=lead(stage), nonce="b")
    assert ranks(stage) == [UP, MIDDLE]
    fourth = correct(stage, DOWN, "third")
    assert ranks(stage) == [UP, DOWN]
    with writing(stage.engine) as session:
        discard(session, judgment_id=fourth, by=lead(stage), nonce="c", reason="again")
        gone = discarded_judgments(session, project_id=stage.project_id)
    assert gone == {2, 3, fourth}


def test_a_discarded_judgment_that_is_sent_back_counts_when_it_is_corrected(stage: Stage) -> None:
    with writing(stage.engine) as session:
        send_back(session, judgment_id=2, by=lead(stage), nonce="a", comment="look again")
        discard(session, judgment_id=2, by=lead(stage), nonce="b", reason="upside down")
    third = correct(stage, MIDDLE, "first")
    assert ranks(stage) == [UP], "it was discarded after it was sent back"
    with writing(stage.engine) as session:
        send_back(session, judgment_id=third, by=lead(stage), nonce="c", comment="and again")
    assert ranks(stage) == [UP], "until they have judged again"
    correct(stage, MIDDLE, "second")
    assert ranks(stage) == [UP, MIDDLE]


@pytest.mark.parametrize("kind", [TaskKind.GOLD, TaskKind.QUALIFICATION, TaskKind.REPEAT])
def test_tests_of_annotators_have_no_label_to_decide(
    sqlite_engine: Engine, sqlite_project: Project, kind: TaskKind
) -> None:
    stage = set_stage(sqlite_engine, sqlite_project)
    stage.account("lena", Role.LEAD)
    task_id = stage.add_task("known")
    with writing(stage.engine) as session:
        session.get_one(Task, task_id).kind = kind
    with writing(stage.engine) as session, pytest.raises(Conflict, match=f"This {kind} task only"):
        decide(session, task_id=task_id, ranks=UP, by=lead(stage), nonce="a", reason="")
    with writing(stage.engine) as session:
        assert session.get_one(Task, task_id).status == "ready", "it stays in its set"
        session.add(
            Review(
                project_id=stage.project_id,
                task_id=task_id,
                decision=ReviewDecision.DECIDED,
                ranks=UP,
                by_id=lead(stage).id or 0,
                nonce="stored by an older version",
            )
        )
    assert ranks(stage) == []
