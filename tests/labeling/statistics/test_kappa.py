import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats import inter_rater

from labeling.statistics.kappa import (
    Weights,
    agreement_weights,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac,
)
from labeling.statistics.unit_counts import UnitCounts

WEIGHTS: list[tuple[Weights, str | None]] = [
    ("unweighted", None),
    ("linear", "linear"),
    ("quadratic", "quadratic"),
]


def counts_of(table: list[list[int]] | np.ndarray) -> UnitCounts:
    counts = np.asarray(table, dtype=np.int32)
    return UnitCounts(counts, np.arange(len(counts)), np.arange(counts.shape[1]))


def random_counts(seed: int, *, most: int = 6, units: int = 40, values: int = 4) -> np.ndarray:
    random = np.random.default_rng(seed)
    raters = random.integers(2, most + 1, units)
    shares = random.dirichlet(np.ones(values), units)
    return np.array([random.multinomial(n, p) for n, p in zip(raters, shares, strict=True)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("weights", "theirs"), WEIGHTS)
def test_cohen_equals_two_libraries(seed: int, weights: Weights, theirs: str | None) -> None:
    random = np.random.default_rng(seed)
    one = random.integers(0, 4, 60)
    other = np.where(random.random(60) < 0.5, one, random.integers(0, 4, 60))
    table = np.zeros((4, 4), dtype=int)
    np.add.at(table, (one, other), 1)
    found = cohen_kappa(table, weights)
    assert found.value == pytest.approx(cohen_kappa_score(one, other, weights=theirs))
    peer = inter_rater.cohens_kappa(table, wt=theirs)
    assert found.value == pytest.approx(peer.kappa)
    assert found.standard_error == pytest.approx(peer.std_kappa)
    assert (found.low, found.high) == pytest.approx((peer.kappa_low, peer.kappa_upp))
    assert found.n == 60


@pytest.mark.parametrize("seed", range(4))
def test_fleiss_equals_statsmodels(seed: int) -> None:
    random = np.random.default_rng(seed)
    table = np.array([random.multinomial(5, [0.5, 0.3, 0.2]) for _ in range(30)])
    assert fleiss_kappa(counts_of(table)).value == pytest.approx(inter_rater.fleiss_kappa(table))


def by_the_book(table: np.ndarray, weights: Weights, chance: str) -> float:
    """Gwet 2014: everything in loops, one unit after the other."""
    w = agreement_weights(table.shape[1], weights)
    q = table.shape[1]
    observed, shares = [], []
    for unit in table:
        n = unit.sum()
        like = [sum(w[k, other] * unit[other] for other in range(q)) for k in range(q)]
        observed.append(sum(unit[k] * (like[k] - 1) for k in range(q)) / (n * (n - 1)))
        shares.append(unit / n)
    pi = np.mean(shares, axis=0)
    if chance == "gwet":
        by_chance = w.sum() * sum(p * (1 - p) for p in pi) / (q * (q - 1))
    else:
        by_chance = sum(w[k, m] * pi[k] * pi[m] for k in range(q) for m in range(q))
    return float((np.mean(observed) - by_chance) / (1 - by_chance))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weights", ["unweighted", "linear", "quadratic"])
def test_with_missing_raters_and_weights_they_are_the_books(seed: int, weights: Weights) -> None:
    table = random_counts(seed)
    counts = counts_of(table)
    assert gwet_ac(counts, weights).value == pytest.approx(by_the_book(table, weights, "gwet"))
    assert fleiss_kappa(counts, weights).value == pytest.approx(
        by_the_book(table, weights, "fleiss")
    )


def test_a_hand_worked_ac1() -> None:
    # Two raters, 10 units: 8 times both say yes, twice they differ. Kappa's paradox.
    counts = counts_of([[2, 0]] * 8 + [[1, 1]] * 2)
    # p_a = 0.8, pi_yes = 0.9, p_e = 2 · 0.9 · 0.1 = 0.18.
    assert gwet_ac(counts).value == pytest.approx((0.8 - 0.18) / 0.82)
    # Fleiss: p_e = 0.81 + 0.01, below chance although they agree on 8 of 10.
    assert fleiss_kappa(counts).value == pytest.approx((0.8 - 0.82) / 0.18)


def test_units_with_one_rating_change_nothing() -> None:
    table = random_counts(3)
    more = np.vstack([table, np.eye(4, dtype=int)])
    assert gwet_ac(counts_of(more)) == gwet_ac(counts_of(table))
    assert fleiss_kappa(counts_of(more)).n == len(table)


def test_where_all_ratings_are_equal_kappa_is_not_defined() -> None:
    counts = counts_of([[3, 0], [3, 0]])
    assert (fleiss_kappa(counts).value, fleiss_kappa(counts).n) == (None, 2)
    # AC1 is: its chance agreement is 0 where one value has all shares.
    assert gwet_ac(counts).value == 1.0
    assert cohen_kappa([[5, 0], [0, 0]]).value is None
    assert cohen_kappa([[0, 0], [0, 0]]).n == 0


def test_weights() -> None:
    assert agreement_weights(3, "linear")[0].tolist() == [1.0, 0.5, 0.0]
    assert agreement_weights(3, "quadratic")[0].tolist() == [1.0, 0.75, 0.0]
    assert agreement_weights(3, "unweighted")[0].tolist() == [1.0, 0.0, 0.0]
