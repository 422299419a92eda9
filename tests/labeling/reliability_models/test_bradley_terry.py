import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from labeling.reliability_models.bradley_terry import bradley_terry
from labeling.reliability_models.rankings import wins_of

DATA = Path(__file__).parents[1] / "statistics" / "data"
TRUTH = {entry["id"]: entry for entry in json.loads((DATA / "agreement_truth.json").read_text())}

COUNTS = some.lists(some.integers(0, 4), min_size=12, max_size=12)


def test_the_baseball_of_agresti() -> None:
    entry = TRUTH["bt_baseball_agresti"]
    wins = np.array(entry["input"]["wins_row_over_col"], dtype=float)
    found = bradley_terry(wins[None], precision=0.0)
    above_baltimore = np.sort(found.scores[0] - found.scores[0, 0])[1:]
    assert above_baltimore == pytest.approx(entry["published"], abs=entry["tolerance"])
    assert above_baltimore == pytest.approx(entry["recomputed"], abs=1e-6)


@pytest.mark.parametrize("name", ["choix_pairwise_1", "choix_pairwise_2"])
def test_what_choix_finds(name: str) -> None:
    wins = np.zeros((1, 3, 3))
    for better, worse in TRUTH[name]["input"]:
        wins[0, better, worse] += 1
    found = bradley_terry(wins, precision=0.0)
    assert found.scores[0] == pytest.approx(TRUTH[name]["published"], abs=1e-4)


def counts(flat: list[int]) -> np.ndarray:
    wins = np.zeros((1, 4, 4))
    wins[0][~np.eye(4, dtype=bool)] = flat
    return wins


@given(COUNTS, some.permutations(range(4)))
@settings(max_examples=40)
def test_names_make_no_difference(flat: list[int], order: list[int]) -> None:
    wins = counts(flat)
    found = bradley_terry(wins).scores[0]
    again = bradley_terry(wins[:, order][:, :, order]).scores[0]
    assert again == pytest.approx(found[order], abs=1e-6)


@given(COUNTS)
@settings(max_examples=40)
def test_it_is_the_highest_place(flat: list[int]) -> None:
    wins = counts(flat)
    found = bradley_terry(wins)
    assert found.converged.all()
    gaps = found.scores[0][:, None] - found.scores[0]
    expected = (wins[0] + wins[0].T) / (1 + np.exp(-gaps))
    # At the maximum an item wins as often as is expected, less the pull of the prior.
    assert (wins[0] - expected).sum(axis=1) == pytest.approx(found.scores[0], abs=1e-6)


def test_problems_do_not_touch_each_other() -> None:
    one, other = counts([3, 1, 0, 2] * 3), counts([0, 4, 1, 1] * 3)
    both = bradley_terry(np.concatenate([one, other]))
    assert both.scores[0] == pytest.approx(bradley_terry(one).scores[0], abs=1e-8)
    assert both.scores[1] == pytest.approx(bradley_terry(other).scores[0], abs=1e-8)


def test_planted_abilities_come_back() -> None:
    rng = np.random.default_rng(5)
    ability = np.array([-1.0, -0.3, 0.2, 1.1])
    first, second = np.triu_indices(4, 1)
    chance = 1 / (1 + np.exp(-(ability[first] - ability[second])))
    won = rng.binomial(2000, chance)
    shares = np.stack([won, np.zeros(6), 2000 - won], axis=-1)[None]
    found = bradley_terry(wins_of(shares, 4), precision=0.0)
    assert found.scores[0] == pytest.approx(ability, abs=0.08)
    assert np.sqrt(np.diagonal(found.covariance[0])).max() < 0.05
    assert found.before()[0, 3, 0] > 0.999


def test_one_judgment_is_not_certain() -> None:
    wins = np.array([[[0.0, 1.0], [0.0, 0.0]]])
    found = bradley_terry(wins)
    assert 0.6 < found.before()[0, 0, 1] < 0.9
    more = bradley_terry(5 * wins)
    assert more.before()[0, 0, 1] > found.before()[0, 0, 1]
