import numpy as np
import pytest
from scipy.stats import beta

from labeling.statistics.bootstrap import Resampling
from labeling.statistics.bounded_interval import bounded_interval
from labeling.statistics.measures import ranking_figures
from labeling.statistics.rankings import Rankings, rankings_of

QUICK = Resampling(resamples=200)
OF_TWO = (
    *("pairwise_agreement", "krippendorff_alpha", "krippendorff_alpha_of_ranks", "fleiss_kappa"),
    *("cohen_kappa", "gwet_ac1", "gwet_ac2", "kendall_tau_b", "kendall_w", "exact_order"),
)


def of_two(tasks: int, seed: int, *, wrong: float, first: float = 0.5) -> Rankings:
    """Two annotators say which of two is better; each is wrong with that probability.

    `first` is how often the first completion is the better one.
    """
    random = np.random.default_rng(seed)
    better = np.repeat(random.random(tasks) < first, 2) ^ (random.random(2 * tasks) < wrong)
    ranks = np.where(better[:, None], [1, 2], [2, 1])
    task, rater = np.repeat(np.arange(tasks), 2), np.tile([0, 1], tasks)
    return rankings_of(task, rater, ranks, np.full(2 * tasks, 2))


def held(tasks: int, times: int, names: tuple[str, ...], **simulated: float) -> dict[str, float]:
    """Return how often, of the samples that tell a figure, its interval holds the truth."""
    truth = ranking_figures(of_two(200_000, 99, **simulated), names=names)
    inside: dict[str, list[bool]] = {name: [] for name in names}
    for seed in range(times):
        found = ranking_figures(of_two(tasks, seed, **simulated), names=names, resampling=QUICK)
        for name, figure in found.items():
            if figure.value is not None:
                inside[name].append(figure.low <= truth[name].value <= figure.high)
    return {name: float(np.mean(each)) for name, each in inside.items()}


def test_in_the_middle_it_is_students() -> None:
    # Wilson's middle is pulled to the middle of the bounds, which is where this figure is.
    low, high = bounded_interval(0.0, 0.01, 21, least=-1.0)
    assert (low, high) == pytest.approx((-0.02086, 0.02086), abs=2e-5)


def test_wilsons_by_hand() -> None:
    # p = 0.9 with error 0.06 in 16 tasks: n = 0.09 / 0.0036 = 25 and t = 2.13145, t² / n = 0.18172.
    low, high = bounded_interval(0.8, 0.12, 16, least=-1.0)
    half = (0.18172 * (0.09 + 0.18172 / 4)) ** 0.5
    ends = [(0.9 + 0.09086 + sign * half) / 1.18172 for sign in (-1, 1)]
    assert (low, high) == pytest.approx([2 * end - 1 for end in ends], abs=1e-4)


def test_no_more_trials_than_there_are() -> None:
    all_alike = bounded_interval(0.75, 1e-6, 3, least=0.0, trials=8)
    assert all_alike == pytest.approx(bounded_interval(0.75, (3 / 128) ** 0.5, 3, least=0.0))


@pytest.mark.parametrize("tasks", [2, 5, 30, 3000])
def test_all_alike_is_clopper_and_pearsons(tasks: int) -> None:
    low, high = bounded_interval(1.0, 0.0, tasks, least=0.0)
    assert (low, high) == (pytest.approx(beta.ppf(0.025, tasks, 1)), 1.0)
    assert bounded_interval(0.0, 0.0, tasks, least=0.0) == pytest.approx((0.0, 1 - low))
    assert bounded_interval(1.0, 0.0, tasks, least=-1.0)[0] == pytest.approx(2 * low - 1)


@pytest.mark.parametrize("tasks", [10, 2000])
def test_unanimity_of_a_sample_is_no_proof(tasks: int) -> None:
    found = ranking_figures(of_two(tasks, 1, wrong=0.0), names=OF_TWO)
    share = 0.025 ** (1 / tasks)
    for name, figure in found.items():
        least = 0.0 if name in ("pairwise_agreement", "kendall_w", "exact_order") else -1.0
        assert (figure.value, figure.high) == pytest.approx((1.0, 1.0)), name
        assert figure.low <= least + (1 - least) * share + 1e-9, name
        assert figure.low > 1 - 4 * (1 - share), name


@pytest.mark.parametrize(("tasks", "wrong"), [(10, 0.03), (30, 0.01), (30, 0.03), (60, 0.03)])
def test_where_nearly_all_agree_the_truth_is_held(tasks: int, wrong: float) -> None:
    # Percentiles hold it 41 to 87 times of 100: a sample without a disagreement has no width.
    found = held(tasks, 60, OF_TWO, wrong=wrong)
    assert min(found.values()) >= 0.93, found


def test_one_outcome_that_is_rare_tells_little() -> None:
    # A sample with a single rating of the rare kind has an alpha of about 0, whatever is true.
    names = ("krippendorff_alpha", "fleiss_kappa", "cohen_kappa")
    found = held(10, 120, names, wrong=0.03, first=0.85)
    assert min(found.values()) >= 0.93, found


@pytest.mark.parametrize("tasks", [30, 60])
def test_the_share_of_one_order_is_held_with_dozens_of_tasks(tasks: int) -> None:
    def ranked(tasks: int, seed: int) -> Rankings:
        random = np.random.default_rng(seed)
        quality = np.repeat(random.normal(size=(tasks, 4)), 3, axis=0)
        seen = np.round(2 * (quality + 2 * random.normal(size=quality.shape)))
        ranks = 1 + (seen[:, None, :] > seen[:, :, None]).sum(axis=2)
        task, rater = np.repeat(np.arange(tasks), 3), np.tile(np.arange(3), tasks)
        return rankings_of(task, rater, ranks, np.full(3 * tasks, 4))

    names = ("exact_order", "top_one")
    truth = ranking_figures(ranked(40_000, 999), names=names)
    inside = dict.fromkeys(names, 0)
    for seed in range(200):
        found = ranking_figures(ranked(tasks, seed), names=names, resampling=QUICK)
        for name, figure in found.items():
            inside[name] += figure.low <= truth[name].value <= figure.high
    # Percentiles: 84 to 90 of 100.
    assert min(inside.values()) >= 186, inside
