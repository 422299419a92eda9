"""Evaluation of a candidate policy on held-out prompts, against the policies it should beat.

A win rate is by a reward model, over all pairs of two policies' completions of one prompt, with a
bootstrap interval over prompts. `evaluate_policies` compares two policies without a database;
`reward/steps/evaluate.py` makes the report of a round.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reward.evaluating.intervals import Interval, bootstrap_share
from reward.evaluating.perplexity import heldout_texts, perplexities, text_windows
from reward.evaluating.policy_figures import (
    REWARD_MODEL,
    SECOND_REWARD_MODEL,
    EvaluationSettings,
    Evaluator,
    GeneratorOf,
    PolicyFigures,
    Scorer,
)
from reward.generation.sampling import SamplingSettings
from reward.language_models.backbone import Backbone

CANDIDATE = "candidate"
AGAINST = "against"
BASE = "base"  # the bare model, before any tuning
REFERENCE = "reference"
FIRST = "first"  # the bare model, where neither side is it
FEW_SHOT = "few_shot"  # the bare model with examples before the prompt


@dataclass(frozen=True)
class Comparison:
    """The candidate's win rate over one policy, by one judge."""

    against: str
    judge: str
    win_rate: Interval

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        found = self.win_rate
        return {
            "against": self.against,
            "judge": self.judge,
            "win_rate": found.value,
            "low": found.low,
            "high": found.high,
            "prompts": found.clusters,
        }


@dataclass(frozen=True)
class EvaluationReport:
    """Every policy's figures, and how often the candidate beats each of the others."""

    policies: Mapping[str, PolicyFigures]  #: the candidate first
    comparisons: Sequence[Comparison] = field(default_factory=list)
    perplexity: Mapping[str, float] = field(default_factory=dict)  #: on the held-out text

    @property
    def candidate(self) -> PolicyFigures:
        """Return the candidate's figures."""
        return self.policies[CANDIDATE]

    @property
    def perplexity_ratio(self) -> float | None:
        """Return the candidate's perplexity over the bare model's; None where not measured."""
        if not self.perplexity:
            return None
        return self.perplexity[CANDIDATE] / self.perplexity[BASE]

    def win_rate(self, against: str, judge: str = REWARD_MODEL) -> Interval | None:
        """Return one win rate, None where it was not measured."""
        for one in self.comparisons:
            if (one.against, one.judge) == (against, judge):
                return one.win_rate
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON: `policies` and `comparisons` are lists of rows."""
        rows = []
        for name, figures in self.policies.items():
            row = {"policy": name, **figures.as_dict()}
            if name in self.perplexity:
                row["perplexity"] = self.perplexity[name]
            rows.append(row)
        return {
            "policies": rows,
            "comparisons": [one.as_dict() for one in self.comparisons],
            "perplexity": dict(self.perplexity),
            "perplexity_ratio": self.perplexity_ratio,
        }


def evaluate_policies(
    backbone: Backbone,
    candidate: str | None,
    against: str | None,
    prompts: Sequence[list[int]],
    *,
    scorer: Scorer | None = None,
    second: Scorer | None = None,
    sampling: SamplingSettings,
    settings: EvaluationSettings,
    seed: int,
    batch_size: int = 96,
    reference: str | None = None,
    demonstrations: Sequence[Sequence[str]] = (),
    few_shot: Sequence[list[int]] = (),
    generator: GeneratorOf | None = None,
    on_policy: Callable[[str], None] = lambda name: None,
) -> EvaluationReport:
    """Compare two policies on prompts, without a database.

    Args:
        backbone: the model; `candidate`, `against` and `reference` are adapters of it, or None for
            the bare model.
        candidate: the policy that is asked about.
        against: the policy that it should beat.
        prompts: token ids of each prompt; the first `settings.prompts` are used.
        scorer: the reward model; without one there are no win rates.
        second: another reward model, fitted on other data.
        sampling: how completions are drawn.
        settings: how many, and what is looked at.
        seed: of sampling and bootstrap.
        batch_size: sequences decoded together.
        reference: what KL is taken to.
        demonstrations: for each prompt, texts to hold the completions against, or nothing at all.
        few_shot: each prompt with examples before it, or nothing at all: the bare model answers the
            first `settings.baseline_prompts` of them, too, and of the prompts as they are, where
            it is neither side.
        generator: opens what samples an adapter; None: the backbone.
        on_policy: hears the name of each before it is sampled.
    """
    judges = {REWARD_MODEL: scorer, SECOND_REWARD_MODEL: second}
    evaluator = Evaluator(
        backbone,
        {name: judge for name, judge in judges.items() if judge is not None},
        sampling,
        settings,
        reference=reference,
        seed=seed,
        batch_size=batch_size,
        generator=generator,
    )
    used = prompts[: settings.prompts]
    measured = {}
    for name, adapter in ((CANDIDATE, candidate), (AGAINST, against)):
        on_policy(name)
        measured[name] = evaluator.measure(
            used,
            evaluator.sample(adapter, used, settings.samples),
            adapter=adapter,
            demonstrations=demonstrations[: settings.prompts],
        )
    baselines = {FEW_SHOT: few_shot}
    if None not in (candidate, against):
        baselines[FIRST] = used
    fewer = min(settings.baseline_prompts, len(used))
    for name, asked in baselines.items():
        if asked and fewer:
            on_policy(name)
            measured[name] = evaluator.measure(
                used[:fewer],
                evaluator.sample(None, asked[:fewer], 1),
                adapter=None,
                kl=False,
                demonstrations=demonstrations[:fewer],
            )
    adapters = {CANDIDATE: candidate, AGAINST: against, BASE: None, REFERENCE: reference}
    adapters |= {FIRST: None} if FIRST in measured else {}
    return report_of(evaluator, measured, adapters)


def report_of(
    evaluator: Evaluator,
    measured: Mapping[str, PolicyFigures],
    adapters: Mapping[str, str | None],
) -> EvaluationReport:
    """Return the report of measured policies, the candidate among them.

    `adapters` are the policies whose perplexity is taken; one of them is the bare model (None).
    """
    comparisons = [
        Comparison(name, judge, win_rate(measured[CANDIDATE], figures, judge, evaluator.seed))
        for name, figures in measured.items()
        for judge in evaluator.scorers
        if name != CANDIDATE
    ]
    return EvaluationReport(measured, comparisons, _perplexity(evaluator, adapters))


def win_rate(candidate: PolicyFigures, other: PolicyFigures, judge: str, seed: int) -> Interval:
    """Return the candidate's win rate by one judge, ties a half, with an interval over prompts.

    Where one of them answered fewer prompts, those are the first of the other's.
    """
    outcomes = [
        [1.0 if a > b else 0.5 if a == b else 0.0 for a in ours for b in theirs]
        for ours, theirs in zip(candidate.scores[judge], other.scores[judge], strict=False)
    ]
    return bootstrap_share(outcomes, seed=seed)


def _perplexity(evaluator: Evaluator, adapters: Mapping[str, str | None]) -> dict[str, float]:
    settings, backbone = evaluator.settings, evaluator.backbone
    if settings.heldout_tokens <= 0:
        return {}
    windows = text_windows(
        backbone.tokenizer,
        heldout_texts(),
        window=min(settings.heldout_window, backbone.context_length),
        tokens=settings.heldout_tokens,
    )
    distinct = list(dict.fromkeys(adapters.values()))
    found = dict(zip(distinct, perplexities(backbone, distinct, windows, size=8), strict=True))
    return {name: found[adapter] for name, adapter in adapters.items()}
