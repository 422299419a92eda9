from itertools import combinations

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, kendalltau

from labeling.statistics.rank_correlation import (
    concordance,
    exact_order_agreement,
    kendall_tau_b,
    kendall_w,
    top_one_agreement,
)
from labeling.statistics.rankings import Rankings, rankings_of


def of_tasks(tasks: list[list[list[int]]]) -> Rankings:
    """Return the rankings of tasks, each a list of rankings of one K."""
    rows = [(task, ranks) for task, all_ranks in enumerate(tasks) for ranks in all_ranks]
    width = max(len(ranks) for _, ranks in rows)
    return rankings_of(
        np.array([task for task, _ in rows]),
        np.arange(len(rows)),
        np.array([[*ranks, *[0] * (width - len(ranks))] for _, ranks in rows]),
        np.array([len(ranks) for _, ranks in rows]),
    )


def random_tasks(seed: int) -> list[list[list[int]]]:
    """Tasks of unlike K and raters, with ties."""
    random = np.random.default_rng(seed)
    return [
        [random.integers(1, k + 1, k).tolist() for _ in range(random.integers(1, 5))]
        for k in random.integers(2, 7, 12)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_tau_b_equals_scipy(seed: int) -> None:
    tasks = random_tasks(seed)
    theirs = [
        kendalltau(one, other).statistic
        for rankings in tasks
        for one, other in combinations(rankings, 2)
        # SciPy too leaves it undefined where one of them ties everything.
        if len(set(one)) > 1 and len(set(other)) > 1
    ]
    found = kendall_tau_b(of_tasks(tasks))
    assert found.value == pytest.approx(np.mean(theirs))
    assert found.n == len(theirs)


@pytest.mark.parametrize("seed", range(5))
def test_w_equals_friedman_of_scipy(seed: int) -> None:
    random = np.random.default_rng(seed)
    rankings = random.integers(1, 5, (4, 6))
    chi2 = friedmanchisquare(*rankings.T).statistic
    assert kendall_w(of_tasks([rankings.tolist()])).value == pytest.approx(chi2 / (4 * 5))


def test_w_is_the_mean_over_tasks_that_have_two() -> None:
    one, two = [[1, 2, 3], [1, 2, 3]], [[1, 2, 3, 4], [4, 3, 2, 1]]
    found = kendall_w(of_tasks([one, two, [[1, 2]], [[1, 1], [1, 1]]]))
    assert (found.value, found.n) == (0.5, 2)


def test_a_hand_worked_w_with_ties() -> None:
    # Ranks 1.5 1.5 3 and 1 2 3: sums 2.5 3.5 6, mean 4, S = 6.5; T = 6 for the tie.
    # W = 12 · 6.5 / (4 · 24 − 2 · 6).
    assert concordance(of_tasks([[[1, 1, 2], [1, 2, 3]]]).parts[0]).tolist() == pytest.approx(
        [78 / 84]
    )


def test_dense_and_other_ranks_are_one_ranking() -> None:
    dense, competition = [1, 2, 2, 3], [1, 2, 2, 4]
    found = of_tasks([[dense, competition]])
    assert exact_order_agreement(found).value == 1.0
    assert kendall_w(found).value == pytest.approx(1.0)


def test_same_order_and_same_best_of_a_hand_worked_case() -> None:
    rankings = of_tasks([[[1, 2, 3], [1, 3, 2], [1, 1, 2]], [[2, 1], [2, 1]]])
    # Of four pairs of rankings one is the same throughout, and two have the same best.
    assert (exact_order_agreement(rankings).value, exact_order_agreement(rankings).n) == (0.25, 4)
    assert (top_one_agreement(rankings).value, top_one_agreement(rankings).n) == (0.5, 4)


def test_a_shared_first_place_is_the_same_only_where_the_same_share_it() -> None:
    assert top_one_agreement(of_tasks([[[1, 1, 2], [1, 1, 3]]])).value == 1.0
    assert top_one_agreement(of_tasks([[[1, 1, 2], [1, 2, 1]]])).value == 0.0


def test_what_nobody_shares_is_not_measured() -> None:
    rankings = of_tasks([[[1, 2, 3]], [[2, 1]]])
    for measure in (kendall_tau_b, kendall_w, exact_order_agreement, top_one_agreement):
        assert (measure(rankings).value, measure(rankings).n) == (None, 0)


def test_rankings_that_leave_a_completion_out_are_left_out() -> None:
    whole = [[1, 2, 3], [1, 2, 3]]
    partly = of_tasks([[*whole, [0, 2, 1]]])
    assert (kendall_w(partly).value, exact_order_agreement(partly).n) == (1.0, 1)
    # The pair that they did rank is a rating all the same: it differs from both others.
    assert partly.pair_counts.counts.sum(axis=1).tolist() == [2, 2, 3]
