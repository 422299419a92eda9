"""PPO alone: a policy moved up a reward model on the prompts of a file.

Policy, reward model and, with `sft`, the reference are roles of one backbone. With another
optimizer TRL's trainer moves the policy (`reward/stages/optimizers.py`), on the same prompts and
with the same figures. Called by `rankloop train ppo`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from labeling.imports.ranking_files import RankedText, count_pairs, read_rankings
from reward.generation.sampling import check_speech
from reward.policy_optimization.ppo import PPOTrainer, State
from reward.policy_optimization.ppo_settings import PPOSettings
from reward.policy_optimization.pretraining_texts import pretraining_ids
from reward.policy_optimization.training_history import (
    history_figures,
    left_bounds,
    updates_a_rollout,
)
from reward.policy_optimization.trl_optimizers import preference_pairs
from reward.stages.curves import stage_tracker
from reward.stages.enough_memory import enough_memory, training_advice
from reward.stages.examples import ranked_examples, read_stage_prompts, short_prompts
from reward.stages.model import StageModel, StageRun
from reward.stages.optimizers import Curve, PolicyTask, Stopwatch, iteration_line, trl_curve
from reward.stages.result import (
    PROGRESS,
    Meter,
    described_file,
    finish,
    folder_sha256,
    free_folder,
    running,
)
from reward.stages.reward import check_classes, weighing
from reward.stages.roles import check_policy, check_reward, load_judge, load_policy, tuning_of
from reward.training.processes import Processes
from reward.training.progress_checkpoint import check_same_progress, load_progress, save_progress
from storage.errors import BadInput
from storage.tables import Split


@dataclass(frozen=True)
class PPORequest:
    """What `rankloop train ppo` was asked."""

    prompts: Path
    reward: Path
    out: Path
    sft: Path | None = None  #: the policy that training starts from, and the reference
    optimizer: str = ""  #: "" is that of the settings
    data: Path | None = None  #: the rankings that dpo trains on
    iterations: int = 0  #: rollouts (dpo: updates); 0: as the settings say


@enough_memory(training_advice("ppo.micro_batch", "optimizer.micro_batch"))
def train_ppo_stage(request: PPORequest, run: StageRun) -> dict[str, Any]:
    """Train and save a policy; return its metrics.

    Raises `BadInput`, `Conflict` or `Unavailable` in one sentence; nothing is left behind then.
    """
    folder = free_folder(request.out)
    texts = read_stage_prompts(request.prompts)
    request = replace(request, optimizer=request.optimizer or run.profile.optimizer.optimizer)
    run = _as_long(request, run)
    if request.data is not None and request.optimizer != "dpo":
        run.say(f"passed over, since {request.optimizer} reads no rankings: --data")
    rankings = dpo_rankings(request, run.profile.reward.min_comparisons)
    run = _checked(request, run)
    model = run.load(sharded=request.optimizer == "dpo")
    meter = Meter(model.device)
    prompts = short_prompts(model, request.prompts, texts)
    task = PolicyTask(
        model=model,
        judge=load_judge(model, request.reward, run.progress),
        prompts=prompts,
        pairs=preference_pairs(ranked_examples(model, rankings)),
        reference=_start(request, model),
        folder=folder,
        say=run.say,
    )
    pretraining = pretraining_ids(model.profile.ppo, model.backbone.tokenizer)
    made_with = _made_with(request, model)
    with running(folder, made_with):
        resumed = False
        with stage_tracker(folder, model) as tracker:
            task = replace(task, track=partial(tracker.log, request.optimizer))
            if request.optimizer == "ppo":
                curve, resumed = _ppo(task, pretraining)
            else:
                curve = trl_curve(task, request.optimizer)
        check_speech(model.backbone, "policy", prompts[0])
        updates = updates_a_rollout(request.optimizer, model.profile.optimizer)
        metrics = {
            **curve_metrics(curve, updates),
            "prompts": len(prompts),
            "prompts_left_out": len(texts) - len(prompts),
            "trainable_parameters": sum(p.numel() for p in model.backbone.parameters("policy")),
            "resumed": resumed,
            "seconds": meter.seconds,
            "peak_memory_mb": meter.peak_memory_mb,
            "curve": curve,
        }
        return finish(
            folder,
            made_with=made_with,
            metrics=metrics,
            save=lambda target: model.backbone.save_adapter("policy", target),
        )


def _as_long(request: PPORequest, run: StageRun) -> StageRun:
    """Return the run with the iterations that were asked for."""
    if not request.iterations:
        return run
    section, field = ("ppo", "iterations") if request.optimizer == "ppo" else ("optimizer", "steps")
    sized = {**run.overrides.get(section, {}), field: request.iterations}
    return replace(run, overrides={**run.overrides, section: sized})


def _checked(request: PPORequest, run: StageRun) -> StageRun:
    """Return the run with its tuning method; raise `BadInput` before anything is loaded."""
    check_reward(request.reward)
    if request.optimizer != "ppo" and run.profile.ppo.ptx_coefficient > 0:
        raise BadInput(
            "Setting training.ppo.ptx_coefficient is of the optimizer ppo; set it to 0, or "
            "choose --optimizer ppo."
        )
    if request.sft is None:
        return run
    check_policy(request.sft)
    return replace(run, tuning=run.tuning or tuning_of(request.sft))


def dpo_rankings(request: PPORequest, min_comparisons: int) -> list[RankedText]:
    """Return the rankings that dpo trains on; raise `BadInput` where dpo has too few."""
    if request.optimizer != "dpo":
        return []
    if request.data is None:
        raise BadInput("The optimizer dpo trains on comparisons; give their file with --data.")
    rankings = [one for one in read_rankings(request.data) if one.split is not Split.HELDOUT]
    rankings = weighing(rankings, request.data)
    pairs = count_pairs(rankings)
    if not pairs:
        raise BadInput(f"{request.data}: there is nothing to learn from, all rankings are ties.")
    if pairs < min_comparisons:
        raise BadInput(
            f"{request.data}: it has {pairs} comparisons to train on, but at least "
            f"{min_comparisons} are needed; add rankings, or change "
            "--set reward.min_comparisons=N."
        )
    check_classes(rankings, request.data)
    return rankings


def _start(request: PPORequest, model: StageModel) -> str | None:
    """Make the policy what it starts from; return the adapter that KL is taken to."""
    if request.sft is None:
        return None
    load_policy(model, request.sft, "policy")
    return load_policy(model, request.sft, "reference")


def _made_with(request: PPORequest, model: StageModel) -> dict[str, Any]:
    """Return what the run is made with: what is read again when it goes on, by its hash."""
    ppo = model.profile.ppo
    return model.made_with(
        "ppo",
        optimizer=request.optimizer,
        prompts=described_file(request.prompts),
        data=described_file(request.data) if request.data else None,
        reward=str(request.reward.absolute()),
        reward_sha256=folder_sha256(request.reward),
        sft=str(request.sft.absolute()) if request.sft else None,
        sft_sha256=folder_sha256(request.sft) if request.sft else None,
        ptx=described_file(Path(ppo.ptx_file)) if ppo.ptx_coefficient > 0 else None,
    )


def _ppo(task: PolicyTask, pretraining: Sequence[Sequence[int]]) -> tuple[Curve, bool]:
    """Move the policy by PPO; return its curve, and whether it went on from progress."""
    profile, say, processes = task.model.profile, task.say, Processes.current()
    trainer = PPOTrainer(
        task.model.backbone,
        task.judge.score,
        profile.ppo,
        profile.sampling,
        seed=task.model.seed,
        generation_batch=profile.generation.batch,
        reference=task.reference,
        value_head=task.judge.value_head,
        pretraining=pretraining,
        processes=processes,
    )
    kept = load_progress(task.folder, PROGRESS, "ppo")
    resumed = kept is not None and trainer.can_resume(kept, task.prompts)
    if kept is not None and resumed:
        trainer.resume(kept)
    check_same_progress(processes, len(trainer.history))
    if resumed:
        say(f"going on after iteration {len(trainer.history)} of {profile.ppo.iterations}")
    clock = Stopwatch()

    def on_iteration(iteration: int, metrics: dict[str, float]) -> None:
        metrics["time/iteration"] = clock.lap()
        say(iteration_line(iteration, profile.ppo.iterations, metrics))
        task.track(iteration, metrics)

    def keep(state: State) -> None:
        if processes.is_first:
            save_progress(task.folder, PROGRESS, "ppo", *state)

    history = trainer.train(task.prompts, on_iteration, keep=keep)
    for line in bound_lines(history, profile.ppo):
        say(line)
    return history, resumed


def bound_lines(history: Sequence[Mapping[str, float]], settings: PPOSettings) -> list[str]:
    """Return a sentence for each bound that the last rollout left, with the setting that says it.

    The policy that is kept made the rollout before.
    """
    if not history_figures(history).left_bounds:
        return []
    return [
        f"stopped after iteration {len(history)}: {one.figure:.3g} {one.meaning}, {one.direction} "
        f"{one.bound:g} (--set ppo.{one.setting}=N); the policy that made the rollout before is "
        "kept"
        for one in left_bounds(history[0], history[-1], settings)
    ]


def curve_metrics(curve: Sequence[Mapping[str, float]], updates: int = 1) -> dict[str, Any]:
    """Return what a run's iterations come to: reward at both ends, last KL, seconds each.

    An iteration is a rollout with its updates, of which the curve has one entry each where the
    optimizer makes several (dpo: an update). What the curve lacks is None.
    """
    found = history_figures(curve, updates=updates)
    seconds = sum(one["time/iteration"] for one in curve)
    return {
        "reward_mean_first": found.score_first,
        "reward_mean_last": found.score_last,
        "kl": found.kl_last,
        "seconds_per_iteration": seconds / found.rollouts,
        "iterations": found.rollouts,
        "left_bounds": found.left_bounds,
    }
