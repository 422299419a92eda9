"""Cross-fitting: who is fitted to what, and who is tested on what."""

from dataclasses import replace

import pytest

from reward.reward_modeling.cross_fitting import cross_fit, folds
from reward.reward_modeling.ranked_examples import RankedExample
from reward.reward_modeling.reward_settings import RewardSettings
from storage.errors import BadInput
from tests.reward.ranked_tokens import ranked_tokens

SETTINGS = RewardSettings()
Rankings = list[RankedExample]


class _Remembering:
    """A fitter whose model is the prompts that it saw."""

    def __init__(self) -> None:
        self.fits: list[tuple[str, int, set[int]]] = []
        self.tested: list[tuple[str, set[int]]] = []

    def fit(self, examples: Rankings, *, name: str, seed: int) -> str:
        self.fits.append((name, seed, {one.group for one in examples}))
        return name

    def margins(self, model: str, examples: Rankings) -> list[list[float]]:
        self.tested.append((model, {one.group for one in examples}))
        return [[1.0] * len(one.pairs) for one in examples]


def test_every_prompt_is_tested_once_by_a_model_that_never_saw_it() -> None:
    fitter = _Remembering()
    train = ranked_tokens(8, 0) + ranked_tokens(8, 1)
    found = cross_fit(fitter, train, ranked_tokens(3, 2, first_group=90), SETTINGS, seed=5)
    assert [(name, seed) for name, seed, _ in fitter.fits] == [
        ("second_reward", 6),
        ("reward_fold_2", 7),
        ("reward", 5),
    ]
    seen = {name: groups for name, _, groups in fitter.fits}
    for model, groups in fitter.tested:
        assert not groups & seen[model]
    tested = [group for _, groups in fitter.tested for group in groups]
    assert sorted(tested) == [*range(8), 90, 91, 92]
    assert seen["reward"] == set(range(8))
    assert (found.model, found.second) == ("reward", "second_reward")
    assert found.report.accuracy.clusters == 11


def test_with_many_rankings_one_held_out_fifth_replaces_the_folds() -> None:
    parts = folds(ranked_tokens(25, 0), replace(SETTINGS, holdout_rankings=5))
    assert [(len(fitted), len(test)) for fitted, test in parts] == [(20, 5)]


def test_one_prompt_cannot_be_tested_unless_something_is_held_out() -> None:
    train = [replace(one, group=0) for one in ranked_tokens(4, 0)]
    with pytest.raises(BadInput, match="Too few rankings to test"):
        cross_fit(_Remembering(), train, [], SETTINGS, seed=0)
    fitter = _Remembering()
    cross_fit(fitter, train, ranked_tokens(2, 1, first_group=9), SETTINGS, seed=0)
    assert [(name, seed) for name, seed, _ in fitter.fits] == [("second_reward", 1), ("reward", 0)]
