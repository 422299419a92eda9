"""From rankings to a reward model that is measured, normalised, and has a second opinion beside it.

Needs no database: the round's step and `rankloop train reward` both call `fit_reward`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from labeling.model_annotators.out_of_fold import UnseenPair
from reward.generation.sampling import SamplingSettings, sample
from reward.language_models.backbone import Backbone
from reward.policy_optimization.reward_scorer import RewardScorer
from reward.reward_modeling.calibration import order_probability
from reward.reward_modeling.cross_fitting import cross_fit, folds
from reward.reward_modeling.ranked_examples import CachedExample, RankedExample
from reward.reward_modeling.reward_model import (
    RewardModel,
    cache_examples,
    head_scores,
    pair_margins,
)
from reward.reward_modeling.reward_report import RewardReport
from reward.reward_modeling.reward_settings import RewardSettings
from reward.reward_modeling.reward_training import (
    RECENT,
    FitProgress,
    check_examples,
    planned_steps,
    teaches,
    train_reward_model,
)
from reward.training.processes import Processes
from reward.training.progress_checkpoint import ProgressPlace

if TYPE_CHECKING:
    from reward.reward_modeling.feature_choice import FeatureSettings

Report = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True)
class FittedReward:
    """A reward model, a second opinion, what is known of the first, and its loss in training."""

    model: RewardScorer
    second: RewardScorer
    report: RewardReport
    loss: float
    unseen: list[UnseenPair] = field(default_factory=list)  #: pairs of judgments, out of fold


def fit_reward(
    backbone: Backbone,
    train: Sequence[RankedExample],
    heldout: Sequence[RankedExample],
    settings: RewardSettings,
    *,
    seed: int,
    normalise_on: Sequence[RankedExample] = (),
    report: Report = lambda step, steps, metrics: None,
    working: Callable[[str], None] = lambda words: None,
    progress: ProgressPlace | None = None,
    processes: Processes | None = None,
    features: "FeatureSettings | None" = None,
) -> FittedReward:
    """Fit, measure and normalise a reward model and its second opinion.

    Args:
        backbone: what carries the adapters `reward` and `second_reward`; `backbone.seed` decides
            what they start from.
        train: rankings to fit; their accuracy is cross-fitted by `group`.
        heldout: rankings that are only tested on, and may be none.
        settings: sizes; with `tuning = "feature"` the backbone is not read at all, with "head" it
            stays as it is.
        seed: of the order, the bootstraps and the intervals.
        normalise_on: completions whose scores are to have mean 0 and standard deviation 1, see
            `reference_samples`; none: those of `train`.
        report: hears (step, steps, metrics) over all fits together.
        working: hears in words what goes on.
        progress: where the fits keep their progress, so that they can be cut off.
        processes: who shares the work.
        features: sizes of the feature-based model.

    Raises `BadInput` where nothing can be learned or tested, or the loss is not finite, and
    `Unavailable` where a single ranking does not fit into memory.
    """
    check_examples(train, settings)
    if settings.tuning == "feature":
        from reward.reward_modeling.feature_fitting import FeatureSettings, fit_features

        return fit_features(
            backbone.tokenizer,
            train,
            heldout,
            settings,
            features or FeatureSettings(),
            seed=seed,
            normalise_on=normalise_on,
            working=working,
        )
    total = len(train) + len(heldout)

    def read(already: int) -> Callable[[int], None]:
        return lambda done: working(f"reading rankings, {already + done} of {total}")

    cached = cache_examples(backbone, train, settings, _tenths(read(0)))
    unseen = cache_examples(backbone, heldout, settings, _tenths(read(len(train))))
    fitter = BackboneFitter(backbone, cached, settings, report, progress, processes)
    fitted = cross_fit(fitter, cached, unseen, settings, seed=seed)
    working("normalising the scores")
    reference = cache_examples(backbone, normalise_on, settings) if normalise_on else cached
    for model in (fitted.model, fitted.second):
        model.normalise(torch.cat(head_scores(model, reference), dim=1))
    pairs = unseen_pairs((one.example, margins) for one, margins in fitted.unseen)
    return FittedReward(fitted.model, fitted.second, fitted.report, fitter.last_loss, pairs)


def unseen_pairs(tested: Iterable[tuple[RankedExample, list[float]]]) -> list[UnseenPair]:
    """Return the pairs of those rankings that are judgments; margins are Δr in nats.

    The probability is σ(Δr), the Bradley-Terry model that the loss fits (Ouyang et al. 2022, §3.5).
    """
    return [
        UnseenPair(one.judgment_id, better, worse, order_probability(margin))
        for one, margins in tested
        if one.judgment_id
        for (better, worse), margin in zip(one.pairs, margins, strict=True)
    ]


def reference_samples(
    backbone: Backbone,
    reference: str | None,
    prompts: Sequence[list[int]],
    sampling: SamplingSettings,
    *,
    seed: int,
    batch_size: int,
) -> list[RankedExample]:
    """Return one completion of each prompt by the reference policy, each alone in its ranking."""
    drawn = sample(backbone, reference, prompts, sampling, seed=seed, batch_size=batch_size)
    return [
        RankedExample(prompt, [one.ids], [1], group)
        for group, (prompt, one) in enumerate(zip(prompts, drawn, strict=True))
    ]


class BackboneFitter:
    """Fits adapters of one backbone, counted together so that one progress bar covers them."""

    def __init__(
        self,
        backbone: Backbone,
        train: Sequence[CachedExample],
        settings: RewardSettings,
        report: Report,
        progress: ProgressPlace | None = None,
        processes: Processes | None = None,
    ) -> None:
        """Count the steps of every fit that `cross_fit` makes of `train`."""
        self.backbone = backbone
        self.settings = settings
        self.report = report
        self.progress = progress
        self.processes = processes
        parts = [fitted for fitted, _ in folds(train, settings)] or [list(train)]
        self.steps = sum(self._planned(examples) for examples in [*parts, train])
        self.done = 0
        self.last_loss = math.nan

    def _planned(self, examples: Sequence[CachedExample]) -> int:
        return planned_steps(
            sum(teaches(one.example, self.settings) for one in examples), self.settings
        )

    def fit(self, examples: Sequence[CachedExample], *, name: str, seed: int) -> RewardModel:
        """Train one reward model on an adapter of its own, and report its loss as it falls."""
        # The folds after the first are asked once and not kept: they share an adapter.
        adapter = name if name in ("reward", "second_reward") else "reward_fold"
        model = RewardModel.fresh(self.backbone, self.settings, adapter)
        recent: list[Mapping[str, float]] = []
        is_used = name == "reward"

        def on_step(step: int, steps: int, metrics: Mapping[str, float]) -> None:
            recent.append(metrics)
            if len(recent) == RECENT or step == steps:
                means = _means(recent)
                loss = {"loss/reward" if is_used else "loss/reward_fold": means.pop("loss")}
                self.report(self.done + step, self.steps, loss | (means if is_used else {}))
                recent.clear()

        self.last_loss = train_reward_model(
            model,
            examples,
            self.settings,
            seed=seed,
            on_step=on_step,
            progress=self._progress(name),
            processes=self.processes,
        )
        self.done += self._planned(examples)
        return model

    def _progress(self, name: str) -> FitProgress | None:
        if self.progress is None:
            return None
        return FitProgress(self.progress.home, self.progress.uri, name)

    def margins(self, model: RewardModel, examples: Sequence[CachedExample]) -> list[list[float]]:
        """Return Δr, in nats, of every pair of each ranking that has pairs."""
        return pair_margins(model, examples)


def _means(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over the steps that have it."""
    names = dict.fromkeys(name for one in steps for name in one)
    found = {name: [one[name] for one in steps if name in one] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}


def _tenths(say: Callable[[int], None]) -> Callable[[int], None]:
    def every_tenth(done: int) -> None:
        if done % 10 == 0:
            say(done)

    return every_tenth
