"""What a policy's completions of held-out prompts look like, in figures with intervals."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from reward.evaluating.intervals import Interval, bootstrap_mean, bootstrap_share
from reward.evaluating.perplexity import answer_log_probs
from reward.evaluating.reference_metrics import Overlap, overlap
from reward.evaluating.text_metrics import distinct, identical_share, loops, refuses
from reward.generation.conversations import answer_text
from reward.generation.generator import BackboneGenerator, Generator
from reward.generation.sampling import Sample, SamplingSettings
from reward.language_models.backbone import Backbone
from reward.language_models.padding import AnsweredBatch, answered_batch
from reward.policy_optimization.kl import kl_estimate
from reward.training.out_of_memory import Halving
from reward.training.setting_bounds import at_least, within

Item = TypeVar("Item")
GeneratorOf = Callable[[str | None], AbstractContextManager[Generator]]

# Who judges completions; their win rates and mean scores stand side by side.
REWARD_MODEL = "reward_model"
SECOND_REWARD_MODEL = "second_reward_model"


class Scorer(Protocol):
    """Whatever gives each answer of a batch a score: a reward model of any kind."""

    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        """Return the scores (B,) of a batch's answers."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Say how much is sampled to compare policies, and what is looked at."""

    prompts: int = 64  #: held-out prompts, at most
    samples: int = 2  #: completions of each policy for each prompt
    baseline_prompts: int = 16  #: prompts that the first policy and the few-shot model answer too
    few_shot: int = 3  #: top-ranked completions that the few-shot model is shown; 0 leaves it out
    heldout_tokens: int = 1500  #: tokens of held-out text for perplexity; 0 leaves it out
    heldout_window: int = 256  #: tokens of it that are read together
    repeated_ngram: int = 4  #: words of the n-grams whose repetition is counted
    repeated_share: float = 0.2  #: a completion loops with more than this share of them repeated
    shown_samples: int = 8  #: prompts whose completions are kept for the Rounds page
    extreme_samples: int = 4  #: best and worst by reward difference that are kept as well
    tasks: tuple[str, ...] = ()  #: of lm-eval, run on the policies that are compared
    task_folder: str = ""  #: YAML tasks of one's own; none: lm-eval's alone
    task_limit: int = 0  #: documents of each task, at most; 0: all
    task_few_shot: int | None = None  #: examples before each document; none: the task's own number
    task_chat: bool = False  #: put documents through the model's chat template
    task_batch: int = 16  #: sequences of a task that are scored together

    def __post_init__(self) -> None:
        """Raise `BadInput` naming a setting that is out of its bounds."""
        at_least("evaluation", self, 1, "prompts", "samples", "repeated_ngram", "task_batch")
        at_least("evaluation", self, 0, "baseline_prompts", "few_shot", "heldout_tokens")
        at_least("evaluation", self, 0, "shown_samples", "extreme_samples", "task_limit")
        at_least("evaluation", self, 2, "heldout_window")
        within("evaluation", self, 0, 1, "repeated_share")
        if self.task_few_shot is not None:
            at_least("evaluation", self, 0, "task_few_shot")


@dataclass(frozen=True)
class PolicyFigures:
    """A policy's figures; `texts[p][s]` and `scores[judge][p][s]` are of prompt p, sample s."""

    texts: list[list[str]]
    scores: Mapping[str, list[list[float]]]
    rewards: Mapping[str, Interval]  #: mean score, by judge
    kl: Interval | None  #: nats a completion to the reference, by k1: log π − log π_ref
    kl_k3: Interval | None  #: the same by k3, which is never negative and varies less
    tokens: Interval  #: a completion
    ended: Interval  #: share that ended by themselves
    repetition: Interval  #: share that loops
    refusals: Interval  #: share that opens like a refusal
    distinct: tuple[float, float, float]  #: distinct-1, -2 and -3
    identical: float  #: share of prompts whose first answer is the most common one
    overlap: Overlap | None  #: with demonstrations, where there are any

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON, without texts; an interval is `{value, low, high}`."""
        figures: dict[str, Any] = {
            "prompts": len(self.texts),
            "samples": len(self.texts[0]),
            **{f"score_by_{judge}": interval(found) for judge, found in self.rewards.items()},
        }
        for name in ("kl", "kl_k3", "tokens", "ended", "repetition", "refusals"):
            if (found := getattr(self, name)) is not None:
                figures[name] = interval(found)
        for n, share in enumerate(self.distinct, start=1):
            figures[f"distinct_{n}"] = share
        figures["identical"] = self.identical
        if (like := self.overlap) is not None:
            figures |= {
                "rouge1": interval(like.rouge1),
                "rouge2": interval(like.rouge2),
                "rouge_l": interval(like.rouge_l),
                "bleu": like.bleu,
                "chrf": like.chrf,
            }
        return figures


def interval(found: Interval) -> dict[str, float]:
    """Return an interval as JSON."""
    return {"value": found.value, "low": found.low, "high": found.high}


class Evaluator:
    """Samples policies on one backbone and measures their completions, all in the same way."""

    def __init__(
        self,
        backbone: Backbone,
        scorers: Mapping[str, Scorer],
        sampling: SamplingSettings,
        settings: EvaluationSettings,
        *,
        reference: str | None,
        seed: int,
        batch_size: int,
        generator: GeneratorOf | None = None,
    ) -> None:
        """Keep what all policies are measured with; `reference` is the adapter KL is taken to.

        `generator` opens what samples an adapter; the backbone does, unless it is given.
        """
        self.backbone = backbone
        self.scorers = scorers
        self.sampling = sampling
        self.settings = settings
        self.reference = reference
        self.seed = seed
        self.batch_size = batch_size
        self.generator = generator or self._own_generator

    def sample(
        self, adapter: str | None, prompts: Sequence[list[int]], samples: int
    ) -> list[list[Sample]]:
        """Draw `samples` completions a prompt from a policy."""
        repeated = [prompt for prompt in prompts for _ in range(samples)]
        with self.generator(adapter) as generator:
            drawn = generator.generate(repeated, self.sampling, seed=self.seed)
        return _by_prompt(drawn, samples)

    def _own_generator(self, adapter: str | None) -> AbstractContextManager[Generator]:
        return nullcontext(BackboneGenerator(self.backbone, adapter, self.batch_size))

    def measure(
        self,
        prompts: Sequence[list[int]],
        answers: Sequence[Sequence[Sample]],
        *,
        adapter: str | None,
        kl: bool = True,
        demonstrations: Sequence[Sequence[str]] = (),
    ) -> PolicyFigures:
        """Score and describe the completions `answers[p][s]` of the prompts.

        `adapter` is the policy that they were drawn from. `kl` costs a pass of the reference; it is
        not defined for answers that were drawn under another prompt than the one given.
        """
        each = len(answers[0])
        flat = [one for of_prompt in answers for one in of_prompt]
        texts = [
            answer_text(self.backbone.tokenizer, s.ids, self.backbone.end_tokens) for s in flat
        ]
        repeated = [prompt for prompt in prompts for _ in range(each)]
        scores, k1, k3 = self._score(repeated, flat, adapter if kl else self.reference)
        by_prompt = _by_prompt(texts, each)

        def mean(values: Sequence[float], least: float = -math.inf) -> Interval:
            by_prompt = _by_prompt(list(values), each)
            return bootstrap_mean(by_prompt, seed=self.seed, within=(least, math.inf))

        def share(values: Sequence[bool]) -> Interval:
            return bootstrap_share(_by_prompt([float(one) for one in values], each), seed=self.seed)

        n, most = self.settings.repeated_ngram, self.settings.repeated_share
        return PolicyFigures(
            texts=by_prompt,
            scores={judge: _by_prompt(values, each) for judge, values in scores.items()},
            rewards={judge: mean(values) for judge, values in scores.items()},
            kl=mean(k1) if kl else None,
            kl_k3=mean(k3, 0.0) if kl else None,
            tokens=mean([len(one.ids) for one in flat], 0.0),
            ended=share([one.ended for one in flat]),
            repetition=share([loops(text, n=n, share=most) for text in texts]),
            refusals=share([refuses(text) for text in texts]),
            distinct=(distinct(texts, 1), distinct(texts, 2), distinct(texts, 3)),
            identical=identical_share([found[0] for found in by_prompt]),
            overlap=overlap(by_prompt, demonstrations, seed=self.seed) if demonstrations else None,
        )

    @torch.no_grad()
    def _score(
        self,
        prompts: Sequence[list[int]],
        answers: Sequence[Sample],
        adapter: str | None,
        size: int = 16,
    ) -> tuple[dict[str, list[float]], list[float], list[float]]:
        """Return each answer's score by every judge, and its k1 and k3, in the order given."""
        scores = {judge: [0.0] * len(answers) for judge in self.scorers}
        k1, k3 = [0.0] * len(answers), [0.0] * len(answers)
        # Like lengths together: less is padded.
        order = sorted(range(len(answers)), key=lambda i: len(prompts[i]) + len(answers[i].ids))

        def scored(size: int) -> int:
            rows = order[done : done + size]
            batch = answered_batch(
                [prompts[i] for i in rows], [answers[i].ids for i in rows], self.backbone.device
            )
            trunk = self.backbone.trunk(batch.ids)
            for judge, scorer in self.scorers.items():
                _put(scores[judge], rows, scorer.score(trunk, batch))
            if adapter != self.reference:
                sampled = [answers[i].log_probs for i in rows]
                first, third = self._kl(adapter, trunk, batch, sampled)
                _put(k1, rows, first)
                _put(k3, rows, third)
            return len(rows)

        halving, done = Halving(size, "one completion"), 0
        while done < len(order):
            done += halving.run(scored)
        return scores, k1, k3

    def _kl(
        self,
        adapter: str | None,
        trunk: Tensor,
        batch: AnsweredBatch,
        sampled: Sequence[Sequence[float]],
    ) -> tuple[Tensor, Tensor]:
        """Return k1 and k3 (B,), summed over each answer's tokens, at the sampling temperature.

        The policy's own log-probabilities are those of sampling, which saves its pass, unless they
        are missing, of a nucleus, or of half precision, where a decoding step rounds otherwise
        than the pass that gives the reference's.
        """
        temperature = self.sampling.temperature
        exact = self.backbone.output_weight.dtype == torch.float32
        if exact and self.sampling.top_p >= 1.0 and all(sampled):
            ours = torch.tensor([one for row in sampled for one in row], device=trunk.device)
        else:
            ours = answer_log_probs(self.backbone, adapter, trunk, batch, temperature)
        theirs = answer_log_probs(self.backbone, self.reference, trunk, batch, temperature)
        k1, k3 = kl_estimate(ours, theirs, "k1"), kl_estimate(ours, theirs, "k3")
        return batch.spread(k1).sum(1), batch.spread(k3).sum(1)


def _put(values: list[float], rows: Sequence[int], found: Tensor) -> None:
    for row, value in zip(rows, found.tolist(), strict=True):
        values[row] = float(value)


def _by_prompt(items: Sequence[Item], each: int) -> list[list[Item]]:
    return [list(items[start : start + each]) for start in range(0, len(items), each)]
