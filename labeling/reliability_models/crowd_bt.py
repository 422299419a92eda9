"""Bradley-Terry with rater ability: what is better, and how often each rater says so rightly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labeling.reliability_models.bradley_terry import order_probability
from labeling.reliability_models.rankings import RankingBlock

_MOST_SURE = 1e-6


@dataclass(frozen=True)
class Comparisons:
    """Hold votes (V,) on pairs of K items, in U separate tasks.

    `pair` is a position among the U·P pairs of the tasks, P = K(K-1)/2, as `np.triu_indices` has
    them; `rater` a code; `sign` is 1 where the vote is for the lower item and -1 for the higher;
    `weight` how much it counts. A tie is two votes of half weight.
    """

    tasks: int
    k: int
    pair: np.ndarray
    rater: np.ndarray
    sign: np.ndarray
    weight: np.ndarray

    @classmethod
    def of_block(cls, block: RankingBlock) -> "Comparisons":
        """Return every pair of every ranking."""
        pairs = len(block.pairs[0])
        pair = (block.task[:, None] * pairs + np.arange(pairs)).ravel()
        sign, rater = block.outcomes.ravel(), np.repeat(block.rater, pairs)
        weight = np.repeat(block.weight, pairs)
        tied = np.flatnonzero(sign == 0)
        sign, weight = np.where(sign == 0, 1, sign), np.where(sign == 0, weight / 2, weight)
        return cls(
            len(block.tasks),
            block.k,
            np.concatenate([pair, pair[tied]]),
            np.concatenate([rater, rater[tied]]),
            np.concatenate([sign, np.full(len(tied), -1)]).astype(float),
            np.concatenate([weight, weight[tied]]),
        )

    @classmethod
    def of_pairs(
        cls, better: np.ndarray, worse: np.ndarray, rater: np.ndarray, *, items: int
    ) -> "Comparisons":
        """Return comparisons (V,) of items 0 … items - 1, all in one task."""
        low, high = np.minimum(better, worse), np.maximum(better, worse)
        pair = low * (2 * items - low - 1) // 2 + high - low - 1
        sign = np.where(better < worse, 1.0, -1.0)
        return cls(1, items, pair, rater, sign, np.ones(len(pair)))

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs of items as two arrays (P,), the lower one first."""
        first, second = np.triu_indices(self.k, 1)
        return first, second

    def by_pair(self, of_vote: np.ndarray) -> np.ndarray:
        """Return (U, P) the sums of what the votes (V,) on each pair have."""
        shape = (self.tasks, len(self.pairs[0]))
        flat = np.bincount(self.pair, weights=of_vote, minlength=shape[0] * shape[1])
        return flat.reshape(shape)

    def laplacian(self, of_vote: np.ndarray) -> np.ndarray:
        """Return (U, K, K) diag(Σ_j w_ij) - w, w_ij being the sum of the votes on i and j."""
        first, second = self.pairs
        weights = np.zeros((self.tasks, self.k, self.k))
        weights[:, first, second] = weights[:, second, first] = self.by_pair(of_vote)
        found = -weights
        diagonal = np.arange(self.k)
        found[:, diagonal, diagonal] = weights.sum(axis=2)
        return found


@dataclass(frozen=True)
class CrowdBradleyTerry:
    """Hold scores of items by problem, and abilities of raters.

    `ability` (R,) is η, the probability that a rater says of a pair what Bradley and Terry's coin
    came to rather than its contrary: 1 is right always, ½ is noise, 0 is wrong always.
    """

    scores: tuple[np.ndarray, ...]  #: (U, K) each
    covariance: tuple[np.ndarray, ...]  #: (U, K, K) each
    ability: np.ndarray
    log_posterior: list[float]
    converged: bool

    def before(self) -> list[np.ndarray]:
        """Return (U, K, K) by problem: the probability that row's ability is above column's."""
        return [order_probability(s, c) for s, c in zip(self.scores, self.covariance, strict=True)]


def crowd_bradley_terry(
    said: Sequence[Comparisons],
    *,
    raters: int,
    precision: float = 1.0,
    prior_right: float = 9.0,
    prior_wrong: float = 1.0,
    ability: np.ndarray | None = None,
    tolerance: float = 1e-7,
    most_iterations: int = 500,
) -> CrowdBradleyTerry:
    """Fit P(rater r puts i before j) = η_r σ(s_i - s_j) + (1 - η_r) σ(s_j - s_i).

    Chen, Bennett, Collins-Thompson and Horvitz 2013, WSDM, Pairwise Ranking Aggregation in a
    Crowdsourced Setting, §4 (Crowd-BT), with their priors: normal on scores, beta on abilities.
    They update online; here EM finds the maximum of the posterior, whether the rater contradicted
    the coin being what is not seen. Scores rise by the bound of Böhning and Lindsay 1988 (Annals
    of the Institute of Statistical Mathematics 40, 641-663), so the posterior never falls. A tie
    is half a vote for either order.

    Args:
        said: votes on pairs; tasks are separate problems, raters are the same in all.
        raters: R.
        precision: of the normal prior on scores; above 0.
        prior_right: right votes that every rater is credited with; above 0.
        prior_wrong: wrong votes likewise; fewer than the right ones, or right and wrong could
            change places.
        ability: (R,) of the raters, where it is known from elsewhere: it is kept then. Fitted
            together they need items with many judgments each (models of an arena, say): with a
            handful on every item the coin can explain every contradiction, and all raters come
            out as able. `rater_evidence` is for that.
        tolerance: rise of the log-posterior, for each vote, at which the fit has converged.
        most_iterations: iterations after which it is given up.
    """
    states = [_State.of(one, precision) for one in said]
    votes = sum((state.votes_of_rater(raters) for state in states), np.zeros(raters))
    held = np.full(raters, prior_right / (prior_right + prior_wrong))
    held = _within(held if ability is None else ability.astype(float))
    least = tolerance * max(1.0, votes.sum())
    seen: list[float] = []
    converged = False
    while len(seen) < most_iterations and not converged:
        found = [state.improve(held, precision) for state in states]
        prior = prior_right * np.log(held).sum() + prior_wrong * np.log1p(-held).sum()
        value = float(prior) + sum(likelihood for likelihood, _ in found)
        converged = bool(seen) and value - seen[-1] <= least
        seen.append(value)
        if not converged and ability is None:
            right = sum((each for _, each in found), np.zeros(raters))
            held = _within((right + prior_right) / (votes + prior_right + prior_wrong))
    covariance = tuple(state.covariance(held, precision) for state in states)
    return CrowdBradleyTerry(
        tuple(state.scores for state in states), covariance, held, seen, converged
    )


def _within(ability: np.ndarray) -> np.ndarray:
    """Keep abilities off 0 and 1, where one contradiction would be impossible."""
    return np.clip(ability, _MOST_SURE, 1 - _MOST_SURE)


@dataclass
class _State:
    """The scores of one problem as they are fitted."""

    said: Comparisons
    scores: np.ndarray
    bound: np.ndarray  #: (U, K, K) inverse of what the curvature never exceeds

    @classmethod
    def of(cls, said: Comparisons, precision: float) -> "_State":
        """Begin with equal scores."""
        curvature = said.laplacian(said.weight / 4) + precision * np.eye(said.k)
        return cls(said, np.zeros((said.tasks, said.k)), np.linalg.inv(curvature))

    def votes_of_rater(self, raters: int) -> np.ndarray:
        """Return (R,) the weight of each rater's votes."""
        return np.bincount(self.said.rater, weights=self.said.weight, minlength=raters)

    def improve(self, ability: np.ndarray, precision: float) -> tuple[float, np.ndarray]:
        """Raise the scores; return the log-posterior before, and (R,) the votes that were right."""
        said = self.said
        eta = ability.take(said.rater)
        # The chance that the coin falls as the vote says, and of the vote.
        as_said = self._as_said()
        chance = (1 - eta) + (2 * eta - 1) * as_said
        right = eta * as_said / chance
        value = float(said.weight @ np.log(chance))
        value -= precision / 2 * float((self.scores**2).sum())
        gain = np.zeros((said.tasks, said.k, said.k))
        first, second = said.pairs
        gain[:, first, second] = said.by_pair(said.weight * said.sign * (right - as_said))
        gradient = gain.sum(axis=2) - gain.sum(axis=1) - precision * self.scores
        self.scores = self.scores + np.einsum("uij,uj->ui", self.bound, gradient)
        return value, np.bincount(said.rater, weights=said.weight * right, minlength=len(ability))

    def covariance(self, ability: np.ndarray, precision: float) -> np.ndarray:
        """Return (U, K, K) the inverse of the expected information of the scores."""
        eta, as_said = ability.take(self.said.rater), self._as_said()
        slope = (2 * eta - 1) * as_said * (1 - as_said)
        chance = (1 - eta) + (2 * eta - 1) * as_said
        spread = self.said.weight * slope**2 / (chance * (1 - chance))
        return np.linalg.inv(self.said.laplacian(spread) + precision * np.eye(self.said.k))

    def _as_said(self) -> np.ndarray:
        """Return (V,) σ(±(s_i - s_j)), never quite 0 or 1."""
        first, second = self.said.pairs
        gaps = np.clip(self.scores[:, first] - self.scores[:, second], -30, 30)
        chance = (1 / (1 + np.exp(-gaps))).ravel().take(self.said.pair)
        return 0.5 + self.said.sign * (chance - 0.5)
