"""How often each rater is right about a pair, judged by what all of a task's raters say."""

from dataclasses import dataclass

import numpy as np

from labeling.reliability_models.dawid_skene import DawidSkene, dawid_skene
from labeling.reliability_models.rankings import OUTCOMES, TURNED, RankingBlock, Rankings
from labeling.reliability_models.votes import Votes


@dataclass(frozen=True)
class RaterEvidence:
    """Hold what is known of R raters from the tasks that they share with others.

    `right` (R,) of `comparisons` (R,) were right. A ranking of K completions has K(K-1)/2 pairs but
    only K-1 comparisons, which the other pairs mostly follow from: its pairs count 2/K each.
    """

    raters: np.ndarray
    right: np.ndarray
    comparisons: np.ndarray

    def ability(self, *, prior_right: float, prior_wrong: float) -> np.ndarray:
        """Return (R,) the posterior mean of each rater's share of right comparisons.

        The prior is Beta(prior_right, prior_wrong): that many comparisons are credited to each.
        """
        return (self.right + prior_right) / (self.comparisons + prior_right + prior_wrong)


def pair_votes(rankings: Rankings) -> Votes:
    """Return every ranking's pairs as votes with the labels of `OUTCOMES`.

    Units are numbered block by block, then task by task, then pair by pair.
    """
    units, raters, labels, weights, first = [], [], [], [], 0
    for block in rankings.blocks:
        pairs = len(block.pairs[0])
        unit = first + block.task.astype(np.int32)[:, None] * pairs
        units.append((unit + np.arange(pairs, dtype=np.int32)).ravel())
        raters.append(np.repeat(block.rater.astype(np.int32), pairs))
        labels.append(1 - block.outcomes.ravel())
        weights.append(np.repeat(block.weight, pairs))
        first += len(block.tasks) * pairs
    # Codes as they are: sorting millions of votes would take longer than fitting them.
    return Votes(
        unit=_joined(units),
        rater=_joined(raters),
        label=_joined(labels),
        count=_joined(weights),
        units=np.arange(first),
        raters=rankings.raters,
        labels=np.array(OUTCOMES),
    )


def fit_pairs(rankings: Rankings, *, prior_right: float, prior_wrong: float) -> DawidSkene:
    """Fit Dawid and Skene's model to the outcomes of all pairs, alike for either order of a pair.

    Every rater is credited with `prior_right` right pairs of each true outcome, and with
    `prior_wrong` spread over the other outcomes. The posterior's rows are as in `pair_votes`.
    """
    classes = len(OUTCOMES)
    prior = np.full((classes, classes), prior_wrong / (classes - 1))
    np.fill_diagonal(prior, prior_right)
    return dawid_skene(pair_votes(rankings), mirror=TURNED, prior=prior, accelerated=True)


def rater_evidence(rankings: Rankings, *, prior_right: float, prior_wrong: float) -> RaterEvidence:
    """Count for each rater the comparisons that are right, as the fitted truth has it.

    A pair that the rater ordered is right with the probability of that order, plus half of that of
    a tie; a pair that the rater tied says nothing of whom to believe. Tasks that only one rater
    judged are left out: there is nobody to contradict them.
    """
    shared = Rankings(tuple(_shared(rankings)), rankings.raters)
    right, comparisons = np.zeros(len(rankings.raters)), np.zeros(len(rankings.raters))
    if not shared.blocks:
        return RaterEvidence(rankings.raters, right, comparisons)
    posterior = fit_pairs(shared, prior_right=prior_right, prior_wrong=prior_wrong).posterior
    first = 0
    for block in shared.blocks:
        pairs = len(block.pairs[0])
        units = first + block.task[:, None] * pairs + np.arange(pairs)
        first += len(block.tasks) * pairs
        better = posterior[units, 0] + posterior[units, 1] / 2
        chance = np.where(block.outcomes > 0, better, 1 - better)
        counts = (block.outcomes != 0) * block.weight[:, None] * 2 / block.k
        for found, values in ((right, chance * counts), (comparisons, counts)):
            found += np.bincount(block.rater, weights=values.sum(axis=1), minlength=len(found))
    return RaterEvidence(rankings.raters, right, comparisons)


def _shared(rankings: Rankings) -> list[RankingBlock]:
    found = []
    for block in rankings.blocks:
        key = np.unique(block.task * len(rankings.raters) + block.rater)
        several = np.bincount(key // len(rankings.raters), minlength=len(block.tasks)) > 1
        if several.any():
            found.append(block.of_tasks(several))
    return found


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
