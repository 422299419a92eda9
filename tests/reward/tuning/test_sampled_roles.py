"""Sampling from a role of every tuning method: its log-probabilities are those of the update."""

import pytest
import torch

from reward.generation.sampling import SamplingSettings, sample
from reward.language_models.padding import answered_batch
from reward.policy_optimization.logprobs import token_log_probs
from reward.tuning.method import TUNINGS
from tests.reward.tuning.conftest import LoadTuned
from tests.reward.tuning.test_method import disturb

PROMPTS = [[1, 20, 21, 22, 23], [1, 20, 40], [1, 20, 21, 22, 23], [1, 20, 50, 51]]


@pytest.mark.parametrize("prompts", [PROMPTS, PROMPTS[:1], [[3, 20], [1, 20, 50]]])
@pytest.mark.parametrize("tuning", TUNINGS)
def test_sampled_log_probabilities_are_those_of_the_top(
    tuned: LoadTuned, tuning: str, prompts: list[list[int]]
) -> None:
    backbone = tuned(tuning)
    disturb(backbone, "policy")
    settings = SamplingSettings(max_new_tokens=6, temperature=0.8)
    samples = sample(backbone, "policy", prompts, settings, seed=0, batch_size=4)
    batch = answered_batch(prompts, [one.ids for one in samples], torch.device("cpu"))
    states = batch.predicting(backbone.top(backbone.trunk(batch.ids), "policy"))
    weight = backbone.output_weight_of("policy")
    expected, _ = token_log_probs(states, weight, batch.tokens[batch.mask], 0.8)
    mine = torch.tensor([value for one in samples for value in one.log_probs])
    torch.testing.assert_close(mine, expected, atol=1e-4, rtol=0)
