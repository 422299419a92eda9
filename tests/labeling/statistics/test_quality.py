import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine

from labeling.judging.judgments import skip_assignment
from labeling.statistics.agreement import krippendorff_alpha
from labeling.statistics.quality import Quality, pair_ratings, quality, rank_ratings
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Account, AccountKind, Project, Role
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project, overlap=3)


def measure(stage: Stage) -> Quality:
    lead = Account(name="lead", role=Role.LEAD)
    with reading(stage.engine) as session:
        return quality(session, project_id=stage.project_id, account=lead)


def test_nothing_judged_measures_nothing(stage: Stage) -> None:
    found = measure(stage)
    figures = [
        found.pairwise_agreement,
        found.pairwise_without_ties,
        found.krippendorff_alpha,
        found.krippendorff_alpha_of_ranks,
        found.tie_share,
    ]
    assert [(figure.value, figure.n) for figure in figures] == [(None, 0)] * 5
    assert found.annotators.empty
    assert (found.judgments, found.tasks, found.tasks_judged_twice) == (0, 0, 0)


def test_one_annotator_has_no_agreement(stage: Stage) -> None:
    stage.add_task("t")
    stage.judge("ann", [1, 1, 2, 3])
    found = measure(stage)
    assert found.pairwise_agreement.value is None and found.krippendorff_alpha.value is None
    assert found.tie_share.value == pytest.approx(1 / 6)
    assert found.tie_share.n == 6
    (row,) = found.annotators.to_dict("records")
    assert (row["name"], row["judgments"], row["kind"]) == ("ann", 1, "person")
    assert (row["agreement"], row["agreement_n"]) == (None, 0)
    assert row["median_seconds"] == 1.2
    assert row["tie_share"] == pytest.approx(1 / 6)


def test_a_hand_worked_case(stage: Stage) -> None:
    stage.add_task("t", k=3)
    stage.judge("ann", [1, 2, 3])
    stage.judge("bob", [1, 3, 2])
    stage.judge("cleo", [1, 2, 2])
    found = measure(stage)
    # Pairs (0,1) and (0,2): all three agree, 3 + 3; pair (1,2): better, worse, tied, 0 of 3.
    assert found.pairwise_agreement.value == pytest.approx(6 / 9)
    assert found.pairwise_agreement.n == 9
    # Without cleo's tie the third pair has one comparison, in which ann and bob differ.
    assert (found.pairwise_without_ties.value, found.pairwise_without_ties.n) == (6 / 7, 7)
    assert found.krippendorff_alpha.n == 3
    # Of 9 values 7 are better, 1 worse, 1 tied: chance differs in 1 - 7·6/(9·8), they in 3 of 9.
    expected = 1 - (3 / 9) / (1 - (7 * 6) / (9 * 8))
    assert found.krippendorff_alpha.value == pytest.approx(expected)
    table = found.annotators.set_index("name")
    assert table["agreement"].tolist() == pytest.approx([4 / 6] * 3)
    assert table["agreement_n"].tolist() == [6, 6, 6]
    assert found.tasks_judged_twice == 1


def test_unanimous_annotators_reach_one(stage: Stage) -> None:
    for number in range(3):
        stage.add_task(f"t{number}")
        ranks = [[1, 2, 3, 4], [4, 3, 2, 1], [2, 1, 1, 3]][number]
        for name in ("ann", "bob"):
            stage.judge(name, ranks)
    found = measure(stage)
    assert found.pairwise_agreement.value == 1.0
    assert found.krippendorff_alpha.value == pytest.approx(1.0)
    assert found.krippendorff_alpha_of_ranks.value == pytest.approx(1.0)


def test_random_rankings_are_near_zero() -> None:
    random = np.random.default_rng(2)
    judged = pd.DataFrame(
        {
            "task_id": np.repeat(np.arange(600), 2),
            "annotator_id": np.tile([1, 2], 600),
            "ranks": [(random.permutation(4) + 1).tolist() for _ in range(1200)],
        }
    )
    pairs = krippendorff_alpha(pair_ratings(judged), "nominal")
    ranks = krippendorff_alpha(rank_ratings(judged), "ordinal")
    assert pairs.value == pytest.approx(0, abs=0.06) and pairs.n == 3600
    assert ranks.value == pytest.approx(0, abs=0.06) and ranks.n == 2400


def test_ranks_are_averaged_over_ties() -> None:
    judged = pd.DataFrame(
        {"task_id": [7, 7], "annotator_id": [1, 2], "ranks": [[1, 2, 2, 3], [1, 1, 1, 1]]}
    )
    found = rank_ratings(judged)
    assert found["value"].tolist() == [1.0, 2.5, 2.5, 4.0, 2.5, 2.5, 2.5, 2.5]
    assert found["unit"].tolist() == [70, 71, 72, 73] * 2


def test_superseded_judgments_count_nowhere(stage: Stage) -> None:
    stage.add_task("t", k=2)
    task = stage.lend("ann")
    stage.submit("ann", task, [2, 1], "n1")
    stage.submit("ann", task, [1, 2], "n2")
    stage.judge("bob", [1, 2])
    found = measure(stage)
    assert (found.pairwise_agreement.value, found.pairwise_agreement.n, found.judgments) == (
        1.0,
        1,
        2,
    )
    assert found.annotators["judgments"].tolist() == [1, 1]


def test_models_have_their_row_but_no_say_in_the_overall_figures(stage: Stage) -> None:
    stage.add_task("t", k=2)
    for name, ranks in [("ann", [1, 2]), ("bob", [1, 2]), ("model", [2, 1])]:
        stage.judge(name, ranks)
    with writing(stage.engine) as session:
        session.get_one(Account, stage.account("model")).kind = AccountKind.MODEL
    found = measure(stage)
    assert (found.pairwise_agreement.value, found.judgments) == (1.0, 2)
    table = found.annotators.set_index("name")
    assert table.loc["model", "agreement"] == 0.0
    assert table.loc["model", "kind"] == "model"


def test_skips_are_counted_for_those_who_only_skip(stage: Stage) -> None:
    stage.add_task("t")
    task = stage.lend("ann")
    with writing(stage.engine) as session:
        skip_assignment(
            session,
            assignment_id=task.assignment_id,
            annotator_id=stage.account("ann"),
            reason="x",
        )
    (row,) = measure(stage).annotators.to_dict("records")
    assert (row["skipped"], row["judgments"]) == (1, 0)
    assert row["median_seconds"] is None and row["last_at"] is None


def test_annotators_may_not_see_it(stage: Stage) -> None:
    annotator = Account(name="a", role=Role.ANNOTATOR)
    with reading(stage.engine) as session, pytest.raises(NotAllowed, match="quality"):
        quality(session, project_id=stage.project_id, account=annotator)
