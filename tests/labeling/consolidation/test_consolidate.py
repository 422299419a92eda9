import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.consolidation import RULES, consolidate
from tests.labeling.reliability_models.simulated_rankings import Simulated, simulate

JUDGED = some.lists(
    some.tuples(
        some.integers(1, 4),
        some.integers(1, 4),
        some.lists(some.integers(1, 3), min_size=3, max_size=3),
    ),
    min_size=1,
    max_size=12,
)


def table(said: list[tuple[int, int, list[int]]]) -> pd.DataFrame:
    return pd.DataFrame(said, columns=["task_id", "annotator_id", "ranks"])


def of_simulated(found: Simulated) -> pd.DataFrame:
    ranks = found.ranks.tolist()
    return pd.DataFrame({"task_id": found.task, "annotator_id": found.rater, "ranks": ranks})


def dense(ranks: list[int]) -> list[int]:
    return [sorted({*ranks}).index(rank) + 1 for rank in ranks]


def right(labels: pd.DataFrame, truth: Simulated) -> np.ndarray:
    """Return for each task the share of pairs that its label orders as the truth does."""
    ranks = np.array(labels["ranks"].tolist())
    first, second = np.triu_indices(ranks.shape[1], 1)
    said = np.sign(ranks[:, second] - ranks[:, first])
    so = np.sign(truth.quality[:, first] - truth.quality[:, second])
    return ((said == so) + 0.5 * (said == 0)).mean(axis=1)


@pytest.mark.parametrize("rule", RULES)
@given(ranks=some.lists(some.integers(1, 4), min_size=2, max_size=4), people=some.integers(1, 4))
@settings(max_examples=25)
def test_what_all_say_is_the_label(rule: str, ranks: list[int], people: int) -> None:
    found = consolidate(table([(7, one, ranks) for one in range(people)]), rule=rule)
    assert found.to_dict("records")[0] | {"uncertainty": 0} == {
        "task_id": 7, "ranks": dense(ranks), "uncertainty": 0, "judgments": people
    }  # fmt: skip
    assert 0 <= found["uncertainty"][0] <= 0.6


@pytest.mark.parametrize("rule", RULES)
@given(said=JUDGED, to=some.permutations(range(1, 5)))
@settings(max_examples=25)
def test_names_and_order_make_no_difference(
    rule: str, said: list[tuple[int, int, list[int]]], to: list[int]
) -> None:
    found = consolidate(table(said), rule=rule)
    renamed = [(task, to[annotator - 1], ranks) for task, annotator, ranks in reversed(said)]
    again = consolidate(table(renamed), rule=rule)
    assert again["task_id"].tolist() == sorted({task for task, _, _ in said})
    assert again["uncertainty"].tolist() == pytest.approx(found["uncertainty"].tolist(), abs=1e-3)


@pytest.mark.parametrize("rule", RULES)
def test_more_judgments_of_one_mind_are_surer(rule: str) -> None:
    few = consolidate(table([(1, one, [1, 2, 3]) for one in range(2)]), rule=rule)
    many = consolidate(table([(1, one, [1, 2, 3]) for one in range(6)]), rule=rule)
    assert 0 < many["uncertainty"][0] < few["uncertainty"][0]


@pytest.mark.parametrize("rule", RULES)
def test_planted_orders_come_back(rule: str) -> None:
    truth = simulate([0.95] * 4 + [0.8] * 4, tasks=400, k=4, seed=1)
    labels = consolidate(of_simulated(truth), rule=rule)
    found = right(labels, truth)
    assert found.mean() > 0.9
    # What is called uncertain is wrong more often.
    doubtful = labels["uncertainty"] > labels["uncertainty"].median()
    assert found[doubtful].mean() < found[~doubtful].mean()


def test_rules_that_know_raters_beat_the_majority_where_many_guess() -> None:
    truth = simulate([0.97] * 4 + [0.5] * 6, tasks=600, k=3, seed=2)
    judged = of_simulated(truth)
    shares = {rule: right(consolidate(judged, rule=rule), truth).mean() for rule in RULES}
    for rule in ("dawid_skene", "bradley_terry", "plackett_luce"):
        assert shares[rule] > shares["majority"] + 0.02, shares


def test_weights_decide() -> None:
    said = table([(1, 1, [1, 2]), (1, 2, [2, 1]), (1, 3, [2, 1])])
    assert consolidate(said, rule="majority")["ranks"][0] == [2, 1]
    trusted = consolidate(said, rule="majority", weights={1: 1.0, 2: 0.1, 3: 0.1})
    assert trusted["ranks"][0] == [1, 2]
    alone = consolidate(said, rule="majority", weights={2: 0.0, 3: 0.0})
    assert (alone["ranks"][0], alone["judgments"][0]) == ([1, 2], 1)


def test_tasks_of_unlike_sizes_stand_side_by_side() -> None:
    said = table([(2, 1, [1, 2, 3]), (1, 1, [2, 1]), (2, 2, [1, 2, 3]), (3, 1, [1])])
    found = consolidate(said, rule="bradley_terry")
    assert found["task_id"].tolist() == [1, 2]
    assert found["ranks"].tolist() == [[2, 1], [1, 2, 3]]


def test_a_circle_of_majorities_is_a_tie() -> None:
    said = table([(1, 1, [1, 2, 3]), (1, 2, [3, 1, 2]), (1, 3, [2, 3, 1])])
    assert consolidate(said, rule="majority")["ranks"][0] == [1, 1, 1]


def test_nothing_gives_nothing_and_an_unknown_rule_is_refused() -> None:
    assert consolidate(table([]), rule="majority").empty
    with pytest.raises(ValueError, match="no rule best"):
        consolidate(table([(1, 1, [1, 2])]), rule="best")
