"""Fit linear heads on text rankings: how much regularisation, by cross-validation over prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from reward.feature_space import EMBEDDINGS, FeatureSpace
from reward.pairwise_logistic import fit_pairwise, pairwise_loss
from reward.text_rankings import Comparisons
from storage.errors import BadInput


@dataclass(frozen=True)
class FeatureSettings:
    """Say how the feature-based reward model is fitted."""

    plain: bool = True  #: use the plain numbers of a text, such as its length
    embeddings: tuple[str, ...] = ("completion",)  #: completion, product, difference, joint
    scales: tuple[float, ...] = (0.0, 1.0, 3.0)  #: weights of an embedding to choose from
    penalties: tuple[float, ...] = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0)  #: ridge, to choose from
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
        for name, least in (("components", 1), ("heads", 1), ("folds", 2)):
            if getattr(self, name) < least:
                raise BadInput(f"Setting training.features.{name} must be at least {least}.")
        if not self.scales or min(self.scales) < 0:
            raise BadInput("Setting training.features.scales must hold numbers of 0 or more.")
        if not self.penalties or min(self.penalties) <= 0:
            raise BadInput("Setting training.features.penalties must hold numbers above 0.")


@dataclass(frozen=True)
class Choice:
    """What cross-validation chose, and its loss on prompts left out, in nats a pair."""

    scale: float
    penalty: float
    loss: float


def choose(
    raw: numpy.ndarray,
    rankings: numpy.ndarray,
    comparisons: Comparisons,
    settings: FeatureSettings,
    *,
    width: int,
) -> tuple[Choice, FeatureSpace]:
    """Return the best scale and penalty, and the space that the scale makes.

    Each prompt's pairs are judged by fits that saw none of it; its fold is its place in order.
    """
    found: list[tuple[Choice, FeatureSpace]] = []
    # Without embeddings every scale makes the same space.
    scales = settings.scales if raw.shape[1] > 0 and settings.embeddings else (0.0,)
    for scale in scales:
        space = FeatureSpace.of(
            raw,
            rankings,
            plain=settings.plain,
            width=width,
            scale=scale,
            components=settings.components,
        )
        differences = comparisons.differences(space.transform(raw))
        losses = _losses_left_out(differences, comparisons, settings)
        for penalty, loss in zip(_descending(settings), losses, strict=True):
            found.append((Choice(scale, penalty, loss), space))
    return min(found, key=lambda one: one[0].loss)


def fit_heads(
    differences: numpy.ndarray,
    comparisons: Comparisons,
    penalty: float,
    *,
    heads: int,
    seed: int,
) -> numpy.ndarray:
    """Return linear heads (H, R), each fitted to its own bootstrap of the prompts; one to all."""
    whole = fit_pairwise(differences, comparisons.weights, penalty)
    if heads == 1:
        return whole[None]
    groups, of = numpy.unique(comparisons.groups, return_inverse=True)
    # Poisson with mean 1 is the limit of drawing n of n (Oza and Russell 2001).
    drawn = numpy.random.default_rng(seed).poisson(1.0, size=(heads, len(groups)))
    fitted = []
    for counts in drawn:
        weights = comparisons.weights * counts[of]
        fitted.append(fit_pairwise(differences, weights, penalty, whole))
    return numpy.stack(fitted)


def _losses_left_out(
    differences: numpy.ndarray, comparisons: Comparisons, settings: FeatureSettings
) -> list[float]:
    """Return, for each penalty from large to small, the mean loss of pairs left out of the fit."""
    groups, of = numpy.unique(comparisons.groups, return_inverse=True)
    folds = min(settings.folds, len(groups))
    if folds < 2:
        return [0.0] + [numpy.inf] * (len(settings.penalties) - 1)
    total = numpy.zeros(len(settings.penalties))
    for fold in range(folds):
        left_out = of % folds == fold
        kept, test = comparisons.weights[~left_out], comparisons.weights[left_out]
        head = None
        for index, penalty in enumerate(_descending(settings)):
            head = fit_pairwise(differences[~left_out], kept, penalty, head)
            total[index] += pairwise_loss(differences[left_out], test, head, 0.0)
    return [float(loss) for loss in total / comparisons.weights.sum()]


def _descending(settings: FeatureSettings) -> Sequence[float]:
    return sorted(settings.penalties, reverse=True)
