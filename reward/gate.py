"""The gate: what a candidate policy must show before people rank its completions."""

from dataclasses import asdict, dataclass
from typing import Any

from reward.evaluation import PolicyComparison
from reward.intervals import Interval


@dataclass(frozen=True)
class GateSettings:
    """Say what a reward model and a candidate policy must reach."""

    min_pairs: int = 30  #: comparisons below which a reward model cannot be told from chance
    min_accuracy: float = 0.5  #: the lower bound of the held-out pair accuracy must be above it
    min_win_rate: float = 0.5  #: the lower bound of the win rate over the live policy, likewise
    max_kl: float = 40.0  #: nats a completion, from the reference
    min_length_ratio: float = 0.1  #: candidate's mean tokens over the live policy's, at least
    max_length_ratio: float = 3.0  #: and at most
    max_identical: float = 0.5  #: share of held-out prompts that may get one and the same answer


@dataclass(frozen=True)
class GateCheck:
    """One condition: its figure, its bound, and whether it holds."""

    name: str
    figure: float
    bound: float
    passed: bool
    meaning: str

    def as_dict(self) -> dict[str, Any]:
        """Return the check as JSON for the round."""
        return asdict(self)


def check_reward_model(accuracy: Interval, settings: GateSettings) -> list[GateCheck]:
    """Check that the reward model orders unseen pairs better than a coin."""
    return [
        GateCheck(
            "reward_pairs",
            accuracy.values,
            settings.min_pairs,
            accuracy.values >= settings.min_pairs,
            "comparisons that the reward model was tested on",
        ),
        GateCheck(
            "reward_accuracy",
            accuracy.low,
            settings.min_accuracy,
            accuracy.low > settings.min_accuracy,
            "lower bound of the reward model's accuracy on unseen comparisons",
        ),
    ]


def check_policy(comparison: PolicyComparison, settings: GateSettings) -> list[GateCheck]:
    """Check that the candidate wins without having drifted or collapsed."""
    ratio = comparison.candidate.tokens / max(comparison.live.tokens, 1e-9)
    win, candidate = comparison.win_rate, comparison.candidate
    return [
        GateCheck(
            "win_rate",
            win.low,
            settings.min_win_rate,
            win.low > settings.min_win_rate,
            "lower bound of the win rate over the live policy, by the reward model",
        ),
        GateCheck(
            "kl",
            candidate.kl,
            settings.max_kl,
            candidate.kl <= settings.max_kl,
            "nats a completion from the reference",
        ),
        GateCheck(
            "length_ratio_low",
            ratio,
            settings.min_length_ratio,
            ratio >= settings.min_length_ratio,
            "mean tokens over the live policy's (too short)",
        ),
        GateCheck(
            "length_ratio_high",
            ratio,
            settings.max_length_ratio,
            ratio <= settings.max_length_ratio,
            "mean tokens over the live policy's (too long)",
        ),
        GateCheck(
            "identical",
            candidate.identical,
            settings.max_identical,
            candidate.identical <= settings.max_identical,
            "share of prompts that get the most common answer",
        ),
    ]


def refusal(checks: list[GateCheck]) -> str:
    """Return why the gate stays shut, in a sentence; empty where every check passed."""
    failed = [check for check in checks if not check.passed]
    if not failed:
        return ""
    parts = [f"{c.meaning} is {c.figure:.3g}, wanted {_wanted(c)}" for c in failed]
    return "Not published: " + "; ".join(parts) + "."


def _wanted(check: GateCheck) -> str:
    if check.name in ("kl", "length_ratio_high", "identical"):
        return f"at most {check.bound:g}"
    if check.name in ("win_rate", "reward_accuracy"):
        return f"above {check.bound:g}"
    return f"at least {check.bound:g}"
