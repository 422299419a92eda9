import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlmodel import Session

from labeling.datasets.comparisons import comparisons
from labeling.datasets.judged import pair_rows
from labeling.judging.rankings import pairs_of, ties_of
from storage.engine import reading, writing
from storage.tables import Account, AccountKind, Policy, PolicyStatus, Project, Round, Split
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project, overlap=2)


def read(stage: Stage, split: Split | None = None) -> pd.DataFrame:
    with reading(stage.engine) as session:
        return comparisons(session, project_id=stage.project_id, split=split)


def test_pairs_are_those_of_the_ranking(stage: Stage) -> None:
    stage.add_task("t")
    stage.judge("ann", [2, 1, 2, 3])
    found = read(stage)
    pairs = set(zip(found["chosen"], found["rejected"], strict=True))
    assert pairs == {
        ("t.1", "t.0"),
        ("t.1", "t.2"),
        ("t.1", "t.3"),
        ("t.0", "t.3"),
        ("t.2", "t.3"),
    }
    assert (found["chosen_rank"] < found["rejected_rank"]).all()
    assert set(found["policy_version"]) == {1}
    assert set(found["round"]) == {0}
    assert found["messages"].iloc[0] == [{"role": "user", "content": "t"}]
    assert (found["chosen_id"] != found["rejected_id"]).all()


def test_superseded_switched_off_and_model_judgments_are_left_out(stage: Stage) -> None:
    stage.add_task("t", k=2)
    task = stage.lend("ann")
    stage.submit("ann", task, [1, 2], "n1")
    stage.submit("ann", task, [2, 1], "n2")
    stage.judge("bob", [1, 2])
    found = read(stage)
    assert sorted(zip(found["annotator_id"], found["chosen"], strict=True)) == [
        (stage.account("ann"), "t.1"),
        (stage.account("bob"), "t.0"),
    ]
    with writing(stage.engine) as session:
        session.get_one(Account, stage.account("ann")).active = False
        session.get_one(Account, stage.account("bob")).kind = AccountKind.MODEL
    assert read(stage).empty


def test_the_split_and_the_round_come_with_each_pair(stage: Stage) -> None:
    with writing(stage.engine) as session:
        make_round_policy(session, stage)
    stage.add_task("t", k=2)
    stage.add_task("h", k=2, split=Split.HELDOUT)
    stage.judge("ann", [1, 2])
    stage.judge("ann", [1, 2])
    assert set(read(stage)["round"]) == {3}
    assert read(stage, Split.HELDOUT)["chosen"].tolist() == ["h.0"]
    assert read(stage, Split.TRAIN)["chosen"].tolist() == ["t.0"]


def make_round_policy(session: Session, stage: Stage) -> None:
    made = Round(project_id=stage.project_id, number=3)
    session.add(made)
    session.flush()
    stage.policy = Policy(
        project_id=stage.project_id, version=2, round_id=made.id, status=PolicyStatus.CANDIDATE
    )
    session.add(stage.policy)


def test_nothing_judged_gives_an_empty_table(stage: Stage) -> None:
    assert read(stage).empty
    assert {"chosen", "rejected", "prompt_id"} <= set(read(stage).columns)


rankings = st.lists(
    st.integers(2, 9).flatmap(lambda k: st.lists(st.integers(1, k), min_size=k, max_size=k)),
    max_size=8,
)


@given(rankings)
def test_vectorised_pairs_equal_those_of_each_ranking(ranks: list[list[int]]) -> None:
    found = pair_rows(pd.DataFrame({"ranks": pd.Series(ranks, dtype=object)}))
    for row, ranking in enumerate(ranks):
        mine = found[found["row"] == row]
        better = [
            (i, j) if outcome > 0 else (j, i)
            for i, j, outcome in zip(mine["i"], mine["j"], mine["outcome"], strict=True)
            if outcome
        ]
        tied = mine[mine["outcome"] == 0]
        assert better == pairs_of(ranking)
        assert list(zip(tied["i"], tied["j"], strict=True)) == ties_of(ranking)
