"""RLOO, GRPO and DPO by TRL's own trainers, on the role `policy` of the shared backbone.

TRL's are the algorithms: baselines, advantages, losses, clipping, accumulation. The backbone's are
the passes (`reward/language_models/role_model.py`) and the sampling
(`reward/generation/sampling.py`). RLOO: Ahmadian et al. 2024; GRPO: Shao et al. 2024, §4.1, its
loss a mean over the rollout's tokens (Yu et al. 2025) and its KL times the ratio, as TRL has them;
DPO: Rafailov et al. 2023, §4. Leaves out: progress inside the step, the bounds on KL and entropy
that PPO has. Called by `reward/steps/ppo.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import torch
from accelerate.utils import is_peft_model
from datasets import Dataset
from torch import Tensor
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from reward.generation.sampling import SamplingSettings, sample
from reward.language_models.backbone import Backbone
from reward.language_models.padding import AnsweredBatch, answered_batch
from reward.language_models.role_model import RoleModel
from reward.policy_optimization.reward_scorer import check_scores
from reward.reward_modeling.preference_pairs import PreferencePair, preference_pairs
from reward.training.optimizer_settings import OptimizerSettings
from reward.training.processes import Processes
from reward.training.reading_order import StepParts, even_parts, order_of_whole_steps
from reward.training.sharded_model import is_sharding, plain_model, set_reference, take_back
from reward.training.trl_trainer import (
    InPlaceTrainer,
    OnStep,
    common_arguments,
    fitted_to_memory,
    in_order,
    on_one_device,
    quiet,
)
from storage.errors import BadInput

__all__ = ["PreferencePair", "Scorer", "preference_pairs", "train_with"]


class Scorer(Protocol):
    """What scores answers; see `reward/policy_optimization/reward_scorer.py`."""

    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        """Return the scores (B,) of a batch whose trunk is given."""


def train_with(
    optimizer: str,
    backbone: Backbone,
    *,
    scorer: Scorer,
    prompts: Sequence[Sequence[int]],
    pairs: Sequence[PreferencePair],
    reference: str | None,
    settings: OptimizerSettings,
    sampling: SamplingSettings,
    seed: int,
    on_step: OnStep = lambda step, steps, metrics: None,
    adapter: str = "policy",
) -> None:
    """Move the role `adapter`, from the weights that it has, by rloo, grpo or dpo.

    Args:
        optimizer: its name; `ppo` is not TRL's and is refused.
        backbone: what every role lives on.
        scorer: the reward (rloo, grpo).
        prompts: token ids to sample completions for (rloo, grpo).
        pairs: comparisons (dpo).
        reference: the role that KL is taken to; None is the bare model.
        settings: sizes.
        sampling: how completions are drawn (rloo, grpo).
        seed: what completions and batches are drawn from.
        on_step: hears (step, steps, metrics by the names that PPO uses).
        adapter: the role that is trained.

    Raises `BadInput` where there is nothing to train on, sizes do not fit or a score is not finite,
    `FloatingPointError` where the loss is not, `Unavailable` where one sequence does not fit into
    memory.
    """
    if optimizer not in _BUILDERS:
        raise BadInput(f"There is no optimizer {optimizer} of TRL's; use {', '.join(_BUILDERS)}.")
    if not (pairs if optimizer == "dpo" else prompts):
        what = "comparison" if optimizer == "dpo" else "prompt"
        raise BadInput(f"There is no {what} to train the policy on with {optimizer}.")
    if is_sharding() and optimizer != "dpo":
        raise BadInput(
            f"The optimizer {optimizer} samples while it trains, which sharded weights do not "
            "serve; choose launch_config ddp, or dpo."
        )
    task = _Task(backbone, adapter, reference, scorer, prompts, pairs, sampling, seed)
    weights = backbone.parameters(adapter)
    start = [weight.detach().clone() for weight in weights]

    def fit(micro_batch: int) -> None:
        with torch.no_grad():
            for weight, first in zip(weights, start, strict=True):
                weight.copy_(first)
        with quiet() as place, backbone.training(adapter):
            sized = replace(settings, micro_batch=micro_batch)
            trainer = _BUILDERS[optimizer](task, sized, place)
            trainer.begin(on_step)
            trainer.train()
            if is_sharding():
                take_back(backbone, adapter, trainer.accelerator.unwrap_model(trainer.model))

    whole = settings.pairs if optimizer == "dpo" else settings.rollout
    fitted_to_memory(fit, settings.micro_batch, "a completion", whole=whole)


@dataclass(frozen=True)
class _Task:
    """What there is to train and to train on."""

    backbone: Backbone
    adapter: str
    reference: str | None
    scorer: Scorer
    prompts: Sequence[Sequence[int]]
    pairs: Sequence[PreferencePair]
    sampling: SamplingSettings
    seed: int


class _Rollouts(InPlaceTrainer):
    """Stand before RLOO or GRPO: completions are token ids, sampled by the backbone."""

    task: _Task
    names: ClassVar = {
        "loss": "loss/policy_avg",
        "grad_norm": "policy/grad_norm",
        "reward": "objective/scores",
        "entropy": "policy/entropy_avg",
        "completions/mean_length": "val/mean_tokens",
        "clip_ratio/region_mean": "policy/clipfrac_avg",
    }

    def take(self, task: _Task, settings: OptimizerSettings) -> None:
        """Set what TRL would make of a second model: the reference, and the weight of its KL."""
        trainer: Any = self
        self.task = task
        trainer.beta = settings.kl_coefficient
        if trainer.beta != 0.0:
            trainer.ref_model = RoleModel(
                task.backbone, task.reference, temperature=task.sampling.temperature
            )

    def renamed(self, figures: dict[str, float]) -> dict[str, float]:
        """Return PPO's names, with KL summed over a completion's tokens as PPO reports it.

        A further update on the same rollout has no figures of a rollout.
        """
        found = super().renamed(figures)
        if "kl" in found and "val/mean_tokens" in found:
            found["objective/kl"] = found.pop("kl") * found["val/mean_tokens"]
        if "completions/clipped_ratio" in found:
            found["val/ended"] = 1.0 - found.pop("completions/clipped_ratio")
        return found

    def _tokenize_prompts(self, prompts: list[list[int]]) -> tuple[list[list[int]], None, dict]:
        return prompts, None, {}

    def _sampled(self, prompt_ids: list[list[int]]) -> list[list[int]]:
        trainer: Any = self
        # A rollout's own numbers, and in each process others: equal prompts, unequal answers.
        first = trainer.accelerator.process_index * len(prompt_ids)
        found = sample(
            self.task.backbone,
            self.task.adapter,
            prompt_ids,
            self.task.sampling,
            seed=self.task.seed + trainer.state.global_step + 1,
            batch_size=len(prompt_ids),
            rows=range(first, first + len(prompt_ids)),
        )
        return [one.ids for one in found]


class _RLOO(_Rollouts, RLOOTrainer):
    def _generate_single_turn(self, prompt_ids: list[list[int]], *rest: Any) -> list[list[int]]:
        del rest
        return self._sampled(prompt_ids)


class _GRPO(_Rollouts, GRPOTrainer):
    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *rest: Any, **more: Any
    ) -> tuple[list[list[int]], None]:
        del rest, more
        return self._sampled(prompt_ids), None


class _DPO(InPlaceTrainer, DPOTrainer):
    names: ClassVar = {
        "loss": "loss/policy_avg",
        "grad_norm": "policy/grad_norm",
        "entropy": "policy/entropy_avg",
    }

    def _prepare_dataset(self, dataset: Dataset, *rest: Any) -> Dataset:
        del rest
        return dataset


def scores_of(task: _Task, settings: OptimizerSettings) -> Any:
    """Return TRL's reward function: the scorer on token ids, less the penalty of a cut answer.

    It raises `BadInput`, in every process, where a score of any of them is not finite.
    """
    backbone = task.backbone

    @torch.no_grad()
    def score(
        prompts: list[list[int]], completion_ids: list[list[int]], **ignored: Any
    ) -> list[float]:
        del ignored
        found: list[float] = []
        size = settings.micro_batch
        for start in range(0, len(prompts), size):
            part = slice(start, start + size)
            batch = answered_batch(prompts[part], completion_ids[part], backbone.device)
            found += task.scorer.score(backbone.trunk(batch.ids), batch).tolist()
        # TRL takes NaN for "cannot be scored" and learns nothing from it, without a word.
        check_scores(found, Processes.current())
        return [
            value - settings.missing_eos_penalty * (answer[-1] not in backbone.end_tokens)
            for value, answer in zip(found, completion_ids, strict=True)
        ]

    return score


def _rollout_trainer(
    kind: Any, config: Any, task: _Task, sizes: OptimizerSettings, place: str
) -> Any:
    enough = -(-sizes.prompts // len(task.prompts))
    rows = [{"prompt": list(prompt)} for prompt in task.prompts] * enough
    parts = _parts(sizes.rollout, sizes, "prompts x generations")
    arguments = config(
        **common_arguments(task.backbone, place, seed=task.seed),
        max_steps=sizes.steps * sizes.updates,
        num_generations=sizes.generations,
        num_iterations=sizes.updates,
        per_device_train_batch_size=parts.micro,
        gradient_accumulation_steps=parts.rounds,
        max_completion_length=task.sampling.max_new_tokens,
        temperature=task.sampling.temperature,
        top_p=task.sampling.top_p,
        learning_rate=sizes.learning_rate,
        lr_scheduler_type="constant",
        max_grad_norm=sizes.max_grad_norm,
        epsilon=sizes.clip,
        # TRL would load a second model for its KL; `take` sets both.
        beta=0.0,
    )
    on_one_device(arguments)
    trainer = kind(
        model=RoleModel(task.backbone, task.adapter, temperature=task.sampling.temperature),
        reward_funcs=scores_of(task, sizes),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=task.backbone.tokenizer,
    )
    trainer.take(task, sizes)
    return trainer


def _parts(whole: int, sizes: OptimizerSettings, words: str) -> StepParts:
    return even_parts(whole, sizes.micro_batch, Processes.current().count, words)


def _rloo(task: _Task, settings: OptimizerSettings, place: str) -> Any:
    return _rollout_trainer(_RLOO, RLOOConfig, task, settings, place)


def _grpo(task: _Task, settings: OptimizerSettings, place: str) -> Any:
    return _rollout_trainer(_GRPO, GRPOConfig, task, settings, place)


def _dpo(task: _Task, settings: OptimizerSettings, place: str) -> Any:
    rows = [
        {"prompt_ids": one.prompt, "chosen_ids": one.chosen, "rejected_ids": one.rejected}
        for one in task.pairs
    ]
    parts = _parts(settings.pairs, settings, "pairs")
    order = order_of_whole_steps(len(rows), settings.pairs, settings.steps, seed=task.seed)
    arguments = DPOConfig(
        **common_arguments(task.backbone, place, seed=task.seed),
        max_steps=settings.steps,
        per_device_train_batch_size=parts.micro,
        gradient_accumulation_steps=parts.rounds,
        learning_rate=settings.dpo_learning_rate,
        lr_scheduler_type="constant",
        max_grad_norm=settings.max_grad_norm,
        beta=settings.dpo_beta,
        max_length=None,
    )
    on_one_device(arguments)
    model, reference = _policy_and_reference(task)
    trainer = _DPO(
        model=model,
        ref_model=reference,
        args=arguments,
        train_dataset=in_order(rows, order),
        processing_class=task.backbone.tokenizer,
    )
    if is_peft_model(model):
        set_reference(task.backbone, task.adapter, model, task.reference)
    trainer.passes = len(order) / len(rows)
    return trainer


def _policy_and_reference(task: _Task) -> tuple[Any, Any]:
    """Return what DPO trains and what it compares with; an adapter is compared within its model."""
    if not is_sharding():
        roles = (task.adapter, task.reference)
        policy, reference = (RoleModel(task.backbone, name, top1=True) for name in roles)
        return policy, reference
    model = plain_model(task.backbone, task.adapter)
    if is_peft_model(model):
        return model, None
    return model, plain_model(task.backbone, task.reference, trained=False)


_BUILDERS = {"rloo": _rloo, "grpo": _grpo, "dpo": _dpo}
