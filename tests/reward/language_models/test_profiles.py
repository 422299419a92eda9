"""Profiles: one for the device, overridden by section, unknown names refused."""

import json
from dataclasses import replace
from math import inf, nan

import pytest
import torch

from reward.language_models.profiles import (
    CPU,
    GPU,
    as_json,
    as_overrides,
    training_profile,
)
from storage.errors import BadInput

DEVICE = torch.device("cpu")


def test_the_device_chooses_the_profile() -> None:
    exact = {"backbone": {"dtype": "float32"}}
    assert training_profile(DEVICE, exact) == CPU
    assert training_profile(torch.device("cuda"), exact) == GPU


def test_later_overrides_win_and_the_rest_stays() -> None:
    found = training_profile(
        DEVICE,
        {"ppo": {"iterations": 3, "clip": 0.1}, "backbone": {"top_layers": 4}},
        {"ppo": {"iterations": 5}},
    )
    assert (found.ppo.iterations, found.ppo.clip, found.top_layers) == (5, 0.1, 4)
    assert found.reward == CPU.reward


def test_values_take_the_fields_type() -> None:
    found = training_profile(DEVICE, {"generation": {"hints": ["Be brief."], "batch": "8"}})
    assert found.generation.hints == ("Be brief.",)
    assert found.generation.batch == 8


def test_tasks_are_named_in_a_list_and_shown_their_own_examples_unless_a_setting_says() -> None:
    assert training_profile(DEVICE).evaluation.tasks == ()
    found = training_profile(DEVICE, {"evaluation": {"tasks": ["mmlu"], "task_few_shot": "5"}})
    assert (found.evaluation.tasks, found.evaluation.task_few_shot) == (("mmlu",), 5)
    asked = training_profile(DEVICE, as_overrides(found), {"evaluation": {"task_few_shot": None}})
    assert (asked.evaluation.tasks, asked.evaluation.task_few_shot) == (("mmlu",), None)


def test_words_of_the_environment_become_what_they_mean() -> None:
    found = training_profile(
        DEVICE,
        {"ppo": {"scale_rewards": "false"}, "backbone": {"tuning": "head", "dtype": "bfloat16"}},
    )
    assert (found.ppo.scale_rewards, found.tuning, found.dtype) == (False, "head", torch.bfloat16)


@pytest.mark.parametrize(
    ("tuning", "rate"),
    [("lora", 5e-4), ("full", 1e-4), ("head", 2e-3), ("adapter", 5e-3), ("prompt", 5e-3)],
)
def test_a_method_brings_its_own_rate_unless_a_setting_has_one(tuning: str, rate: float) -> None:
    chosen = {"backbone": {"tuning": tuning}}
    found = training_profile(DEVICE, {"reward": {"heads": 2}}, chosen)
    assert found.reward.learning_rate == pytest.approx(rate)
    assert found.reward.heads == 2
    assert found.ppo == CPU.ppo
    told = training_profile(DEVICE, {"reward": {"learning_rate": 1e-5}}, chosen)
    assert told.reward.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("tuning", "rate"), [("lora", 1e-3), ("full", 1e-3), ("adapter", 1e-2), ("bitfit", 1e-2)]
)
def test_supervised_fine_tuning_has_the_rate_of_its_method(tuning: str, rate: float) -> None:
    chosen = {"backbone": {"tuning": tuning}}
    assert training_profile(DEVICE, chosen).sft.learning_rate == pytest.approx(rate)
    told = training_profile(DEVICE, {"sft": {"learning_rate": 1e-5}}, chosen)
    assert told.sft.learning_rate == 1e-5


def test_heads_alone_make_all_their_passes_unless_a_setting_says_fewer() -> None:
    heads = {"reward": {"tuning": "head"}}
    found = training_profile(DEVICE, heads)
    assert (found.tuning, found.reward.learning_rate) == ("lora", pytest.approx(2e-3))
    assert found.reward.max_steps == 4 * 400 / 4
    assert training_profile(DEVICE, {"backbone": {"tuning": "head"}}).reward == replace(
        found.reward, tuning=""
    )
    assert training_profile(DEVICE, heads, {"reward": {"max_steps": 7}}).reward.max_steps == 7


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"pop": {}}, "training.pop does not exist"),
        ({"ppo": {"iterationz": 1}}, "training.ppo.iterationz does not exist"),
        ({"ppo": {"iterations": "many"}}, "training.ppo.iterations is 'many'"),
        (
            {"ppo": {"kl_estimator": "k9"}},
            "training.ppo.kl_estimator is 'k9': .*'k1', 'k2' or 'k3'",
        ),
        ({"backbone": {"tuning": "magic"}}, "training.backbone.tuning is 'magic'"),
        ({"ppo": {"minibatches": 0}}, "training.ppo.minibatches is 0 but must be at least 1"),
        (
            {"ppo": {"kl_target": 6.0, "prompts_per_iteration": 1000}},
            "training.ppo.kl_horizon is 200 but must be above 200",
        ),
        ({"ppo": {"kl_target": 6.0, "kl_horizon": 0}}, "training.ppo.kl_horizon is 0 but must"),
        ({"reward": {"max_steps": 0}}, "training.reward.max_steps is 0"),
        ({"sampling": {"temperature": 0}}, "training.sampling.temperature is 0"),
        ({"evaluation": {"prompts": 0}}, "training.evaluation.prompts is 0"),
        ({"evaluation": {"samples": 0}}, "training.evaluation.samples is 0"),
        (
            {"evaluation": {"heldout_window": 1}},
            "training.evaluation.heldout_window is 1 but must be at least 2",
        ),
        ({"evaluation": {"task_batch": 0}}, "training.evaluation.task_batch is 0"),
        ({"evaluation": {"task_limit": -1}}, "training.evaluation.task_limit is -1"),
        ({"evaluation": {"task_few_shot": -1}}, "training.evaluation.task_few_shot is -1"),
        ({"evaluation": {"tasks": "mmlu"}}, "training.evaluation.tasks is 'mmlu'"),
        ({"gate": {"max_kl": nan}}, "training.gate.max_kl is nan but must be a number"),
        ({"gate": {"max_kl": inf}}, "training.gate.max_kl is inf but must be a number"),
        ({"gate": {"max_perplexity_ratio": -1}}, "training.gate.max_perplexity_ratio is -1"),
        ({"gate": {"min_pairs": -1}}, "training.gate.min_pairs is -1 but must be at least 0"),
        ({"gate": {"min_win_rate": 50}}, "training.gate.min_win_rate is 50.* from -1 to 1"),
        ({"gate": {"min_accuracy": nan}}, "training.gate.min_accuracy is nan"),
        ({"gate": {"min_second_win_rate": -2}}, "training.gate.min_second_win_rate is -2"),
        ({"gate": {"max_identical": -0.1}}, "training.gate.max_identical is -0.1"),
        ({"gate": {"max_repetition_rise": 10}}, "training.gate.max_repetition_rise is 10"),
        ({"gate": {"max_refusal_rise": nan}}, "training.gate.max_refusal_rise is nan"),
        ({"gate": {"min_distinct_ratio": -1}}, "training.gate.min_distinct_ratio is -1"),
        (
            {"gate": {"min_length_ratio": 2, "max_length_ratio": 1}},
            "training.gate.min_length_ratio is 2 but must be at most max_length_ratio, 1",
        ),
        ({"generation": {"batch": 0}}, "training.generation.batch is 0"),
        ({"backbone": {"rank": 0}}, "training.backbone.rank is 0"),
        ({"backbone": {"virtual_tokens": 0}}, "training.backbone.virtual_tokens is 0"),
        ({"backbone": {"top_layers": -1}}, "training.backbone.top_layers is -1"),
        ({"backbone": {"recomputed_layers": -1}}, "training.backbone.recomputed_layers is -1"),
        ({"backbone": {"depth": 1}}, "training.backbone.depth does not exist"),
        ({"ppo": {"gamma": 5}}, "training.ppo.gamma is 5.* but must be from 0 to 1"),
        ({"ppo": {"lam": -1}}, "training.ppo.lam is -1"),
        ({"ppo": {"clip": -0.2}}, "training.ppo.clip is -0.2 but must be above 0"),
        ({"ppo": {"max_grad_norm": 0}}, "training.ppo.max_grad_norm is 0"),
        ({"ppo": {"missing_eos_penalty": nan}}, "missing_eos_penalty is nan but must be a number"),
        ({"ppo": {"value_learning_rate": -1}}, "training.ppo.value_learning_rate is -1"),
        ({"ppo": {"kl_target": -3}}, "training.ppo.kl_target is -3"),
        ({"reward": {"max_grad_norm": -1}}, "training.reward.max_grad_norm is -1"),
        ({"reward": {"conservatism": nan}}, "training.reward.conservatism is nan"),
        ({"reward": {"learning_rate": inf}}, "training.reward.learning_rate is inf but"),
        ({"reward": {"weight_decay": -1}}, "training.reward.weight_decay is -1"),
        ({"sampling": {"top_p": 2}}, "training.sampling.top_p is 2.* from 1e-06 to 1"),
        ({"sft": {"warmup_share": 5}}, "training.sft.warmup_share is 5"),
        ({"sft": {"learning_rate": nan}}, "training.sft.learning_rate is nan"),
        ({"optimizer": {"learning_rate": -1}}, "training.optimizer.learning_rate is -1"),
        ({"optimizer": {"dpo_beta": 0}}, "training.optimizer.dpo_beta is 0"),
        ({"features": {"conservatism": nan}}, "training.features.conservatism is nan"),
        ({"features": {"penalties": [nan]}}, "training.features.penalties must hold"),
    ],
)
def test_what_does_not_fit_is_named(override: dict, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        training_profile(DEVICE, override)


def test_the_horizon_of_an_adaptive_price_of_kl_is_only_looked_at_with_a_target() -> None:
    assert training_profile(DEVICE, {"ppo": {"prompts_per_iteration": 1000}}).ppo.kl_target == 0
    wide = {"kl_target": 6.0, "prompts_per_iteration": 1000, "kl_horizon": 201.0}
    assert training_profile(DEVICE, {"ppo": wide}).ppo.kl_horizon == 201


def test_a_limit_may_be_without_end() -> None:
    limits = {"max_grad_norm": inf, "max_kl": inf, "value_clip": inf}
    assert training_profile(DEVICE, {"ppo": limits}).ppo.max_kl == inf


def test_a_profile_is_json() -> None:
    assert json.loads(json.dumps(as_json(CPU)))["ppo"]["lam"] == 0.95
