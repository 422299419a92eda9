"""The running scale of scores."""

import statistics

import pytest
import torch

from reward.policy_optimization.reward_scale import RunningScale, clipped


def test_batches_give_the_deviation_of_all_numbers() -> None:
    scale, seen = RunningScale(), []
    for batch in ([1.0, 2.0, 6.0], [4.0], [0.5, 9.0]):
        seen += batch
        mean = statistics.fmean(batch)
        scale.add(len(batch), mean, sum((x - mean) ** 2 for x in batch))
    assert scale.mean == pytest.approx(statistics.fmean(seen))
    assert scale.deviation == pytest.approx(statistics.stdev(seen))


def test_nothing_seen_scales_nothing() -> None:
    scale = RunningScale()
    scale.add(0, 5.0, 5.0)
    assert scale.deviation == 1.0


def test_clipping_is_off_at_zero() -> None:
    scores = torch.tensor([-3.0, 0.5, 3.0])
    assert clipped(scores, 1.0).tolist() == [-1.0, 0.5, 1.0]
    assert clipped(scores, 0.0).tolist() == [-3.0, 0.5, 3.0]
