"""What holds of every measure, whatever the rankings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.statistics.bootstrap import Resampling
from labeling.statistics.figure import Figure
from labeling.statistics.measures import RANKING_MEASURES, ranking_figures
from labeling.statistics.rankings import Rankings, rankings_of

FEW = Resampling(resamples=20)
Task = list[list[int]]

CHANCE_CORRECTED = (
    *("krippendorff_alpha", "krippendorff_alpha_of_ranks", "fleiss_kappa", "gwet_ac1"),
    *("gwet_ac2", "cohen_kappa", "cohen_kappa_linear", "cohen_kappa_quadratic", "kendall_tau_b"),
)


@st.composite
def tasks(draw: st.DrawFn) -> list[Task]:
    """Tasks of unlike K, each ranked by some of six annotators (None: not by this one)."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        k = draw(st.integers(2, 5))
        ranking = st.lists(st.integers(1, k), min_size=k, max_size=k)
        found.append(draw(st.lists(st.none() | ranking, min_size=6, max_size=6)))
    return found


def rankings(tasks: list[Task], names: list[int], order: list[int] | None = None) -> Rankings:
    rows = [
        (task, names[place], ranks)
        for task, all_ranks in enumerate(tasks)
        for place, ranks in enumerate(all_ranks)
        if ranks is not None
    ]
    if order is not None:
        rows = [rows[place % len(rows)] for place in _permutation(order, len(rows))]
    return rankings_of(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([[*row[2], *[0] * (9 - len(row[2]))] for row in rows]).reshape(-1, 9),
        np.array([len(row[2]) for row in rows], dtype=np.int64),
    )


def _permutation(order: list[int], n: int) -> list[int]:
    return sorted(range(n), key=lambda place: (order[place % len(order)], -place))


def same(one: dict[str, Figure], other: dict[str, Figure]) -> None:
    for name, figure in one.items():
        assert other[name].n == figure.n, name
        if figure.value is None:
            assert other[name].value is None, name
        else:
            assert other[name].value == pytest.approx(figure.value, abs=1e-9), name


@settings(max_examples=30, deadline=None)
@given(tasks(), st.permutations(range(6)), st.lists(st.integers(0, 99), min_size=1, max_size=9))
def test_names_of_annotators_and_order_of_judgments_change_nothing(
    some: list[Task], names: list[int], order: list[int]
) -> None:
    one = ranking_figures(rankings(some, list(range(6))), resampling=FEW)
    other = ranking_figures(rankings(some, [7 * name for name in names], order), resampling=FEW)
    same(one, other)


@settings(max_examples=30, deadline=None)
@given(tasks(), st.permutations(range(5)))
def test_the_order_of_completions_changes_nothing(some: list[Task], places: list[int]) -> None:
    def moved(ranks: list[int] | None) -> list[int] | None:
        if ranks is None:
            return None
        return [ranks[place] for place in places if place < len(ranks)]

    one = ranking_figures(rankings(some, list(range(6))), resampling=FEW)
    other = ranking_figures(
        rankings([[moved(ranks) for ranks in task] for task in some], list(range(6))),
        resampling=FEW,
    )
    # Which side of a pair is better turns with the order: what knows the sides is not the same.
    symmetric = {
        *("pairwise_agreement", "pairwise_without_ties", "krippendorff_alpha_of_ranks"),
        *("kendall_tau_b", "kendall_w", "exact_order", "top_one", "tie_share"),
    }
    same({name: one[name] for name in symmetric}, other)


@settings(max_examples=30, deadline=None)
@given(tasks())
def test_unanimity_is_one(some: list[Task]) -> None:
    ranked = [[ranks for ranks in task if ranks is not None] for task in some]
    agreed = [[task[0]] * 3 + [None] * 3 for task in ranked if task]
    if not agreed:
        return
    found = ranking_figures(rankings(agreed, list(range(6))), resampling=FEW)
    for name in set(RANKING_MEASURES) - {"tie_share"}:
        if found[name].value is not None:
            assert found[name].value == pytest.approx(1.0), name
    assert found["exact_order"].value == 1.0


@settings(max_examples=30, deadline=None)
@given(tasks())
def test_figures_stay_in_their_range_and_in_their_interval(some: list[Task]) -> None:
    found = ranking_figures(rankings(some, list(range(6))), resampling=FEW)
    for name, figure in found.items():
        if figure.value is None:
            continue
        lowest = -np.inf if name in CHANCE_CORRECTED else 0.0
        assert lowest <= figure.value <= 1 + 1e-9, name
        assert figure.n > 0, name
        if figure.low is not None:
            assert figure.low <= figure.high, name


def of_three(ranks: np.ndarray) -> Rankings:
    """Return rankings (N, K) as those that three annotators gave to each of N / 3 tasks."""
    n, k = ranks.shape
    return rankings_of(np.arange(n) // 3, np.arange(n) % 3, ranks, np.full(n, k))


def test_random_rankings_are_near_zero() -> None:
    random = np.random.default_rng(8)
    ranks = random.random((4500, 4)).argsort(axis=1) + 1
    found = ranking_figures(of_three(ranks), resampling=Resampling(resamples=200))
    for name in CHANCE_CORRECTED:
        if name.startswith("gwet"):
            # No ranking here has a tie, and AC takes the third value for one that might be given.
            continue
        assert found[name].value == pytest.approx(0, abs=0.04), name
        assert found[name].low < 0.02 and found[name].high > -0.02, name
    assert found["pairwise_agreement"].value == pytest.approx(1 / 2, abs=0.02)
    assert found["kendall_w"].value == pytest.approx(1 / 3, abs=0.02)
    assert found["exact_order"].value == pytest.approx(1 / 24, abs=0.01)
    assert found["top_one"].value == pytest.approx(1 / 4, abs=0.02)


def test_random_labels_are_near_zero_for_every_chance_corrected_measure() -> None:
    random = np.random.default_rng(2)
    ranks = random.integers(1, 3, (6000, 2))
    found = ranking_figures(of_three(ranks), resampling=FEW)
    for name in ("krippendorff_alpha", "fleiss_kappa", "cohen_kappa", "kendall_tau_b"):
        assert found[name].value == pytest.approx(0, abs=0.04), name
