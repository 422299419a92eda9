"""What a step of the reward model reports, worked by hand."""

import pytest
import torch

from reward.reward_modeling.step_metrics import step_metrics, sums_of


def test_a_step_against_hand_worked_numbers() -> None:
    # The heads' means are (2, 1, 3) and (0, 0); a ranking of three has three pairs.
    scores = [torch.tensor([[1.0, 1.0, 4.0], [3.0, 1.0, 2.0]]), torch.zeros(2, 2)]
    pairs = [torch.tensor([[0, 1], [0, 2], [1, 2]]), torch.tensor([[1, 0]])]
    losses = torch.tensor([[0.2, 0.6], [0.4, 0.8]])
    # Margins 1, −1, −2 and 0: one right and one even of four.
    assert step_metrics(sums_of(losses, scores, pairs)) == pytest.approx(
        {"loss": 0.5, "accuracy": 1.5 / 4, "margin": -0.5, "mean_reward": 6 / 5}
    )


def test_parts_add_up_to_the_step() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = [torch.randn(2, 3, generator=generator) for _ in range(4)]
    pairs = [torch.tensor([[0, 1], [2, 0]])] * 4
    losses = torch.rand(2, 4, generator=generator)
    parts = [sums_of(losses[:, i : i + 1], scores[i : i + 1], pairs[:1]) for i in range(4)]
    added = [sum(numbers) for numbers in zip(*parts, strict=True)]
    assert step_metrics(added) == pytest.approx(step_metrics(sums_of(losses, scores, pairs)))


def test_rankings_of_ties_alone_have_no_accuracy() -> None:
    none = torch.zeros(0, 2, dtype=torch.long)
    found = step_metrics(sums_of(torch.tensor([[0.7]]), [torch.tensor([[1.0, 2.0]])], [none]))
    assert found == pytest.approx({"loss": 0.7, "mean_reward": 1.5})
