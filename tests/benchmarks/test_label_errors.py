"""The benchmark of planted label errors, with a method that is known to be right or blind."""

from collections.abc import Sequence

import pytest

from benchmarks.efficiency_data import Ranked
from benchmarks.efficiency_methods import Margins, Method
from benchmarks.label_errors import PLACES, find
from labeling.judging.rankings import pairs_of


class Workshop:
    """Stands for the models: `right` knows that shorter is better, `blind` knows nothing."""

    def method(self, name: str) -> Method:
        def fit(
            train: Sequence[Ranked], test: Sequence[Ranked], seed: int
        ) -> tuple[Margins, float]:
            assert not {one.group for one in train} & {one.group for one in test}
            return [[self._margin(name, one, *pair) for pair in pairs_of(one.ranks)]
                    for one in test], 0.0  # fmt: skip

        return fit

    @staticmethod
    def _margin(name: str, one: Ranked, better: int, worse: int) -> float:
        gap = len(one.completions[worse]) - len(one.completions[better])
        return float(gap) if name == "right" else 0.0


def rankings() -> list[Ranked]:
    completions = ["a", "bb", "ccc"]
    return [
        Ranked([{"role": "user", "content": str(number)}], completions, [True] * 3, [1, 2, 3],
               number // 2)
        for number in range(600)
    ]  # fmt: skip


@pytest.mark.parametrize(("method", "least", "most"), [("right", 1.0, 1.0), ("blind", 0.0, 0.3)])
def test_precision_and_recall_are_of_what_was_planted(
    method: str, least: float, most: float
) -> None:
    found = find(rankings(), 0.1, Workshop(), method, 3, method)  # type: ignore[arg-type]
    assert (found.rankings, found.pairs) == (600, 1800)
    # Three pairs of each turned ranking.
    assert found.planted % 3 == 0 and 120 <= found.planted <= 240
    assert all(least <= value <= most for value in found.precision[:3])
    if method == "right":
        expected = [min(1.0, place / found.planted) for place in PLACES]
        assert found.recall == pytest.approx(expected)
