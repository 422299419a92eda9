"""Models that judge ready tasks ahead of people: the reward model, and language models as judges.

Every model says how far apart it holds each pair of a task's completions. How often people agree at
such a distance is learned from pairs that people judged and the model did not learn from, and where
its least sure pair is sure enough, the task is taken
(`labeling/model_annotators/model_judgments.py`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import numpy
import torch

from labeling.judging.rankings import dense_ranks, pairs_of
from labeling.labeling_sections import ModelAnnotatorSettings
from labeling.model_annotators.model_judgments import ModelLabel, TaskToJudge
from reward.evaluating.perplexity import answer_log_probs
from reward.language_models.padding import answered_batch
from reward.policy_optimization.live_reward import LiveReward, answered_example
from reward.reward_modeling.pair_calibration import (
    PairCalibration,
    calibrate_bins,
    calibrate_margins,
)
from reward.reward_modeling.pairwise_logistic import agreement_margin
from reward.running.runtime import Runtime

SAME = 1e-9  # totals that differ by less are tied


class ModelAnnotator(Protocol):
    """Anything that judges tasks under an account of its own."""

    @property
    def name(self) -> str:
        """Return the name of its account."""
        ...

    @property
    def since(self) -> datetime | None:
        """Return when it became what it is now; None where it never changes."""
        ...

    def margins(self, task: TaskToJudge) -> numpy.ndarray | None:
        """Return how much better each completion is than each other (K, K); None: unreadable.

        Raises `Unavailable` where it cannot judge now.
        """
        ...


def label_of(margins: numpy.ndarray, calibration: PairCalibration | None) -> ModelLabel:
    """Return the ranks by each completion's total margin, and the probability of the least sure
    pair.

    A tied pair, and every pair without a calibration, is a coin: ½.
    """
    totals = margins.sum(axis=1)
    best_first = sorted(totals, reverse=True)
    places = [sum(one - total > SAME for one in best_first) + 1 for total in totals]
    ranks = dense_ranks(places)
    pairs = pairs_of(ranks)
    if calibration is None or len(pairs) < len(ranks) * (len(ranks) - 1) // 2:
        return ModelLabel(ranks, 0.5)
    sure = [calibration.probability(float(margins[better, worse])) for better, worse in pairs]
    return ModelLabel(ranks, min(sure))


def calibrate_on_people(
    annotator: ModelAnnotator, judged: Sequence[tuple[TaskToJudge, list[list[int]]]]
) -> PairCalibration | None:
    """Learn how often people agree with a model that did not learn from them.

    `judged` holds tasks and the ranks that each person gave. None where no pair can be compared.
    Raises `Unavailable` where the model cannot judge now.
    """
    found: list[float] = []
    for task, rankings in judged:
        margins = annotator.margins(task)
        if margins is not None:
            for ranks in rankings:
                found += [float(margins[better, worse]) for better, worse in pairs_of(ranks)]
    return calibrate_margins(found)


class RewardModelAnnotator:
    """The newest published reward model, calibrated on the folds that it was not fitted to."""

    name = "reward model"

    def __init__(self, runtime: Runtime, live: LiveReward) -> None:
        """Keep the model."""
        self.runtime = runtime
        self.live = live
        self.calibration = calibrate_bins(live.reliability)

    @property
    def since(self) -> datetime:
        """Return when its round was published."""
        return self.live.finished_at

    def margins(self, task: TaskToJudge) -> numpy.ndarray | None:
        """Return Δr (K, K) in nats, such that σ(Δr) is the share of people expected to agree."""
        raw = self.live.raw_scores(
            self.runtime, task.messages, task.completions, task.finish_reasons
        )
        if raw is None:
            return None
        scores = raw.double().mean(0).numpy()
        return agreement_margin(_differences(scores), self.live.flips)


class LikelihoodJudge:
    """The frozen backbone: a completion is as good as it is likely after an instruction.

    GPTScore (Fu et al. 2023, §3.1, eq. 1) with equal weights: the mean log-probability of the
    completion's tokens. Each completion is scored by itself, so that their order cannot matter.
    """

    name = "likelihood judge"
    since = None

    def __init__(self, runtime: Runtime, settings: ModelAnnotatorSettings) -> None:
        """Keep the instruction, which stands in place of the project's system prompt."""
        self.runtime = runtime
        self.settings = settings

    @torch.no_grad()
    def margins(self, task: TaskToJudge) -> numpy.ndarray | None:
        """Return differences (K, K) of mean log-probabilities, in nats a token."""
        example = answered_example(
            self.runtime,
            task.messages,
            task.completions,
            task.finish_reasons,
            system_prompt=self.settings.judge_instruction,
        )
        if example is None:
            return None
        backbone = self.runtime.backbone
        means = []
        for answer in example.answers:
            batch = answered_batch([example.prompt], [answer], backbone.device)
            trunk = backbone.trunk(batch.ids)
            means.append(float(answer_log_probs(backbone, None, trunk, batch, 1.0).mean()))
        return _differences(numpy.array(means))


def _differences(scores: numpy.ndarray) -> numpy.ndarray:
    found: numpy.ndarray = scores[:, None] - scores[None, :]
    return found
