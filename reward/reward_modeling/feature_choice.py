"""Fit linear heads on text rankings: how much regularisation, by cross-validation over prompts."""

import math
from dataclasses import dataclass

import numpy

from reward.reward_modeling.feature_space import EMBEDDINGS, FeatureSpace
from reward.reward_modeling.pairwise_logistic import fit_pairwise, pairwise_loss
from reward.reward_modeling.text_rankings import Comparisons
from reward.training.setting_bounds import at_least, finite
from storage.errors import BadInput


@dataclass(frozen=True)
class FeatureSettings:
    """Say how the feature-based reward model is fitted."""

    plain: bool = True  #: use the plain numbers of a text, such as its length
    embeddings: tuple[str, ...] = ("completion",)  #: completion, product, difference, joint
    scales: tuple[float, ...] = (0.0, 1.0, 3.0)  #: weights of an embedding to choose from
    penalties: tuple[float, ...] = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3)  #: ridge, likewise
    flips: tuple[float, ...] = (0.0, 0.1, 0.2)  #: shares of labels taken to be wrong, likewise
    components: int = 128  #: directions of the features that are kept
    folds: int = 5  #: parts of the training prompts in the choice of scale and penalty
    heads: int = 8  #: linear models, each on a bootstrap of the prompts
    conservatism: float = 0.25  #: a score is the heads' mean less so many of their deviations

    def __post_init__(self) -> None:
        """Raise `BadInput` naming a setting that has no such value."""
        unknown = set(self.embeddings) - set(EMBEDDINGS)
        if unknown:
            raise BadInput(
                f"Setting training.features.embeddings has {min(unknown)!r}, but there are only "
                f"{', '.join(EMBEDDINGS)}."
            )
        at_least("features", self, 1, "components", "heads")
        at_least("features", self, 2, "folds")
        finite("features", self, 0, "conservatism")
        if not self.scales or not all(0 <= one < math.inf for one in self.scales):
            raise BadInput("Setting training.features.scales must hold numbers of 0 or more.")
        if not self.penalties or not all(0 < one < math.inf for one in self.penalties):
            raise BadInput("Setting training.features.penalties must hold numbers above 0.")
        if not self.flips or not all(0 <= one < 0.5 for one in self.flips):
            raise BadInput("Setting training.features.flips must hold numbers from 0 to below 0.5.")

    @property
    def reads_embeddings(self) -> bool:
        """Say whether a sentence encoder is wanted."""
        return bool(self.embeddings) and max(self.scales) > 0


@dataclass(frozen=True)
class Choice:
    """What cross-validation chose, and its loss on prompts left out, in nats a pair."""

    scale: float
    penalty: float
    flips: float
    loss: float


def choose(
    raw: numpy.ndarray,
    rankings: numpy.ndarray,
    comparisons: Comparisons,
    settings: FeatureSettings,
    *,
    width: int,
) -> tuple[Choice, FeatureSpace]:
    """Return the best scale, penalty and share of wrong labels, and the space of that scale.

    Each prompt's pairs are judged by fits that saw none of it; its fold is its place in order. The
    scale is chosen with the first share; then the shares are tried with that scale.
    """
    found: list[tuple[Choice, FeatureSpace]] = []
    # Without embeddings every scale makes the same space.
    for scale in settings.scales if settings.embeddings else (0.0,):
        space = FeatureSpace.of(
            raw,
            rankings,
            plain=settings.plain,
            width=width,
            scale=scale,
            components=settings.components,
        )
        differences = comparisons.differences(space.transform(raw))
        found.append((_best(differences, comparisons, settings, scale, settings.flips[0]), space))
    best, space = min(found, key=lambda one: one[0].loss)
    differences = comparisons.differences(space.transform(raw))
    others = [
        _best(differences, comparisons, settings, best.scale, flips) for flips in settings.flips[1:]
    ]
    return min([best, *others], key=lambda one: one.loss), space


def fit_heads(
    differences: numpy.ndarray,
    comparisons: Comparisons,
    choice: Choice,
    *,
    heads: int,
    seed: int,
) -> numpy.ndarray:
    """Return linear heads (H, R), each fitted to its own bootstrap of the prompts; one to all.

    A head whose bootstrap drew nothing is fitted to all, too.
    """

    def fit(weights: numpy.ndarray, start: numpy.ndarray | None) -> numpy.ndarray:
        return fit_pairwise(differences, weights, choice.penalty, flips=choice.flips, start=start)

    whole = fit(comparisons.weights, None)
    if heads == 1:
        return whole[None]
    groups, of = numpy.unique(comparisons.groups, return_inverse=True)
    # Poisson with mean 1 is the limit of drawing n of n (Oza and Russell 2001).
    drawn = numpy.random.default_rng(seed).poisson(1.0, size=(heads, len(groups)))
    drawn[drawn.sum(axis=1) == 0] = 1
    return numpy.stack([fit(comparisons.weights * counts[of], whole) for counts in drawn])


def _best(
    differences: numpy.ndarray,
    comparisons: Comparisons,
    settings: FeatureSettings,
    scale: float,
    flips: float,
) -> Choice:
    """Return the penalty with the least loss of pairs left out of the fit."""
    penalties = sorted(settings.penalties, reverse=True)
    groups, of = numpy.unique(comparisons.groups, return_inverse=True)
    folds = min(settings.folds, len(groups))
    if folds < 2:
        return Choice(scale, penalties[0], flips, numpy.inf)
    total = numpy.zeros(len(penalties))
    for fold in range(folds):
        left_out = of % folds == fold
        kept, test = comparisons.weights[~left_out], comparisons.weights[left_out]
        head = None
        for index, penalty in enumerate(penalties):
            head = fit_pairwise(differences[~left_out], kept, penalty, flips=flips, start=head)
            total[index] += pairwise_loss(differences[left_out], test, head, 0.0, flips=flips)
    least = int(total.argmin())
    return Choice(scale, penalties[least], flips, float(total[least] / comparisons.weights.sum()))
