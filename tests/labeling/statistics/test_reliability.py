import pytest
from sqlalchemy import Engine

from labeling.labeling_settings import change_labeling
from labeling.quality_control.known_answers import make_gold
from labeling.quality_control.qualification import wave_through
from labeling.statistics.reliability import known_answer_tasks, reliability
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Account, Project, Role
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    """Return a project where ann judged one gold task, two others, and one of these again."""
    stage = set_stage(engine, project, overlap=2)
    stage.account("lena", Role.LEAD)
    original = stage.add_task("g", k=3)
    with writing(engine) as session:
        make_gold(session, task_id=original, ranks=[1, 2, 3], by=stage.accounts["lena"])
        session.get_one(Project, stage.project_id).overlap = 2
    stage.account("bob")
    rates(stage, rate=1.0, repeat_rate=0.0)
    stage.judge("ann", [1, 1, 2])
    rates(stage, rate=0.0)
    for text in ("t0", "t1"):
        stage.add_task(text, k=3)
        stage.judge("ann", [1, 2, 3])
    rates(stage, repeat_rate=1.0, repeat_after=1)
    repeat = stage.lend("ann")
    stage.submit("ann", repeat, [1, 3, 2], "again")
    return stage


def rates(stage: Stage, **values: float) -> None:
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        change_labeling(session, project=project, by=None, section="gold", values=values)


def test_each_annotator_has_their_figures(stage: Stage) -> None:
    lead = stage.accounts["lena"]
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        wave_through(session, project=project, account_id=stage.account("bob"), by=lead)
        # Who came with the judgments of another project is nobody in this one.
        session.add(Account(name="elsewhere", role=Role.ANNOTATOR, imported_from="a file"))
    with reading(stage.engine) as session:
        table = reliability(session, project_id=stage.project_id, account=lead)
    ann, bob = table.to_dict("records")
    # A tie where the known answer has none is half of one of three pairs.
    assert (ann["gold"], ann["gold_tasks"]) == (pytest.approx(2.5 / 3), 1)
    # Of the repeat's three pairs the second time turned one round.
    assert (ann["self_agreement"], ann["self_pairs"]) == (pytest.approx(2 / 3), 3)
    # The stage submits after 1.2 seconds, which is under the shortest time.
    assert (ann["name"], ann["judgments"], ann["fast"]) == ("ann", 4, 1.0)
    assert (bob["name"], bob["judgments"], bob["gold"], bob["fast"]) == ("bob", 0, None, None)
    assert (ann["qualification"], bob["qualification"]) == ("none", "waved through")


def test_known_answers_show_how_they_were_answered(stage: Stage) -> None:
    with reading(stage.engine) as session:
        table = known_answer_tasks(
            session, project_id=stage.project_id, account=stage.accounts["lena"]
        )
    (row,) = table.to_dict("records")
    assert (row["kind"], row["completions"], row["answers"]) == ("gold", 3, 1)
    assert row["right"] == pytest.approx(2.5 / 3)


def test_annotators_may_not_see_it(stage: Stage) -> None:
    with reading(stage.engine) as session, pytest.raises(NotAllowed):
        reliability(session, project_id=stage.project_id, account=stage.accounts["ann"])
