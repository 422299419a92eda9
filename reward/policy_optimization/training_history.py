"""What came of moving a policy: rollouts, the figures of the first and last, the bounds it left.

A history is the metrics of every step, by TRL's names. A rollout that left the bounds on KL or
entropy ends PPO's training and is taken back: the policy that is kept is the one that made the
rollout before it, and the last figures are of that one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reward.policy_optimization.ppo_settings import PPOSettings
from reward.training.optimizer_settings import OptimizerSettings

History = Sequence[Mapping[str, float]]

LEFT_BOUNDS = "val/left_bounds"


@dataclass(frozen=True)
class LeftBound:
    """A bound that a rollout left."""

    name: str
    figure: float
    direction: Literal["at least", "at most"]  #: what the bound asks for
    bound: float
    meaning: str
    setting: str  #: of `PPOSettings`, which says the bound


@dataclass(frozen=True)
class HistoryFigures:
    """A history in numbers; None where no step has the figure."""

    rollouts: int  #: made, one that was taken back included (dpo: updates)
    score_first: float | None  #: mean score of the first rollout
    score_last: float | None  #: of the last rollout that was not taken back
    kl_first: float | None  #: nats a completion from the reference, likewise
    kl_last: float | None
    left_bounds: bool  #: whether the last rollout was taken back


def history_figures(history: History, *, updates: int = 1) -> HistoryFigures:
    """Return the figures of a history with so many entries a rollout."""
    left = bool(history and history[-1].get(LEFT_BOUNDS, 0.0))
    kept = history[:-1] if left and len(history) > 1 else history
    scores, kls = (
        [one[name] for one in kept if name in one] for name in ("objective/scores", "objective/kl")
    )
    return HistoryFigures(
        rollouts=-(-len(history) // updates),
        score_first=scores[0] if scores else None,
        score_last=scores[-1] if scores else None,
        kl_first=kls[0] if kls else None,
        kl_last=kls[-1] if kls else None,
        left_bounds=left,
    )


def updates_a_rollout(optimizer: str, settings: OptimizerSettings) -> int:
    """Return how many entries of an optimizer's history belong to one rollout.

    PPO has one entry a rollout, and dpo, which samples nothing, one an update.
    """
    return settings.updates if optimizer in ("rloo", "grpo") else 1


def left_bounds(
    first: Mapping[str, float], now: Mapping[str, float], settings: PPOSettings
) -> list[LeftBound]:
    """Return the bounds that a rollout left, given the metrics of the first one and its own."""
    kl, entropy = now["objective/kl"], now["policy/entropy_avg"]
    rise, at_first = kl - first["objective/kl"], first["policy/entropy_avg"]
    found = []
    if kl > settings.max_kl:
        meaning = "nats a completion from the reference"
        found.append(LeftBound("ppo_kl", kl, "at most", settings.max_kl, meaning, "max_kl"))
    if rise > settings.max_kl_rise:
        meaning = "nats a completion by which training moved the policy"
        found.append(
            LeftBound("ppo_kl_rise", rise, "at most", settings.max_kl_rise, meaning, "max_kl_rise")
        )
    if entropy < settings.min_entropy * at_first:
        meaning = "entropy over that of the first rollout"
        share = entropy / at_first
        found.append(
            LeftBound(
                "ppo_entropy", share, "at least", settings.min_entropy, meaning, "min_entropy"
            )
        )
    return found
