"""Win rates, perplexity and the report of two policies without a database."""

import json

import pytest
import torch
from torch import Tensor

from reward.evaluating.evaluation import AGAINST, evaluate_policies, win_rate
from reward.evaluating.intervals import bootstrap_mean
from reward.evaluating.policy_figures import (
    REWARD_MODEL,
    SECOND_REWARD_MODEL,
    EvaluationSettings,
    PolicyFigures,
)
from reward.generation.sampling import SamplingSettings
from reward.language_models.backbone import Backbone
from reward.language_models.padding import AnsweredBatch

SAMPLING = SamplingSettings(max_new_tokens=6)
SETTINGS = EvaluationSettings(prompts=3, samples=2, heldout_tokens=200)
PROMPTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13], [14]]


class LowIds:
    """Scores an answer by how low its token ids are."""

    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        return -(batch.tokens * batch.mask).sum(1).float()


class Reversed(LowIds):
    """Disagrees with `LowIds` about everything."""

    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        return -super().score(trunk, batch)


def _figures(scores: list[list[float]]) -> PolicyFigures:
    one = bootstrap_mean([[1.0]])
    return PolicyFigures(
        [["a"] * len(row) for row in scores], {REWARD_MODEL: scores}, {REWARD_MODEL: one},
        one, one, one, one, one, one, (1.0, 1.0, 1.0), 0.0, None,
    )  # fmt: skip


def _shaken(backbone: Backbone) -> str:
    backbone.add_adapter("shaken")
    for weight in backbone.parameters("shaken"):
        torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(1))
    return "shaken"


def test_the_bare_model_answers_too_where_neither_side_is_it(backbone: Backbone) -> None:
    one, other = _shaken(backbone), "other"
    backbone.add_adapter(other)

    def names(candidate: str | None, few_shot: list[list[int]]) -> list[str]:
        report = evaluate_policies(
            backbone, candidate, other, PROMPTS, scorer=LowIds(), sampling=SAMPLING,
            settings=SETTINGS, seed=0, few_shot=few_shot,
        )  # fmt: skip
        assert {row["against"] for row in report.as_dict()["comparisons"]} == {*report.policies} - {
            "candidate"
        }
        return list(report.policies)

    assert names(None, []) == ["candidate", "against"]
    assert set(names(one, [])) == {"candidate", "against", "first"}
    shown = [[1, 2, *prompt] for prompt in PROMPTS]
    assert set(names(one, shown)) == {"candidate", "against", "first", "few_shot"}


def test_win_rate_counts_every_pair_of_a_prompt_and_ties_as_half() -> None:
    # 0 = 0 (½), 0 < 0.5 (0), 1 > 0 (1), 1 > 0.5 (1)
    found = win_rate(_figures([[0.0, 1.0]]), _figures([[0.0, 0.5]]), REWARD_MODEL, 0)
    assert found.value == 0.625


def test_a_baseline_on_fewer_prompts_is_held_against_the_first_of_them() -> None:
    found = win_rate(_figures([[1.0], [0.0], [0.0]]), _figures([[0.0]]), REWARD_MODEL, 0)
    assert (found.value, found.clusters) == (1.0, 1)


def test_a_policy_against_itself_wins_half_and_pays_no_tax(backbone: Backbone) -> None:
    report = evaluate_policies(
        backbone, None, None, PROMPTS, scorer=LowIds(), sampling=SAMPLING, settings=SETTINGS, seed=1
    )
    found = report.win_rate(AGAINST)
    assert found is not None and (found.value, found.clusters) == (0.5, 3)
    assert report.perplexity_ratio == 1.0


def test_judges_that_disagree_give_opposite_win_rates(backbone: Backbone) -> None:
    report = evaluate_policies(
        backbone,
        _shaken(backbone),
        None,
        PROMPTS,
        scorer=LowIds(),
        second=Reversed(),
        sampling=SAMPLING,
        settings=SETTINGS,
        seed=1,
    )
    first = report.win_rate(AGAINST)
    second = report.win_rate(AGAINST, SECOND_REWARD_MODEL)
    assert first is not None and second is not None
    assert first.value == pytest.approx(1.0 - second.value)
    assert report.candidate.kl is not None and report.candidate.kl.value != 0.0
    assert report.perplexity_ratio != pytest.approx(1.0)


def test_without_a_reward_model_all_else_is_reported_as_json(backbone: Backbone) -> None:
    report = evaluate_policies(
        backbone, _shaken(backbone), None, PROMPTS, sampling=SAMPLING, settings=SETTINGS, seed=1
    )
    found = json.loads(json.dumps(report.as_dict()))
    assert found["comparisons"] == []
    candidate, against = found["policies"]
    assert (candidate["policy"], against["policy"]) == ("candidate", "against")
    assert {"kl", "kl_k3", "tokens", "distinct_2", "repetition", "refusals", "perplexity"} <= set(
        candidate
    )
    assert candidate["kl"]["low"] <= candidate["kl"]["value"] <= candidate["kl"]["high"]
    assert (candidate["prompts"], candidate["samples"]) == (3, 2)


def test_perplexity_can_be_left_out(backbone: Backbone) -> None:
    settings = EvaluationSettings(prompts=1, samples=1, heldout_tokens=0)
    report = evaluate_policies(
        backbone, None, None, PROMPTS, sampling=SAMPLING, settings=settings, seed=1
    )
    assert report.perplexity == {} and report.perplexity_ratio is None
