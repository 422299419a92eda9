"""Our side of the agreement benchmark finds what was planted in its data."""

import numpy as np
import pytest

from benchmarks.agreement import CONTESTS, Contest, apart, drawn
from benchmarks.peers.our_agreement import TASKS


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    return drawn(12_000)


def test_every_contest_has_a_side_of_ours() -> None:
    from benchmarks.peers import agreement_peers

    assert {one.ours for one in CONTESTS} == set(TASKS)
    assert {one.theirs for one in CONTESTS} == set(agreement_peers.TASKS)


def test_planted_orders_come_back(data: dict[str, np.ndarray]) -> None:
    for name in ("bradley_terry", "crowd_bradley_terry"):
        found = TASKS[name](data)()
        assert np.corrcoef(found["scores"], data["quality"])[0, 1] > 0.9
    ranked = TASKS["plackett_luce"](data)()["scores"]
    assert np.corrcoef(ranked, data["quality"][: len(ranked)])[0, 1] > 0.95


def test_three_different_raters_label_a_unit(data: dict[str, np.ndarray]) -> None:
    raters = data["rater"].reshape(3, -1)
    assert (raters[0] != raters[1]).all() and (raters[0] != raters[2]).all()
    shares = TASKS["dawid_skene"](data)()["shares"]
    assert shares.shape == data["counts"].shape


def test_how_far_apart_is_said() -> None:
    like = Contest("", "", "", "", "scores", "differences")
    assert apart(like, {"scores": [1.0, 2.0]}, {"scores": [5.0, 6.0]}) == "0e+00"
    order = Contest("", "", "", "", "scores", "order")
    said = apart(order, {"scores": [1.0, 2.0, 3.0]}, {"scores": [1.0, 5.0, 70.0]})
    assert said == "rank correlation 1.000"
