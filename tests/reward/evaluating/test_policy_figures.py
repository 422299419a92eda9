"""A policy's figures, from completions that are known."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from reward.evaluating.policy_figures import REWARD_MODEL, EvaluationSettings, Evaluator
from reward.generation.sampling import Sample, SamplingSettings
from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.padding import AnsweredBatch

END = 2
PROMPTS = [[5, 6, 7, 8, 9], [7]]
# Of unlike lengths, so that scoring reorders them.
ANSWERS = [
    [Sample([10, 11, 12, 13], False), Sample([END], True)],
    [Sample([10, END], True), Sample([20, 21, END], True)],
]


class Length:
    """Scores an answer by how many tokens it has."""

    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        return batch.mask.sum(1).float()


def _evaluator(backbone: Backbone, **settings: float) -> Evaluator:
    return Evaluator(
        backbone,
        {REWARD_MODEL: Length()},
        SamplingSettings(max_new_tokens=6, temperature=0.5),
        EvaluationSettings(**settings),  # type: ignore[arg-type]
        reference=None,
        seed=3,
        batch_size=4,
    )


def _shaken(backbone: Backbone) -> str:
    backbone.add_adapter("shaken")
    for weight in backbone.parameters("shaken"):
        torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return "shaken"


def test_scores_and_texts_keep_the_order_of_prompts_and_samples(backbone: Backbone) -> None:
    found = _evaluator(backbone).measure(PROMPTS, ANSWERS, adapter=None)
    assert found.scores == {REWARD_MODEL: [[4.0, 1.0], [2.0, 3.0]]}
    assert [len(text) for text in found.texts[0]] == [4, 0]
    assert found.rewards[REWARD_MODEL].value == 2.5
    assert (found.tokens.value, found.ended.value) == (2.5, 0.75)
    assert (found.tokens.clusters, found.tokens.values) == (2, 4)


def test_the_reference_is_no_nat_from_itself(backbone: Backbone) -> None:
    found = _evaluator(backbone).measure(PROMPTS, ANSWERS, adapter=None)
    assert found.kl is not None and found.kl_k3 is not None
    assert found.kl.value == found.kl_k3.value == 0.0


def test_kl_is_summed_over_a_completion_at_the_sampling_temperature(backbone: Backbone) -> None:
    adapter = _shaken(backbone)
    found = _evaluator(backbone).measure([PROMPTS[0]], [[ANSWERS[0][0]]], adapter=adapter)
    ids = torch.tensor([PROMPTS[0] + ANSWERS[0][0].ids])
    log_probs = []
    for role in (adapter, None):
        backbone.use(role)
        logits = backbone.model(ids).logits[0, 4:-1] / 0.5
        log_probs.append(logits.log_softmax(-1)[range(4), ids[0, 5:]])
    d = log_probs[0] - log_probs[1]
    assert found.kl is not None and found.kl_k3 is not None
    assert found.kl.value == pytest.approx(float(d.sum()), abs=1e-4)
    assert found.kl_k3.value == pytest.approx(float((torch.exp(-d) - 1 + d).sum()), abs=1e-4)


def test_log_probabilities_of_sampling_give_the_same_kl(backbone: Backbone) -> None:
    evaluator, adapter = _evaluator(backbone), _shaken(backbone)
    drawn = evaluator.sample(adapter, PROMPTS, 2)
    plain = [[Sample(one.ids, one.ended) for one in of_prompt] for of_prompt in drawn]
    assert all(one.log_probs for of_prompt in drawn for one in of_prompt)
    kept, again = (
        evaluator.measure(PROMPTS, answers, adapter=adapter).kl for answers in (drawn, plain)
    )
    assert kept is not None and again is not None
    assert kept.value == pytest.approx(again.value, abs=1e-3)


def test_in_half_precision_log_probabilities_of_sampling_are_not_taken(tiny_folder: Path) -> None:
    half = load_backbone(
        str(tiny_folder), device=torch.device("cpu"), dtype=torch.bfloat16, top_layers=2, rank=4
    )
    half.add_adapter("policy")
    # The policy is still the bare model, so whatever sampling said, there is no divergence.
    wrong = [
        [Sample(one.ids, one.ended, (-1.0,) * len(one.ids)) for one in answers]
        for answers in ANSWERS
    ]
    found = _evaluator(half).measure(PROMPTS, wrong, adapter="policy").kl
    assert found is not None
    assert found.value == pytest.approx(0.0, abs=1e-6)


def test_answers_to_another_prompt_have_no_kl(backbone: Backbone) -> None:
    found = _evaluator(backbone).measure(PROMPTS, ANSWERS, adapter=None, kl=False)
    assert found.kl is None and found.kl_k3 is None
    assert "kl" not in found.as_dict()


def test_sampling_gives_so_many_completions_a_prompt(backbone: Backbone) -> None:
    evaluator = _evaluator(backbone)
    drawn = evaluator.sample(None, PROMPTS, 3)
    assert [len(of_prompt) for of_prompt in drawn] == [3, 3]
    assert [one.ids for one in drawn[0]] == [
        one.ids for one in evaluator.sample(None, PROMPTS, 3)[0]
    ]


def test_loops_are_counted_by_the_settings(backbone: Backbone) -> None:
    letters = backbone.tokenizer("a a a a a a", add_special_tokens=False)["input_ids"]
    answers = [[Sample(letters, False)], [Sample([10], False)]]
    assert _evaluator(backbone).measure(PROMPTS, answers, adapter=None).repetition.value == 0.5
    never = _evaluator(backbone, repeated_share=1.0)
    assert never.measure(PROMPTS, answers, adapter=None).repetition.value == 0.0


def test_demonstrations_give_overlap(backbone: Backbone) -> None:
    letters = backbone.tokenizer("so it is", add_special_tokens=False)["input_ids"]
    found = _evaluator(backbone).measure(
        PROMPTS, [[Sample(letters, False)]] * 2, adapter=None, demonstrations=[["so it is"], []]
    )
    assert found.overlap is not None and found.overlap.rouge1.value == 1.0
    assert found.as_dict()["rouge1"]["value"] == 1.0
