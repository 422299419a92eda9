"""The arithmetic of PPO against numbers worked by hand."""

import pytest
import torch

from reward.policy_optimization.advantages import (
    clip_binds,
    clipped_policy_loss,
    clipped_value_loss,
    generalized_advantages,
    masked_mean,
    token_rewards,
    whiten_together,
)
from reward.training.processes import Processes

MASK = torch.tensor([[True, True, True], [True, False, False]])


def test_masked_mean_leaves_padding_out() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [6.0, 100.0, 100.0]])
    assert masked_mean(values, MASK).item() == 3.0


def test_whitening_gives_mean_zero_and_variance_one_over_all_parts() -> None:
    parts = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([6.0])]
    whitened = whiten_together(parts, Processes().sum)
    # mean 3, population variance (4 + 1 + 0 + 9) / 4 = 3.5
    torch.testing.assert_close(whitened[0], torch.tensor([-2.0, -1.0, 0.0]) / 3.5**0.5)
    torch.testing.assert_close(whitened[1], torch.tensor([3.0]) / 3.5**0.5)


def test_the_score_stands_at_the_last_token_and_kl_at_each() -> None:
    rewards = token_rewards(
        scores=torch.tensor([10.0, -4.0]),
        kl=torch.tensor([[1.0, -1.0, 0.0], [1.0, 9.0, 9.0]]),
        mask=MASK,
        kl_coefficient=0.1,
    )
    torch.testing.assert_close(rewards, torch.tensor([[-0.1, 0.1, 10.0], [-4.1, 0.0, 0.0]]))


def test_gae_against_hand_worked_numbers() -> None:
    rewards = torch.tensor([[0.0, 0.0, 1.0], [2.0, 50.0, 50.0]])
    values = torch.tensor([[0.5, 0.4, 0.2], [1.0, 50.0, 50.0]])
    advantages, returns = generalized_advantages(rewards, values, MASK, gamma=1.0, lam=0.5)
    # δ = (0.4 - 0.5, 0.2 - 0.4, 1 - 0.2) = (-0.1, -0.2, 0.8)
    # A = (-0.1 + 0.5 * 0.2, -0.2 + 0.5 * 0.8, 0.8) = (0.0, 0.2, 0.8)
    torch.testing.assert_close(
        advantages, torch.tensor([[0.0, 0.2, 0.8], [1.0, 0.0, 0.0]]), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(returns, torch.tensor([[0.5, 0.6, 1.0], [2.0, 0.0, 0.0]]))


def test_gae_discounts_what_follows() -> None:
    advantages, _ = generalized_advantages(
        torch.tensor([[0.0, 1.0]]), torch.zeros(1, 2), torch.ones(1, 2).bool(), gamma=0.9, lam=0.5
    )
    torch.testing.assert_close(advantages, torch.tensor([[0.45, 1.0]]))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [(1.5, 1.0, -1.2), (1.5, -1.0, 1.5), (0.5, 1.0, -0.5), (0.5, -1.0, 0.8), (1.1, 2.0, -2.2)],
)
def test_the_surrogate_takes_the_worse_of_clipped_and_not(
    ratio: float, advantage: float, loss: float
) -> None:
    one = torch.ones(1, 1)
    found = clipped_policy_loss(one * ratio, one * advantage, one.bool(), clip=0.2)
    assert found.item() == pytest.approx(loss)


def test_a_value_may_not_profit_from_moving_further_than_the_clip() -> None:
    one = torch.ones(1, 1)
    # Moved from 0 to 1 towards a return of 1, but only 0.2 of the way counts: (0.2 - 1)² / 2.
    found = clipped_value_loss(one, one * 0.0, one, one.bool(), clip=0.2)
    assert found.item() == pytest.approx(0.32)


def test_the_clip_binds_only_where_it_takes_the_gradient_away() -> None:
    ratio = torch.tensor([[1.3, 1.3, 0.7, 0.7, 1.1, 1.3]])
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0, 0.0]])
    bound = clip_binds(ratio, advantages, clip=0.2)
    assert bound.tolist() == [[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]]
    # TRL's: where the clipped loss is above the other one.
    unclipped, clipped = -advantages * ratio, -advantages * ratio.clamp(0.8, 1.2)
    assert bound.bool().equal(clipped > unclipped)
