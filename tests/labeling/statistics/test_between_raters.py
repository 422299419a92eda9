from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from labeling.statistics.between_raters import (
    agreement_matrix,
    agreement_with,
    agreement_with_others,
    mean_cohen_kappa,
    rater_tables,
)
from labeling.statistics.bounded_interval import bounded_interval
from labeling.statistics.rankings import Rankings, rankings_of
from labeling.statistics.unit_counts import Answers


def made(seed: int, tasks: int = 60, annotators: int = 5) -> tuple[Rankings, np.ndarray]:
    """Rankings of three completions, and (tasks, annotators, 3) ranks, 0 where one is missing."""
    random = np.random.default_rng(seed)
    quality = random.normal(size=(tasks, 1, 3))
    ranks = (quality + random.normal(size=(tasks, annotators, 3))).argsort(axis=2) + 1
    ranks[..., 0] = np.where(random.random((tasks, annotators)) < 0.3, ranks[..., 1], ranks[..., 0])
    ranks[random.random((tasks, annotators)) < 0.4] = 0
    task, rater = np.nonzero(ranks.any(axis=2))
    given = ranks[task, rater]
    # Ids that are no row numbers, in an order that is not that of the rows.
    return rankings_of(task, 90 - rater, given, np.full(len(task), 3)), ranks


def outcomes(ranks: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(3, 1)
    return np.sign(ranks[:, j] - ranks[:, i])


@pytest.mark.parametrize("seed", range(3))
def test_every_two_raters_are_as_scikit_learn_says(seed: int) -> None:
    rankings, ranks = made(seed)
    for weights, theirs in (("unweighted", None), ("quadratic", "quadratic")):
        tables = rater_tables(rankings.pair_answers)
        table = agreement_matrix(tables, weights).set_index(["annotator_id", "other_id"])
        kappas, shares = [], []
        for one, other in combinations(range(5), 2):
            both = ranks[:, one].any(axis=1) & ranks[:, other].any(axis=1)
            first, second = outcomes(ranks[both, one]).ravel(), outcomes(ranks[both, other]).ravel()
            row = table.loc[90 - other, 90 - one]
            kappas.append(cohen_kappa_score(first, second, weights=theirs))
            shares.append(len(first))
            assert row["kappa"] == pytest.approx(kappas[-1])
            assert row["agreement"] == pytest.approx((first == second).mean())
            assert row["n"] == len(first)
        mean = mean_cohen_kappa(tables, weights)
        assert mean.value == pytest.approx(np.average(kappas, weights=shares))
        assert mean.low < mean.value < mean.high and mean.n == sum(shares)


def only(rankings: Rankings, tasks: list[int]) -> Rankings:
    (part,) = rankings.parts
    rows = np.isin(part.task, tasks)
    k = np.full(int(rows.sum()), part.k)
    return rankings_of(part.task[rows], part.rater[rows], part.ranks[rows], k)


def test_few_tasks_are_left_out_in_turn() -> None:
    rankings, ranks = made(5, tasks=12)
    shared = np.flatnonzero(ranks.any(axis=2).sum(axis=1) > 1).tolist()
    found = mean_cohen_kappa(rater_tables(rankings.pair_answers), "linear")
    without = [
        mean_cohen_kappa(
            rater_tables(only(rankings, [each for each in shared if each != one]).pair_answers),
            "linear",
        ).value
        for one in shared
    ]
    error = ((len(shared) - 1) * np.var(without)) ** 0.5
    assert (found.low, found.high) == pytest.approx(
        bounded_interval(found.value, error, len(shared), least=-1.0)
    )


@pytest.mark.parametrize("tasks", [5, 10])
def test_few_answers_hold_the_truth(tasks: int) -> None:
    def answered(tasks: int, seed: int) -> list[Answers]:
        random = np.random.default_rng(seed)
        meant = np.repeat(random.normal(4, 1.3, size=(tasks, 1)), 3, axis=0)
        said = np.clip(np.round(meant + 0.5 * random.normal(size=meant.shape)), 1, 7).astype(int)
        task, rater = np.repeat(np.arange(tasks), 3), np.tile(np.arange(3), tasks)
        return [Answers(task, rater, said - 1, np.arange(1, 8))]

    for weights in ("linear", "quadratic"):
        truth = mean_cohen_kappa(rater_tables(answered(40_000, 999)), weights).value
        held = 0
        for seed in range(100):
            found = mean_cohen_kappa(rater_tables(answered(tasks, seed)), weights)
            held += found.low <= truth <= found.high
        # With the linearised error alone 85 and 93 of 100.
        assert held >= 93, weights


def test_each_with_all_others_is_counted_by_hand() -> None:
    rankings, ranks = made(4)
    found = agreement_with_others(rankings.pair_answers)
    for one in range(5):
        same = n = 0
        for other in set(range(5)) - {one}:
            both = ranks[:, one].any(axis=1) & ranks[:, other].any(axis=1)
            equal = outcomes(ranks[both, one]) == outcomes(ranks[both, other])
            same, n = same + equal.sum(), n + equal.size
        assert found.loc[90 - one, "n"] == n
        assert found.loc[90 - one, "agreement"] == pytest.approx(same / n)


def test_a_model_beside_people_is_one_rater_more() -> None:
    rankings, ranks = made(5)
    theirs = ranks[:, 0].any(axis=1)
    # The model judges the tasks of the first annotator, and one that no person has.
    task = np.append(np.flatnonzero(theirs), 1000)
    said = np.vstack([ranks[theirs, 0], [1, 2, 3]])
    model = rankings_of(task, np.full(len(task), 7), said, np.full(len(task), 3))
    found = agreement_with(model.pair_answers, rankings.pair_answers)
    same = n = 0
    for other in range(5):
        both = theirs & ranks[:, other].any(axis=1)
        equal = outcomes(ranks[both, 0]) == outcomes(ranks[both, other])
        same, n = same + equal.sum(), n + equal.size
    assert found.index.tolist() == [7]
    assert (found.loc[7, "agreement"], found.loc[7, "n"]) == (pytest.approx(same / n), n)


def test_those_who_share_nothing_have_no_row() -> None:
    alone = rankings_of(
        np.array([1, 2]), np.array([1, 2]), np.array([[1, 2], [2, 1]]), np.array([2, 2])
    )
    assert agreement_matrix(rater_tables(alone.pair_answers)).empty
    assert agreement_with_others(alone.pair_answers).empty
    assert agreement_with([], alone.pair_answers).empty
    figure = mean_cohen_kappa(rater_tables(alone.pair_answers))
    assert (figure.value, figure.n) == (None, 0)
