"""A round that learns from one label a task."""

import json

import pytest
from sqlmodel import col, select

from labeling.datasets.snapshots import read_snapshot
from labeling.labeling_settings import change_labeling
from reward.running.runtime import Runtime
from reward.steps.outcome import StepContext
from reward.steps.snapshot import labelled, ranked_examples, rankings_of_round, take_snapshot
from storage.engine import build_engine, reading, writing
from storage.settings import Settings
from storage.tables import (
    Account,
    Assignment,
    AssignmentState,
    Judgment,
    Project,
    Role,
    Round,
    Split,
)


def _judge_again(runtime: Runtime) -> int:
    """Have two more judge what is judged the other way round; return how many tasks that are."""
    with writing(runtime.engine) as session:
        first = session.exec(select(Judgment).order_by(col(Judgment.id))).all()
        for name in ("second", "third"):
            account = Account(name=name, role=Role.ANNOTATOR)
            session.add(account)
            session.flush()
            for one in first:
                lent = Assignment(
                    task_id=one.task_id, annotator_id=account.id or 0, expires_at=one.created_at,
                    state=AssignmentState.SUBMITTED, order_seed=0, display_order=one.display_order,
                )  # fmt: skip
                session.add(lent)
                session.flush()
                session.add(
                    Judgment(
                        project_id=one.project_id, task_id=one.task_id, assignment_id=lent.id or 0,
                        annotator_id=account.id or 0, ranks=one.ranks[::-1], milliseconds=1,
                        display_order=one.display_order, nonce=f"{name}-{one.id}",
                    )
                )  # fmt: skip
        return len({one.task_id for one in first})


def _examples(runtime: Runtime, number: int) -> list[tuple[int, list[int]]]:
    runtime.read_project()
    one = Round(project_id=runtime.project_id, number=number)
    context = StepContext(runtime, one, lambda step, steps, metrics: None, lambda words: None)
    one.snapshot_id = take_snapshot(context).snapshot_id
    splits = (Split.TRAIN, Split.HELDOUT)
    found = [each for split in splits for each in rankings_of_round(context, split)]
    return [(each.judgment_id, each.ranks) for each in found]


def test_rounds_learn_from_labels_where_the_project_asks(judged: Settings) -> None:
    runtime = Runtime(build_engine(judged.url), judged)
    tasks = _judge_again(runtime)
    raw = _examples(runtime, 1)
    assert len(raw) == 3 * tasks and 0 not in {judgment_id for judgment_id, _ in raw}
    with writing(runtime.engine) as session:
        change_labeling(
            session,
            project=session.get_one(Project, runtime.project_id),
            by=None,
            section="reliability",
            values={"consolidation": "majority"},
        )
    labels = _examples(runtime, 2)
    assert len(labels) == tasks and {judgment_id for judgment_id, _ in labels} == {0}
    with reading(runtime.engine) as session:
        outvoted = [
            one.ranks
            for one in session.exec(select(Judgment).order_by(col(Judgment.id)).limit(tasks))
        ]
    assert sorted(ranks for _, ranks in labels) == sorted(ranks[::-1] for ranks in outvoted)


def test_a_round_has_the_strength_that_was_asked_and_a_label_has_none(judged: Settings) -> None:
    runtime = Runtime(build_engine(judged.url), judged)
    runtime.read_project()
    one = Round(project_id=runtime.project_id, number=1)
    context = StepContext(runtime, one, lambda step, steps, metrics: None, lambda words: None)
    uri = take_snapshot(context).artefacts["snapshot"]
    rows = read_snapshot(uri, runtime.home).head(3)
    told = rows.assign(strength=[1, 4, None])
    assert [each.strength for each in ranked_examples(runtime, told)] == [0.0, 3.0, None]
    labels = rows.drop_duplicates("task_id")[["task_id", "ranks"]]
    assert {each.strength for each in ranked_examples(runtime, labelled(told, labels))} == {None}
    older = rows.drop(columns="strength")
    assert {each.strength for each in ranked_examples(runtime, older)} == {None}


def test_a_round_has_the_scores_that_were_asked_where_no_strength_was(judged: Settings) -> None:
    runtime = Runtime(build_engine(judged.url), judged)
    runtime.read_project()
    one = Round(project_id=runtime.project_id, number=1)
    context = StepContext(runtime, one, lambda step, steps, metrics: None, lambda words: None)
    rows = read_snapshot(take_snapshot(context).artefacts["snapshot"], runtime.home).head(3)
    k = len(rows["ranks"].iloc[0])
    answers = {"helpful": [7] * k, "harmless": list(range(1, k + 1)), "partly": [None] * k}
    told = rows.assign(likert=[json.dumps(answers), "{}", json.dumps(answers)])
    told = told.assign(strength=[None, None, 2])
    found = [each.scores for each in ranked_examples(runtime, told)]
    assert found == [[(7 + each) / 2 for each in range(1, k + 1)], None, None]
    labels = rows.drop_duplicates("task_id")[["task_id", "ranks"]]
    assert {each.scores for each in ranked_examples(runtime, labelled(told, labels))} == {None}
    assert {each.scores for each in ranked_examples(runtime, rows.drop(columns="likert"))} == {None}


def test_rankings_that_are_too_long_are_counted_in_the_log(
    judged: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = Runtime(build_engine(judged.url), judged)
    runtime.read_project()
    one = Round(project_id=runtime.project_id, number=1)
    context = StepContext(runtime, one, lambda step, steps, metrics: None, lambda words: None)
    rows = read_snapshot(take_snapshot(context).artefacts["snapshot"], runtime.home).head(3)
    long = [["word " * 5000, *texts[1:]] for texts in rows["completions"]]
    assert ranked_examples(runtime, rows.assign(completions=long)) == []
    assert "3 of 3 rankings have more than the" in caplog.text
