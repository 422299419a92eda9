"""Step 4: move the policy up the reward model, with PPO or with one of TRL's trainers.

It starts from the policy that this round's SFT made, else from the live one; KL is taken to the
newest SFT policy of its line, else to the bare model.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reward.evaluating.gate import GateCheck
from reward.language_models.backbone import Backbone
from reward.language_models.profiles import TrainingProfile
from reward.policy_optimization.ppo import PPOTrainer, State
from reward.policy_optimization.pretraining_texts import pretraining_ids
from reward.policy_optimization.reward_scorer import RewardScorer, load_reward_scorer
from reward.policy_optimization.training_history import (
    History,
    history_figures,
    left_bounds,
    updates_a_rollout,
)
from reward.reward_modeling.reward_model import RewardModel
from reward.steps.outcome import CannotTrain, StepContext, StepOutcome, new_uri
from reward.steps.prompts import policy_prompts
from reward.steps.snapshot import rankings_of_round
from reward.training.learning_rates import as_settings, learning_rates
from reward.training.out_of_memory import is_out_of_memory
from reward.training.processes import Processes
from reward.training.progress_checkpoint import check_same_progress
from storage.blobs import checked_path, write_folder
from storage.engine import reading
from storage.errors import BadInput
from storage.tables import Policy, Split

if TYPE_CHECKING:
    from reward.policy_optimization.trl_optimizers import PreferencePair

KEPT = "ppo"  # the name of this step's progress


def train_policy(context: StepContext) -> StepOutcome:
    """Train from the round's base policy and save the candidate's adapter."""
    runtime, profile = context.runtime, context.runtime.profile
    reward = load_reward(context)
    prompts = policy_prompts(runtime, Split.TRAIN)
    start_policy(context)
    reference = load_reference(context)
    if profile.optimizer.optimizer == "ppo":
        history = _ppo(context, reward, prompts, reference)
    else:
        history = _other(context, reward, prompts, reference)
    uri = new_uri(context, "policy")
    with write_folder(runtime.home, uri) as folder:
        runtime.backbone.save_adapter("policy", folder)
    metrics = history_metrics(history, profile)
    if alarms := bound_alarms(history, profile):
        earlier = list(context.round.metrics.get("gate", []))
        metrics["gate"] = earlier + [alarm.as_dict() for alarm in alarms]
    return StepOutcome(artefacts={"policy": uri}, metrics=metrics)


def _ppo(
    context: StepContext, reward: RewardScorer, prompts: list[list[int]], reference: str | None
) -> list[dict[str, float]]:
    # It starts this module in the processes, and so imports it.
    from reward.steps.together import climb_together, trains_together

    runtime = context.runtime
    try:
        pretraining = pretraining_ids(runtime.profile.ppo, runtime.backbone.tokenizer)
    except BadInput as error:
        raise CannotTrain(str(error)) from error
    if trains_together(context):
        return climb_together(context, prompts, pretraining=pretraining)
    return climb(
        context.runtime.backbone,
        reward,
        prompts,
        context.runtime.profile,
        seed=context.round.seed,
        reference=reference,
        pretraining=pretraining,
        kept=context.kept(KEPT),
        report=context.report,
        keep=lambda state: context.keep(KEPT, *state),
    )


def climb(
    backbone: Backbone,
    reward: RewardScorer,
    prompts: list[list[int]],
    profile: TrainingProfile,
    *,
    seed: int,
    reference: str | None,
    pretraining: list[list[int]],
    kept: State | None,
    report: Callable[[int, int, Mapping[str, float]], None],
    keep: Callable[[State], None],
    processes: Processes | None = None,
) -> list[dict[str, float]]:
    """Move the adapter `policy` by PPO, from `kept` if there is any; return the metrics.

    Raises `CannotTrain` where the loss is not finite or a single completion does not fit, and
    `Unavailable` where not all processes have the same iterations in `kept`.
    """
    trainer = PPOTrainer(
        backbone,
        reward.score,
        profile.ppo,
        profile.sampling,
        seed=seed,
        generation_batch=profile.generation.batch,
        reference=reference,
        value_head=reward.mean_head() if isinstance(reward, RewardModel) else None,
        pretraining=pretraining,
        processes=processes or Processes(),
    )
    if kept is not None and trainer.can_resume(kept, prompts):
        trainer.resume(kept)
    check_same_progress(trainer.processes, len(trainer.history))
    try:
        return trainer.train(
            prompts,
            lambda iteration, metrics: report(iteration, profile.ppo.iterations, metrics),
            keep,
        )
    except FloatingPointError as error:
        raise CannotTrain(f"{error}; lower {as_settings(learning_rates('ppo'))}.") from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        alone = trainer.processes.count == 1
        tried = "even with one completion a pass" if alone else "in one of several processes"
        size = "sampling.max_new_tokens" if alone else "ppo.micro_batch"
        raise CannotTrain(
            f"The device is out of memory {tried}; lower training.{size} or "
            "training.ppo.max_prompt_tokens."
        ) from error


def _other(
    context: StepContext, reward: RewardScorer, prompts: list[list[int]], reference: str | None
) -> list[dict[str, float]]:
    # TRL takes seconds to import, and PPO needs none of it.
    from reward.policy_optimization.trl_optimizers import preference_pairs
    from reward.steps.together import climb_together, trains_together

    runtime = context.runtime
    pairs = preference_pairs(rankings_of_round(context, Split.TRAIN))
    if trains_together(context):
        return climb_together(context, prompts, pairs=pairs)
    return climb_by_trl(
        runtime.backbone,
        reward,
        prompts,
        pairs,
        runtime.profile,
        seed=context.round.seed,
        reference=reference,
        report=context.report,
    )


def climb_by_trl(
    backbone: Backbone,
    reward: RewardScorer,
    prompts: list[list[int]],
    pairs: Sequence["PreferencePair"],
    profile: TrainingProfile,
    *,
    seed: int,
    reference: str | None,
    report: Callable[[int, int, Mapping[str, float]], None],
) -> list[dict[str, float]]:
    """Move the adapter `policy` by rloo, grpo or dpo; return the metrics.

    Raises `CannotTrain` where the loss is not finite.
    """
    from reward.policy_optimization.trl_optimizers import train_with

    optimizer = profile.optimizer.optimizer
    history: list[dict[str, float]] = []

    def on_step(step: int, steps: int, metrics: Mapping[str, float]) -> None:
        # Where memory ran out the training has begun again.
        if step == 1:
            history.clear()
        history.append(dict(metrics))
        report(step, steps, metrics)

    try:
        train_with(
            optimizer,
            backbone,
            scorer=reward,
            prompts=prompts,
            pairs=pairs,
            reference=reference,
            settings=profile.optimizer,
            sampling=profile.sampling,
            seed=seed,
            on_step=on_step,
        )
    except FloatingPointError as error:
        rates = as_settings(learning_rates("ppo", optimizer))
        raise CannotTrain(f"{error}; lower {rates}.") from error
    return history


def history_metrics(history: History, profile: TrainingProfile) -> dict[str, Any]:
    """Return what stands on the round of a history: rollouts, and score and KL at both ends."""
    settings = profile.optimizer
    updates = updates_a_rollout(settings.optimizer, settings)
    found = history_figures(history, updates=updates)
    figures = {
        "ppo_iterations": found.rollouts,
        "ppo_score_first": found.score_first,
        "ppo_score_last": found.score_last,
        "ppo_kl_first": found.kl_first,
        "ppo_kl_last": found.kl_last,
    }
    return {name: value for name, value in figures.items() if value is not None}


def bound_alarms(history: History, profile: TrainingProfile) -> list[GateCheck]:
    """Return an alarm for each bound that PPO's last rollout left; none refuses the policy.

    The policy that is kept made the rollout before, which was within them.
    """
    if not history_figures(history).left_bounds:
        return []
    return [
        GateCheck(
            name=one.name,
            figure=one.figure,
            bound=one.bound,
            passed=False,
            meaning=f"{one.meaning}, in the last rollout of training, which was taken back",
            direction=one.direction,
            taken_back=True,
        )
        for one in left_bounds(history[0], history[-1], profile.ppo)
    ]


def load_reward(context: StepContext, name: str = "reward") -> RewardScorer:
    """Load a reward model of the round from its checkpoint, whose hashes must hold."""
    runtime, uri = context.runtime, context.round.artefacts[name]
    return load_reward_scorer(runtime.backbone, checked_path(runtime.home, uri), adapter=name)


def load_reference(context: StepContext) -> str | None:
    """Load what KL is taken to; return its adapter, or None for the bare model."""
    uri = context.round.artefacts.get("reference")
    if uri is None:
        return None
    runtime = context.runtime
    runtime.backbone.load_adapter("reference", checked_path(runtime.home, uri))
    return "reference"


def start_policy(context: StepContext) -> None:
    """Make the adapter `policy` what training starts from."""
    runtime = context.runtime
    fresh = context.round.artefacts.get("sft")
    if fresh is not None:
        runtime.backbone.load_adapter("policy", checked_path(runtime.home, fresh))
        return
    with reading(runtime.engine) as session:
        base = session.get_one(Policy, context.round.base_policy_id)
    if runtime.load_policy(base, "policy") is None:
        runtime.backbone.add_adapter("policy")
