import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.reliability_models.dawid_skene import DawidSkene, dawid_skene
from labeling.reliability_models.votes import Votes, votes_of

DATA = Path(__file__).parents[1] / "statistics" / "data"

# unit, rater, label; raters may judge a unit several times.
SAID = some.lists(
    some.tuples(some.integers(0, 5), some.integers(0, 3), some.sampled_from([1, 0, -1])),
    min_size=1,
    max_size=40,
)


def anaesthetists() -> Votes:
    rows = json.loads((DATA / "dawid_skene_anaesthetists.json").read_text())
    columns = [[row[name] for row in rows] for name in ("task", "worker", "label")]
    return votes_of(*columns, classes=[1, 2, 3, 4])


def fit(said: list[tuple[int, int, int]], **options: object) -> DawidSkene:
    units, raters, labels = zip(*said, strict=True)
    return dawid_skene(votes_of(units, raters, labels, classes=[1, 0, -1]), **options)  # type: ignore[arg-type]


def test_the_anaesthetists_of_1979() -> None:
    entries = json.loads((DATA / "agreement_truth.json").read_text())
    entry = next(one for one in entries if one["id"] == "dawid_skene_prevalence")
    votes = anaesthetists()
    found = dawid_skene(votes, tolerance=1e-13)
    assert found.converged
    # The first observer's three readings of each patient all count.
    assert votes.count.sum() == 315
    assert found.prevalence == pytest.approx(entry["published"], abs=entry["tolerance"])
    assert found.prevalence == pytest.approx(entry["recomputed"], abs=1e-5)
    # Table 2 of the paper: what the first observer says of patients who are truly of class 1.
    assert found.confusion[0, 0] == pytest.approx([0.89, 0.11, 0.0, 0.0], abs=0.01)


def test_repeats_count_each() -> None:
    once = fit([(0, 0, 1), (0, 1, -1), (1, 0, 1), (1, 1, 1)])
    thrice = fit([(0, 0, 1)] * 3 + [(0, 1, -1), (1, 0, 1), (1, 1, 1)])
    assert thrice.posterior[0, 0] > once.posterior[0, 0]


@given(SAID)
@settings(max_examples=40)
def test_the_likelihood_never_falls(said: list[tuple[int, int, int]]) -> None:
    prior = np.full((3, 3), 0.5) + 3 * np.eye(3)
    given_all = {"mirror": (2, 1, 0), "prior": prior}
    for options in ({}, {"mirror": (2, 1, 0)}, given_all, {**given_all, "accelerated": True}):
        found = fit(said, **options)
        rises = np.diff(found.log_likelihoods)
        assert rises.min(initial=0.0) >= -1e-9 * abs(found.log_likelihoods[-1]) - 1e-9
        assert found.posterior.sum(axis=1) == pytest.approx(np.ones(len(found.posterior)))


def em(votes: Votes, *, mirror: tuple[int, ...], prior: np.ndarray, iterations: int) -> np.ndarray:
    """Return the posterior (U, C) by the formulas of the paper, a vote at a time."""
    shape = (len(votes.raters), len(votes.labels), len(votes.labels))
    said = list(zip(votes.unit, votes.rater, votes.label, votes.count, strict=True))
    posterior = votes.shares()
    for _ in range(iterations):
        counts = np.tile(prior, (shape[0], 1, 1))
        for unit, rater, label, count in said:
            for true in range(shape[1]):
                held = posterior[unit, true] * count
                counts[rater, true, label] += held
                counts[rater, mirror[true], mirror[label]] += held
        # What is credited is credited to both ways round.
        counts += prior[list(mirror)][:, list(mirror)]
        confusion = counts / counts.sum(axis=2, keepdims=True)
        prevalence = posterior.mean(axis=0)
        prevalence = (prevalence + prevalence[list(mirror)]) / 2
        posterior = np.tile(prevalence, (len(votes.units), 1))
        for unit, rater, label, count in said:
            posterior[unit] *= confusion[rater, :, label] ** count
        posterior /= posterior.sum(axis=1, keepdims=True)
    return posterior


@given(
    some.lists(
        some.tuples(some.integers(0, 40), some.integers(0, 2), some.sampled_from([1, 0, -1])),
        min_size=1,
        max_size=150,
    ),
    some.lists(some.sampled_from([0.5, 1.0, 2.0]), min_size=3, max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_units_that_were_told_the_same_are_each_what_the_formulas_say(
    said: list[tuple[int, int, int]], weights: list[float]
) -> None:
    units, raters, labels = zip(*said, strict=True)
    weight = [weights[rater] for rater in raters]
    votes = votes_of(units, raters, labels, classes=[1, 0, -1], weights=weight)
    prior = np.full((3, 3), 0.5) + 2 * np.eye(3)
    for mirror in ((2, 1, 0), (0, 1, 2)):
        found = dawid_skene(votes, mirror=mirror, prior=prior, tolerance=-1.0, most_iterations=4)
        expected = em(votes, mirror=mirror, prior=prior, iterations=4)
        assert found.posterior == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_leaps_end_where_steps_end_and_sooner(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rater = rng.random((400, 12)).argsort(axis=1)[:, :3]
    noise = rng.normal(0, 1, (400, 3)) / np.linspace(0.3, 2.5, 12)[rater]
    apart = rng.normal(0, 1, (400, 1)) + noise
    # Better, tied where it comes close, worse: what is slow to tell apart.
    said = np.where(np.abs(apart) < 0.3, 1, np.where(apart > 0, 0, 2))
    votes = votes_of(np.repeat(np.arange(400), 3), rater.ravel(), said.ravel(), classes=range(3))
    prior = np.full((3, 3), 2.0) + 14 * np.eye(3)
    given = {"mirror": (2, 1, 0), "prior": prior, "tolerance": 1e-13}
    steps = dawid_skene(votes, **given)  # type: ignore[arg-type]
    leaps = dawid_skene(votes, accelerated=True, **given)  # type: ignore[arg-type]
    assert steps.converged
    assert leaps.converged
    assert leaps.confusion == pytest.approx(steps.confusion, abs=1e-4)
    assert leaps.posterior == pytest.approx(steps.posterior, abs=1e-4)
    assert np.diff(leaps.log_likelihoods).min() >= -1e-9
    assert len(leaps.log_likelihoods) < len(steps.log_likelihoods)


@given(SAID, some.permutations(range(4)), some.permutations(range(6)))
@settings(max_examples=50)
def test_names_and_order_make_no_difference(
    said: list[tuple[int, int, int]], raters: list[int], units: list[int]
) -> None:
    # Ten iterations: where two answers fit as well as each other, rounding chooses at last.
    found = fit(said, most_iterations=10)
    renamed = [(units[unit], raters[rater], label) for unit, rater, label in reversed(said)]
    again = fit(renamed, most_iterations=10)
    old = sorted({unit for unit, _, _ in said})
    new = sorted({unit for unit, _, _ in renamed})
    place = [new.index(units[unit]) for unit in old]
    assert again.posterior[place] == pytest.approx(found.posterior, abs=1e-6)


@given(SAID, some.sets(some.integers(0, 5)))
@settings(max_examples=50)
def test_which_completion_comes_first_makes_no_difference(
    said: list[tuple[int, int, int]], turned: set[int]
) -> None:
    options = {"mirror": (2, 1, 0), "most_iterations": 10}
    found = fit(said, **options)
    again = fit([(u, r, -label if u in turned else label) for u, r, label in said], **options)
    for row, unit in enumerate(sorted({unit for unit, _, _ in said})):
        expected = found.posterior[row][::-1] if unit in turned else found.posterior[row]
        assert again.posterior[row] == pytest.approx(expected, abs=1e-6)


@given(some.lists(some.sampled_from([1, 0, -1]), min_size=1, max_size=20))
def test_unanimous_units_are_what_all_say(labels: list[int]) -> None:
    said = [(unit, rater, label) for unit, label in enumerate(labels) for rater in range(3)]
    found = fit(said)
    assert [[1, 0, -1][place] for place in found.posterior.argmax(axis=1)] == labels
    assert found.posterior.max(axis=1) == pytest.approx(np.ones(len(labels)))


def test_planted_accuracies_come_back() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 3000)
    accuracy = np.array([0.95, 0.8, 0.65, 0.5])
    right = rng.random((3000, 4)) < accuracy
    said = np.where(right, truth[:, None], (truth[:, None] + rng.integers(1, 3, (3000, 4))) % 3)
    unit, rater = np.divmod(np.arange(said.size), 4)
    found = dawid_skene(votes_of(unit, rater, said.ravel(), classes=[0, 1, 2]))
    own = np.einsum("rcc->rc", found.confusion).mean(axis=1)
    assert own == pytest.approx(accuracy, abs=0.03)
    majority = np.array([np.bincount(row, minlength=3).argmax() for row in said])
    assert (found.posterior.argmax(axis=1) == truth).mean() > (majority == truth).mean()


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match="7 is none of the labels"):
        votes_of([0], [0], [7], classes=[1, 2])
