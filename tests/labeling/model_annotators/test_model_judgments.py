"""Judgments by models: what they take, what stays with people, and what enters which figure."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.accounts import create_account
from labeling.datasets.export_preferences import export_preferences
from labeling.datasets.snapshots import create_snapshot
from labeling.labeling_sections import ModelAnnotatorSettings
from labeling.labeling_settings import change_labeling
from labeling.model_annotators.model_judgments import (
    Mark,
    ModelLabel,
    in_audit,
    judged_by_people,
    model_account,
    store_model_judgment,
    tasks_to_judge,
)
from labeling.review.adjudication import decide
from labeling.rounds import judgments_until_round
from labeling.withdrawals.scope import Scope
from labeling.withdrawals.withdrawing import revert, withdraw
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    Judgment,
    Project,
    Role,
    Split,
    Task,
    TaskStatus,
)
from tests.labeling.stage import Stage, set_stage
from tests.labeling.trained_rows import trained_rows

NO_AUDIT = ModelAnnotatorSettings(audit=0.0)
ALL_AUDIT = ModelAnnotatorSettings(audit=1.0)
SURE = ModelLabel([1, 2, 3, 4], 0.9)


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project, overlap=1)


def _model(stage: Stage, name: str = "reward model") -> Account:
    with writing(stage.engine) as session:
        return model_account(session, name=name)


def _label(
    stage: Stage, task_id: int, label: ModelLabel, settings: ModelAnnotatorSettings = NO_AUDIT
) -> Mark | None:
    account = _model(stage)
    with writing(stage.engine) as session:
        return store_model_judgment(
            session, task_id=task_id, account=account, label=label, settings=settings
        )


def _to_judge(stage: Stage, **options: object) -> list[int]:
    account = _model(stage)
    with reading(stage.engine) as session:
        found = tasks_to_judge(
            session,
            project_id=stage.project_id,
            annotator_id=account.id or 0,
            limit=10,
            **options,  # type: ignore[arg-type]
        )
    return [one.task_id for one in found]


def _task(stage: Stage, task_id: int) -> Task:
    with reading(stage.engine) as session:
        return session.get_one(Task, task_id)


def test_a_sure_model_takes_the_task_and_no_person_is_asked(stage: Stage) -> None:
    task_id = stage.add_task("t")
    assert _label(stage, task_id, SURE) is Mark.TAKEN
    assert _task(stage, task_id).status is TaskStatus.DONE
    assert stage.next("ann") is None
    with reading(stage.engine) as session:
        judgment = session.exec(select(Judgment)).one()
        assignment = session.get_one(Assignment, judgment.assignment_id)
    assert (judgment.ranks, judgment.confidence, judgment.marks) == ([1, 2, 3, 4], 0.9, ["taken"])
    assert not assignment.counted
    assert _task(stage, task_id).judged == 0


def test_what_a_withdrawn_model_took_goes_to_people_and_it_takes_no_more(stage: Stage) -> None:
    taken, later, judged = (stage.add_task(text) for text in ("t", "l", "j"))
    assert _label(stage, taken, SURE) is _label(stage, judged, SURE) is Mark.TAKEN
    scope = Scope(annotator_id=_model(stage).id)
    with writing(stage.engine) as session:
        # What a lead has decided keeps its label.
        lead = create_account(session, name="lena", role=Role.LEAD)
        decide(session, task_id=judged, ranks=[1, 2, 3, 4], by=lead, nonce="d", reason="")
        done = withdraw(
            session,
            project=session.get_one(Project, stage.project_id),
            by=None,
            scope=scope,
            reason="it is wrong",
        )
    found = [_task(stage, key).status for key in (taken, judged)]
    assert found == [TaskStatus.READY, TaskStatus.DONE]
    assert _label(stage, later, SURE) is Mark.UNSURE
    assert {stage.lend(name).task_id for name in ("ann", "bob")} == {taken, later}
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        revert(session, project=project, by=None, withdrawal_id=done.id or 0, reason="it is right")
    another = stage.add_task("a")
    assert _label(stage, another, SURE) is Mark.TAKEN


def test_what_it_is_unsure_of_goes_to_people_with_all_its_room(stage: Stage) -> None:
    task_id = stage.add_task("t")
    assert _label(stage, task_id, ModelLabel([1, 2, 3, 4], 0.79)) is Mark.UNSURE
    assert _task(stage, task_id).status is TaskStatus.READY
    assert stage.judge("ann", [4, 3, 2, 1]).stored
    assert _task(stage, task_id).status is TaskStatus.DONE
    assert _task(stage, task_id).judged == 1


def test_audited_and_heldout_tasks_stay_with_people(stage: Stage) -> None:
    audited, held = stage.add_task("t"), stage.add_task("h", split=Split.HELDOUT)
    assert _label(stage, audited, SURE, ALL_AUDIT) is Mark.AUDIT
    assert _label(stage, held, SURE) is Mark.UNSURE
    assert {_task(stage, key).status for key in (audited, held)} == {TaskStatus.READY}


def test_the_audit_is_a_share_of_tasks_that_no_model_decides() -> None:
    drawn = [in_audit(task_id, 0.1) for task_id in range(1, 5001)]
    assert 0.08 < sum(drawn) / len(drawn) < 0.12
    assert not in_audit(1, 0.0) and in_audit(1, 1.0)


def test_a_person_who_came_first_keeps_the_task(stage: Stage) -> None:
    task_id = stage.add_task("t")
    lent = stage.lend("ann")
    assert _label(stage, task_id, SURE) is None
    assert stage.submit("ann", lent, [1, 2, 3, 4], "n1").stored
    assert _label(stage, task_id, SURE) is None
    with reading(stage.engine) as session:
        assert len(session.exec(select(Judgment)).all()) == 1


def test_a_model_reads_each_task_once_and_again_when_it_is_a_newer_one(stage: Stage) -> None:
    first, second = stage.add_task("a"), stage.add_task("b")
    stage.lend("ann")  # The first task: somebody is at work on it.
    assert _to_judge(stage) == [second]
    assert _label(stage, second, ModelLabel([1, 1, 2, 3], 0.5)) is Mark.UNSURE
    assert _to_judge(stage) == []
    assert _to_judge(stage, since=now() + timedelta(seconds=1)) == [second]
    assert _label(stage, second, SURE) is Mark.TAKEN
    with reading(stage.engine) as session:
        older, newer = session.exec(select(Judgment).order_by(Judgment.id)).all()  # type: ignore[arg-type]
    assert newer.supersedes_id == older.id and newer.assignment_id == older.assignment_id
    assert first != second


def test_a_prompt_that_was_taken_is_left_alone_until_there_is_a_newer_policy(
    stage: Stage,
) -> None:
    taken = stage.add_task("a")
    again = stage.add_task("b")
    with writing(stage.engine) as session:
        task = session.get_one(Task, again)
        task.prompt_id = session.get_one(Task, taken).prompt_id
        session.add(task)
    assert _to_judge(stage) == [taken, again]
    assert _label(stage, taken, SURE) is Mark.TAKEN
    assert _to_judge(stage) == []


def test_tasks_are_read_with_their_texts_in_position_order(stage: Stage) -> None:
    stage.add_task("hello", k=3)
    account = _model(stage)
    with reading(stage.engine) as session:
        (one,) = tasks_to_judge(
            session, project_id=stage.project_id, annotator_id=account.id or 0, limit=5
        )
    assert one.completions == ["hello.0", "hello.1", "hello.2"]
    assert one.messages == [{"role": "user", "content": "hello"}]
    assert one.finish_reasons == ["stop"] * 3


def test_what_people_judged_is_read_newest_first_and_without_models(stage: Stage) -> None:
    for text in ("a", "b"):
        stage.add_task(text)
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("ann", [4, 3, 2, 1])
    _label(stage, stage.add_task("c"), SURE)
    with reading(stage.engine) as session:
        found = judged_by_people(session, project_id=stage.project_id, limit=10)
    assert [rankings for _, rankings in found] == [[[4, 3, 2, 1]], [[1, 2, 3, 4]]]
    assert [one.completions[0] for one, _ in found] == ["b.0", "a.0"]


def test_a_models_account_is_its_own(stage: Stage) -> None:
    account = _model(stage)
    assert account.kind is AccountKind.MODEL and account.password_hash is None
    assert _model(stage).id == account.id
    stage.account("ann")
    with pytest.raises(Conflict, match="no model's"), writing(stage.engine) as session:
        model_account(session, name="ann")


@pytest.mark.parametrize("label", [ModelLabel([1, 2], 0.9), ModelLabel([1, 2, 3, 4], 1.2)])
def test_a_label_that_does_not_fit_is_refused(stage: Stage, label: ModelLabel) -> None:
    task_id = stage.add_task("t")
    with pytest.raises(BadInput):
        _label(stage, task_id, label)
    assert _task(stage, task_id).status is TaskStatus.READY


def _mixed(stage: Stage) -> dict[str, int]:
    """Have a person judge one task, and the model take one, audit one and be unsure of one."""
    tasks = {"person": stage.add_task("p", k=2)}
    stage.judge("ann", [1, 2])
    for name, confidence, audit in (("taken", 0.9, 0.0), ("audit", 0.9, 1.0), ("unsure", 0.5, 0)):
        tasks[name] = stage.add_task(name, k=2)
        settings = ModelAnnotatorSettings(audit=audit)
        _label(stage, tasks[name], ModelLabel([2, 1], confidence), settings)
    return tasks


def test_training_and_export_leave_models_out_unless_asked(stage: Stage) -> None:
    tasks = _mixed(stage)
    people = trained_rows(stage.engine, stage.project_id)
    both = trained_rows(stage.engine, stage.project_id, models="taken")
    assert people["task_id"].tolist() == [tasks["person"]]
    assert both["task_id"].tolist() == [tasks["person"], tasks["taken"]]
    assert both["annotator_kind"].tolist() == ["person", "model"]
    assert both["completions"].tolist()[1] == ["taken.0", "taken.1"]


def test_where_people_judged_too_theirs_is_the_label(stage: Stage) -> None:
    task_id = stage.add_task("t", k=2)
    _label(stage, task_id, ModelLabel([2, 1], 0.9))
    with writing(stage.engine) as session:  # A lead wants people on it all the same.
        session.get_one(Task, task_id).status = TaskStatus.READY
    stage.judge("ann", [1, 2])
    both = trained_rows(stage.engine, stage.project_id, models="taken")
    assert both["ranks"].tolist() == [[1, 2]]


def test_every_exported_row_names_the_kind_of_its_annotator(stage: Stage, tmp_path: Path) -> None:
    _mixed(stage)
    for include, wanted in ((False, ["person"]), (True, ["person", "model"])):
        out = tmp_path / str(include)
        export_preferences(
            stage.engine,
            project=stage.project,
            account=None,
            home=tmp_path,
            out=out,
            include_models=include,
            validation_share=0.0,
        )
        lines = (out / "train.jsonl").read_text().splitlines()
        assert [json.loads(line)["annotator_kind"] for line in lines] == wanted


def test_a_snapshot_holds_models_only_by_the_setting_and_says_so(
    stage: Stage, tmp_path: Path
) -> None:
    _mixed(stage)
    for train, judgments, said in ((False, 1, "no models"), (True, 2, "models only of tasks")):
        with writing(stage.engine) as session:
            project = session.merge(stage.project)
            change_labeling(
                session,
                project=project,
                by=None,
                section="model_annotators",
                values={"train": train},
            )
            snapshot = create_snapshot(
                session, project=project, folder=tmp_path / "snapshots", code_version="test"
            )
        assert snapshot.manifest["judgments"] == judgments
        assert said in snapshot.manifest["filters"]["accounts"]


def test_a_round_waits_for_people(stage: Stage) -> None:
    _mixed(stage)
    with reading(stage.engine) as session:
        left = judgments_until_round(session, project_id=stage.project_id, judgments_per_round=3)
    assert left == 2
