import krippendorff
import numpy as np
import pytest

from labeling.statistics.agreement import krippendorff_alpha, pairwise_agreement
from labeling.statistics.between_raters import mean_cohen_kappa, rater_tables
from labeling.statistics.bootstrap import Resampling, figure_of, ratio, task_sums
from labeling.statistics.bounded_interval import bounded_interval
from labeling.statistics.measures import ranking_figures
from labeling.statistics.rankings import Rankings, rankings_of

ALWAYS_NORMAL = Resampling(normal_above=1)
NEVER_NORMAL = Resampling(normal_above=1_000_000)


def made(tasks: int, seed: int = 1, noise: float = 0.7) -> Rankings:
    """Three rankings of each task, of one quality seen through noise."""
    random = np.random.default_rng(seed)
    quality = np.repeat(random.normal(size=(tasks, 4)), 3, axis=0)
    seen = np.round(2 * (quality + noise * random.normal(size=quality.shape)))
    ranks = 1 + (seen[:, None, :] > seen[:, :, None]).sum(axis=2)
    raters = np.tile(np.arange(3), tasks)
    return rankings_of(np.repeat(np.arange(tasks), 3), raters, ranks, np.full(3 * tasks, 4))


def drawn_by_hand(rankings: Rankings, resamples: int) -> np.ndarray:
    """Draw tasks, put all their units together, have the library measure them anew."""
    random = np.random.default_rng(5)
    counts = rankings.pair_counts
    by_task = counts.counts.reshape(-1, 6, 3)
    found = []
    for _ in range(resamples):
        units = by_task[random.integers(0, len(by_task), len(by_task))].reshape(-1, 3)
        found.append(
            krippendorff.alpha(
                value_counts=units, value_domain=counts.values, level_of_measurement="ordinal"
            )
        )
    return np.quantile(found, [0.025, 0.975])


def test_the_interval_is_that_of_judgments_drawn_again() -> None:
    rankings = made(60)
    found = krippendorff_alpha(rankings.pair_counts, "ordinal", resampling=Resampling(4000))
    low, high = drawn_by_hand(rankings, 600)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)


def test_many_tasks_drawn_as_a_normal_vector_give_the_same_interval() -> None:
    rankings = made(800)
    one = ranking_figures(rankings, resampling=NEVER_NORMAL)
    other = ranking_figures(rankings, resampling=ALWAYS_NORMAL)
    for name, figure in one.items():
        width = figure.high - figure.low
        assert figure.value == pytest.approx(other[name].value)
        assert other[name].low == pytest.approx(figure.low, abs=0.15 * width), name
        assert other[name].high == pytest.approx(figure.high, abs=0.15 * width), name


def test_the_interval_of_cohens_kappa_is_as_wide_as_a_drawn_one() -> None:
    rankings = made(400)
    found = mean_cohen_kappa(rater_tables(rankings.pair_answers))
    (part,) = rankings.parts
    random = np.random.default_rng(3)
    values = []
    for _ in range(150):
        rows = (random.integers(0, 400, 400)[:, None] * 3 + np.arange(3)).ravel()
        again = rankings_of(
            np.repeat(np.arange(400), 3), part.rater[rows], part.ranks[rows], np.full(1200, 4)
        )
        values.append(mean_cohen_kappa(rater_tables(again.pair_answers)).value)
    assert (found.high - found.low) / 3.92 == pytest.approx(np.std(values), rel=0.2)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    truth = pairwise_agreement(made(40_000, seed=99).pair_counts).value
    held = 0
    for seed in range(100):
        found = pairwise_agreement(made(60, seed).pair_counts, resampling=Resampling(400))
        held += found.low <= truth <= found.high
    assert 88 <= held <= 100


@pytest.mark.parametrize("tasks", [3, 6])
def test_few_tasks_make_them_wide_enough_too(tasks: int) -> None:
    # Percentiles alone hold the truth 50 to 88 times of 100.
    names = ("pairwise_agreement", "krippendorff_alpha", "cohen_kappa", "kendall_w", "exact_order")
    truth = ranking_figures(made(20_000, seed=99), names=names)
    held = dict.fromkeys(names, 0)
    for seed in range(100):
        found = ranking_figures(made(tasks, seed), names=names, resampling=Resampling(200))
        for name, figure in found.items():
            assert -1 <= figure.low <= figure.value <= figure.high <= 1
            held[name] += figure.low <= truth[name].value <= figure.high
    assert min(held.values()) >= 88, held


def test_few_widen_it_to_wilsons_with_the_jackknifes_error() -> None:
    sums = task_sums(np.array([[0.2, 1.0], [0.4, 1.0], [0.9, 1.0]]), NEVER_NORMAL)
    found = figure_of(sums, ratio, n=3, of="things", resampling=NEVER_NORMAL)
    # The jackknife's error of a mean is the usual one.
    error = float(np.std([0.2, 0.4, 0.9], ddof=1)) / 3**0.5
    assert (found.low, found.high) == pytest.approx(bounded_interval(0.5, error, 3, least=-1.0))


def test_more_tasks_narrow_it_and_the_same_data_give_the_same() -> None:
    few, many = (pairwise_agreement(made(tasks).pair_counts) for tasks in (50, 5000))
    assert many.high - many.low < (few.high - few.low) / 5
    assert few == pairwise_agreement(made(50).pair_counts)


def test_one_task_has_a_value_and_no_interval() -> None:
    found = pairwise_agreement(made(1).pair_counts)
    assert found.value is not None
    assert (found.low, found.high) == (None, None)


def test_draws_that_measure_nothing_are_left_out() -> None:
    # Only two of the three tasks have anything below the line: a draw in 27 has nothing.
    sums = task_sums(np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 1.0]]), NEVER_NORMAL)
    found = figure_of(sums, ratio, n=3, of="things", resampling=NEVER_NORMAL, least=0.0)
    assert found.value == pytest.approx(2 / 3)
    assert found.low < 0.5 and found.high == 1.0


def test_where_all_rests_on_one_task_it_may_be_anything() -> None:
    sums = task_sums(np.array([[1.0, 2.0], [0.0, 0.0]]), NEVER_NORMAL)
    found = figure_of(sums, ratio, n=2, of="things", resampling=NEVER_NORMAL, least=0.0)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)
