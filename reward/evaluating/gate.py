"""The gate: what a candidate policy must show before people rank its completions.

Each check is an alarm with a name, a figure, a bound and a meaning; all stand on the round. What a
round did not measure is said, and does not shut the gate.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from labeling.work_queue.arena import HumanWinRate
from reward.evaluating.evaluation import EvaluationReport
from reward.evaluating.intervals import Interval
from reward.evaluating.policy_figures import SECOND_REWARD_MODEL, PolicyFigures
from reward.training.setting_bounds import at_least, finite, within
from storage.errors import BadInput

EVEN = 0.5  # the win rate of two policies that people like equally
LIVE = "live"  # the name of the policy in force in a round's report

Direction = Literal["at least", "at most", "above"]


@dataclass(frozen=True)
class GateSettings:
    """Say what a reward model and a candidate policy must reach.

    A rate that must be above −1 always is: that leaves its check out. A bound is never infinite,
    or what ran away would pass it.
    """

    min_pairs: int = 30  #: comparisons below which a reward model cannot be told from chance
    min_accuracy: float = 0.5  #: the lower bound of the held-out pair accuracy must be above it
    min_win_rate: float = 0.5  #: the lower bound of the win rate over the live policy, likewise
    min_second_win_rate: float = 0.5  #: the second reward model's win rate itself must be above it
    max_kl: float = 40.0  #: nats a completion, from the reference
    min_length_ratio: float = 0.1  #: candidate's mean tokens over the live policy's, at least
    max_length_ratio: float = 3.0  #: and at most
    max_identical: float = 0.5  #: share of held-out prompts that may get one and the same answer
    min_distinct_ratio: float = 0.5  #: candidate's distinct-2 over the live policy's, at least
    max_repetition_rise: float = 0.1  #: share of completions that loop, above the live policy's
    max_refusal_rise: float = 0.1  #: share of completions that refuse, above the live policy's
    max_perplexity_ratio: float = 1.5  #: perplexity on held-out text over the bare model's

    def __post_init__(self) -> None:
        """Raise `BadInput` naming a setting that is out of its bounds."""
        at_least("gate", self, 0, "min_pairs")
        within("gate", self, -1, 1, "min_accuracy", "min_win_rate", "min_second_win_rate")
        within("gate", self, -1, 1, "max_repetition_rise", "max_refusal_rise")
        within("gate", self, 0, 1, "max_identical")
        finite("gate", self, 0, "max_kl", "max_perplexity_ratio", "min_distinct_ratio")
        finite("gate", self, 0, "min_length_ratio", "max_length_ratio")
        if self.min_length_ratio > self.max_length_ratio:
            raise BadInput(
                f"Setting training.gate.min_length_ratio is {self.min_length_ratio:g} but must be "
                f"at most max_length_ratio, {self.max_length_ratio:g}: no policy would pass."
            )


@dataclass(frozen=True)
class GateCheck:
    """One condition: its figure, its bound, and whether it holds; no figure: not measured."""

    name: str
    figure: float | None
    bound: float
    passed: bool
    meaning: str
    direction: Direction = "at least"
    taken_back: bool = False  #: what failed was undone, so that it does not shut the gate

    def as_dict(self) -> dict[str, Any]:
        """Return the check as JSON for the round; a figure that is not finite has failed as None.

        What was not measured is None, too, and has passed.
        """
        known = self.figure is not None and math.isfinite(self.figure)
        return {**asdict(self), "figure": self.figure if known else None}


def check(
    name: str, figure: float | None, direction: Direction, bound: float, meaning: str
) -> GateCheck:
    """Hold a figure against its bound; what was not measured (None) passes, and NaN never does."""
    passed = (
        figure is None
        or {
            "at least": figure >= bound,
            "at most": figure <= bound,
            "above": figure > bound,
        }[direction]
    )
    return GateCheck(name, figure, bound, passed, meaning, direction)


def check_reward_model(accuracy: Interval, settings: GateSettings) -> list[GateCheck]:
    """Check that the reward model orders unseen pairs better than a coin."""
    return [
        check(
            "reward_pairs",
            accuracy.values,
            "at least",
            settings.min_pairs,
            "comparisons that the reward model was tested on",
        ),
        check(
            "reward_accuracy",
            accuracy.low,
            "above",
            settings.min_accuracy,
            "lower bound of the reward model's accuracy on unseen comparisons",
        ),
    ]


def check_policy(report: EvaluationReport, settings: GateSettings) -> list[GateCheck]:
    """Check that the candidate wins over the live policy without having drifted or collapsed."""
    candidate, live = report.candidate, report.policies[LIVE]
    return [
        *_wins(report, settings),
        *_drift(report, settings),
        *_lengths(candidate, live, settings),
        *_texts(candidate, live, settings),
    ]


def check_people(rate: HumanWinRate | None) -> list[GateCheck]:
    """Check that people do not prefer the policy before the live one (setting arena.gate).

    A round that goes on from a policy that people like less would lead further astray: the check
    fails where the whole interval lies below a half. Without a comparison nothing is measured.
    """
    return [
        check(
            "human_win_rate",
            rate.high if rate else None,
            "at least",
            EVEN,
            "upper bound of how often people prefer the live policy to the one before it",
        )
    ]


def _wins(report: EvaluationReport, settings: GateSettings) -> list[GateCheck]:
    first, second = report.win_rate(LIVE), report.win_rate(LIVE, SECOND_REWARD_MODEL)
    return [
        check(
            "win_rate",
            first.low if first else None,
            "above",
            settings.min_win_rate,
            "lower bound of the win rate over the live policy, by the reward model",
        ),
        # The second model is asked one thing: does it see a gain as well, or did the policy learn
        # what only the first one likes (Gao et al. 2023)? It saw fewer rankings, and the lower
        # bound above has shut out luck: a second one would stop most candidates that are better.
        check(
            "second_win_rate",
            second.value if second else None,
            "above",
            settings.min_second_win_rate,
            "win rate over the live policy, by a second reward model",
        ),
    ]


def _drift(report: EvaluationReport, settings: GateSettings) -> list[GateCheck]:
    kl = report.candidate.kl
    return [
        check(
            "kl",
            kl.value if kl else None,
            "at most",
            settings.max_kl,
            "nats a completion from the reference",
        ),
        check(
            "perplexity_ratio",
            report.perplexity_ratio,
            "at most",
            settings.max_perplexity_ratio,
            "perplexity on held-out text over the untuned model's (alignment tax)",
        ),
    ]


def _lengths(
    candidate: PolicyFigures, live: PolicyFigures, settings: GateSettings
) -> list[GateCheck]:
    ratio = candidate.tokens.value / max(live.tokens.value, 1e-9)
    return [
        check(
            "length_ratio_low",
            ratio,
            "at least",
            settings.min_length_ratio,
            "mean tokens over the live policy's (too short)",
        ),
        check(
            "length_ratio_high",
            ratio,
            "at most",
            settings.max_length_ratio,
            "mean tokens over the live policy's (too long)",
        ),
    ]


def _texts(
    candidate: PolicyFigures, live: PolicyFigures, settings: GateSettings
) -> list[GateCheck]:
    return [
        check(
            "identical",
            candidate.identical,
            "at most",
            settings.max_identical,
            "share of prompts that get the most common answer",
        ),
        check(
            "distinct_ratio",
            candidate.distinct[1] / max(live.distinct[1], 1e-9),
            "at least",
            settings.min_distinct_ratio,
            "variety of word pairs (distinct-2) over the live policy's",
        ),
        check(
            "repetition_rise",
            candidate.repetition.value - live.repetition.value,
            "at most",
            settings.max_repetition_rise,
            "rise in the share of completions that repeat themselves",
        ),
        check(
            "refusal_rise",
            candidate.refusals.value - live.refusals.value,
            "at most",
            settings.max_refusal_rise,
            "rise in the share of completions that refuse to answer",
        ),
    ]


def refusal(checks: list[GateCheck]) -> str:
    """Return why the gate stays shut, in a sentence; empty where every check passed."""
    failed = [one for one in checks if not one.passed and not one.taken_back]
    if not failed:
        return ""
    parts = [f"{c.meaning} is {c.figure:.3g}, wanted {c.direction} {c.bound:g}" for c in failed]
    return "Not published: " + "; ".join(parts) + "."
