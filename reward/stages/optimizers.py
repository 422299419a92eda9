"""The policy moved by TRL's trainers (rloo, grpo, dpo) on what `rankloop train ppo` was given."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reward.evaluating.policy_figures import REWARD_MODEL, Evaluator
from reward.policy_optimization.training_history import updates_a_rollout
from reward.policy_optimization.trl_optimizers import PreferencePair, train_with
from reward.stages.model import Say, StageModel
from reward.stages.roles import Judge

Curve = list[dict[str, float]]


@dataclass(frozen=True)
class PolicyTask:
    """A policy to move, and what moves it."""

    model: StageModel
    judge: Judge
    prompts: Sequence[list[int]]
    pairs: Sequence[PreferencePair]  #: what dpo trains on
    reference: str | None
    folder: Path
    say: Say
    #: hears a step and its metrics
    track: Callable[[int, Mapping[str, float]], None] = lambda step, metrics: None


class Stopwatch:
    """Says how long each lap took."""

    def __init__(self) -> None:
        """Begin the first lap."""
        self._began = time.monotonic()

    def lap(self) -> float:
        """End a lap; return its seconds."""
        began, self._began = self._began, time.monotonic()
        return self._began - began


def iteration_line(
    iteration: int, iterations: int, metrics: dict[str, float], what: str = "iteration"
) -> str:
    """Return in words the figures of an iteration, or of `what` else is counted."""
    known = (("objective/scores", "reward"), ("objective/kl", "KL"), ("loss/policy_avg", "loss"))
    figures = [f"{word} {metrics[name]:.3f}" for name, word in known if name in metrics]
    seconds = f"({metrics['time/iteration']:.1f} s)"
    return f"{what} {iteration} of {iterations}: {', '.join(figures)} {seconds}"


def trl_curve(task: PolicyTask, optimizer: str) -> Curve:
    """Train with one of TRL's trainers; return the metrics of every step.

    DPO samples nothing, so its first and last reward are those of completions that are drawn from
    the policy before and after.
    """
    model = task.model
    settings = model.profile.optimizer
    before = _measured(task) if optimizer == "dpo" else {}
    what = "update" if updates_a_rollout(optimizer, settings) > 1 else "iteration"
    clock, curve = Stopwatch(), Curve()

    def on_step(step: int, steps: int, metrics: dict[str, float]) -> None:
        # Where memory ran out the training has begun again.
        if step == 1:
            curve.clear()
        found = {**metrics, "time/iteration": clock.lap()}
        curve.append(found)
        task.say(iteration_line(step, steps, found, what))
        task.track(step, found)

    train_with(
        optimizer,
        model.backbone,
        scorer=task.judge,
        prompts=task.prompts,
        pairs=task.pairs,
        reference=task.reference,
        settings=replace(settings, optimizer=optimizer),
        sampling=model.profile.sampling,
        seed=model.seed,
        on_step=on_step,
    )
    if before:
        curve[0] |= before
        curve[-1] |= _measured(task)
    return curve


def _measured(task: PolicyTask) -> dict[str, float]:
    """Return mean score and KL of one completion of each of a rollout's prompts."""
    profile = task.model.profile
    evaluator = Evaluator(
        task.model.backbone,
        {REWARD_MODEL: task.judge},
        profile.sampling,
        profile.evaluation,
        reference=task.reference,
        seed=task.model.seed,
        batch_size=profile.generation.batch,
    )
    prompts = list(task.prompts[: profile.ppo.prompts_per_iteration])
    found = evaluator.measure(prompts, evaluator.sample("policy", prompts, 1), adapter="policy")
    kl = found.kl.value if found.kl else 0.0
    return {"objective/scores": found.rewards[REWARD_MODEL].value, "objective/kl": kl}
