"""What is known of annotators, from judgments in the database to the table and the lists."""

from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select

from labeling.model_annotators.out_of_fold import ARTEFACT, UnseenPair, write_unseen_pairs
from labeling.quality_control.known_answers import make_gold
from labeling.statistics.annotator_reliability import annotator_reliability
from labeling.statistics.reliability import annotator_evidence, reliability_weights
from labeling.statistics.where_it_hurts import where_it_hurts
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import (
    Completion,
    Judgment,
    Project,
    Role,
    Round,
    TaskCompletion,
    Withdrawal,
)
from tests.labeling.stage import Stage, set_stage

PEOPLE = ("ann", "bob", "cid")
RIGHT, WRONG = [1, 2, 3], [3, 2, 1]


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    """Return eight tasks that ann and bob rank alike, and cid the other way round."""
    stage = set_stage(engine, project, overlap=3)
    stage.account("lena", Role.LEAD)
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    for number in range(8):
        stage.add_task(f"task {number}" + "x" * number, k=3)
        for name in PEOPLE:
            stage.judge(name, WRONG if name == "cid" else RIGHT)
    return stage


def ask(stage: Stage) -> dict[str, object]:
    return {"project_id": stage.project_id, "account": stage.accounts["lena"]}


def test_gold_adds_to_it_and_who_is_withdrawn_has_no_say(stage: Stage) -> None:
    with reading(stage.engine) as session:
        before = annotator_evidence(session, project_id=stage.project_id)
    original = stage.add_task("gold", k=3)
    with writing(stage.engine) as session:
        make_gold(session, task_id=original, ranks=WRONG, by=stage.accounts["lena"])
    stage.change("gold", rate=1.0, repeat_rate=0.0)
    stage.judge("cid", WRONG)
    with reading(stage.engine) as session:
        after = annotator_evidence(session, project_id=stage.project_id)
    cid = stage.account("cid")
    assert after.loc[cid, "right"] == pytest.approx(before.loc[cid, "right"] + 2)
    assert after.loc[cid, "comparisons"] == pytest.approx(before.loc[cid, "comparisons"] + 2)
    with writing(stage.engine) as session:
        session.add(Withdrawal(project_id=stage.project_id, annotator_id=cid, reason="bot"))
    with reading(stage.engine) as session:
        weights = reliability_weights(session, project_id=stage.project_id)
    assert cid not in weights
    assert weights[stage.account("ann")] > 0.7


def test_weights_figures_and_disputed_tasks(stage: Stage, tmp_path: Path) -> None:
    check_weights(stage)
    check_figures(stage, tmp_path)
    with reading(stage.engine) as session:
        found = where_it_hurts(session, **ask(stage), home=tmp_path, most=3)  # type: ignore[arg-type]
    assert found.disputed["agreement"].tolist() == pytest.approx([1 / 3] * 3)
    assert found.disputed["split"][0] == [2, 0, 1]
    assert found.majority_circles.empty and found.own_circles.empty
    ann = {"project_id": stage.project_id, "account": stage.accounts["ann"], "home": tmp_path}
    with reading(stage.engine) as session:
        for forbidden in (annotator_reliability, where_it_hurts):
            with pytest.raises(NotAllowed):
                forbidden(session, **ann)  # type: ignore[arg-type]


def check_weights(stage: Stage) -> None:
    with reading(stage.engine) as session:
        weights = reliability_weights(session, project_id=stage.project_id)
        evidence = annotator_evidence(session, project_id=stage.project_id)
    ann, bob, cid = (weights[stage.account(name)] for name in PEOPLE)
    assert ann == pytest.approx(bob) and ann > 0.6 > 0.3 > cid
    assert all(0 <= weight <= 1 for weight in weights.values())
    # Eight rankings of three completions, two comparisons each.
    assert evidence["comparisons"].tolist() == pytest.approx([16.0] * 3)


def check_figures(stage: Stage, tmp_path: Path) -> None:
    with reading(stage.engine) as session:
        found = annotator_reliability(session, **ask(stage), home=tmp_path)  # type: ignore[arg-type]
    rows = found.annotators.set_index("name").to_dict("index")
    ann, cid = rows["ann"], rows["cid"]
    assert (ann["judgments"], ann["with_others_n"], cid["with_others"]) == (8, 24, 0.0)
    # Of the other two, one says the same and one the contrary: half.
    assert ann["with_others"] == 0.5
    assert ann["tie_share"] == 0.0 and ann["median_seconds"] == pytest.approx(1.2)
    assert ann["judgments_an_hour"] == pytest.approx(3000)
    assert (ann["with_reward_model"], ann["drift"], ann["gold"]) == (None, None, None)
    assert ann["first_shown_chance"] == pytest.approx(1 / 3)
    assert found.overall["first_shown_wins_n"] == 24
    assert found.overall["with_reward_model"] is None
    # Every completion of a task is as long as the others.
    assert (ann["longer_wins"], ann["longer_wins_n"]) == (None, 0)
    assert found.weeks["judgments"].tolist() == [8, 8, 8]
    assert found.places["n"].tolist() == [24, 24, 24]


def test_longer_completions_win_where_they_do(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project, overlap=1)
    task_id = stage.add_task("long", k=3)
    with writing(engine) as session:
        _lengthen(session, task_id, position=2)
    stage.judge("ann", [2, 3, 1])
    stage.account("lena", Role.LEAD)
    with reading(engine) as session:
        found = annotator_reliability(session, **ask(stage), home=Path("/nowhere"))  # type: ignore[arg-type]
    assert (found.overall["longer_wins"], found.overall["longer_wins_n"]) == (1.0, 2)


def _lengthen(session: Session, task_id: int, *, position: int) -> None:
    row = session.get_one(TaskCompletion, (task_id, position))
    session.get_one(Completion, row.completion_id).text += " and much more"


def test_what_the_reward_model_contradicts_is_listed(stage: Stage, tmp_path: Path) -> None:
    with reading(stage.engine) as session:
        cid = session.exec(
            select(Judgment).where(Judgment.annotator_id == stage.account("cid"))
        ).all()
        ids = [one.id or 0 for one in cid]
    pairs = [UnseenPair(ids[0], 2, 0, 0.03), UnseenPair(ids[1], 2, 0, 0.4),
             UnseenPair(999_999, 2, 0, 0.01)]  # fmt: skip
    write_unseen_pairs(tmp_path, "pairs", pairs)
    with writing(stage.engine) as session:
        artefacts = {ARTEFACT: "pairs"}
        session.add(Round(project_id=stage.project_id, number=1, artefacts=artefacts))
    with reading(stage.engine) as session:
        found = where_it_hurts(session, **ask(stage), home=tmp_path)  # type: ignore[arg-type]
        table = annotator_reliability(session, **ask(stage), home=tmp_path)  # type: ignore[arg-type]
    (error,) = found.label_errors.to_dict("records")
    assert (error["judgment_id"], error["probability"]) == (ids[0], 0.03)
    assert (error["better"], error["worse"], error["others"], error["others_agree"]) == (2, 0, 2, 0)
    row = table.annotators.set_index("name").loc["cid"]
    assert (row["with_reward_model"], row["with_reward_model_n"]) == (0.0, 2)


def test_an_arena_of_one_mind_and_one_in_circles(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project, overlap=1)
    stage.account("lena", Role.LEAD)
    _tasks_of_the_same_completions(stage)
    for _ in range(3):
        stage.judge("ann", [1, 2])
    with reading(engine) as session:
        found = where_it_hurts(session, **ask(stage), home=Path("/nowhere"))  # type: ignore[arg-type]
    (circle,) = found.own_circles.to_dict("records")
    assert circle["annotator_id"] == stage.account("ann") and len(circle["tasks"]) == 3


def _tasks_of_the_same_completions(stage: Stage) -> None:
    """Make three tasks of two: A and B, B and C, C and A, so that 1, 2 each time is a circle."""
    tasks = [stage.add_task(text, k=2) for text in "ABC"]
    with writing(stage.engine) as session:
        first = [session.get_one(TaskCompletion, (task, 0)).completion_id for task in tasks]
        for place, task in enumerate(tasks):
            row = session.get_one(TaskCompletion, (task, 1))
            row.completion_id = first[(place + 1) % 3]
