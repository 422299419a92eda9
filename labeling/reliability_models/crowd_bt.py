"""Bradley-Terry with rater ability: what is better, and how often each rater says so rightly."""

from dataclasses import dataclass

import numpy as np

from labeling.reliability_models.bradley_terry import order_probability
from labeling.reliability_models.rankings import RankingBlock, Rankings, wins_of

_MOST_SURE = 1e-6


@dataclass(frozen=True)
class CrowdBradleyTerry:
    """Hold abilities of items by block, and of raters.

    `ability` (R,) is η, the probability that a rater says of a pair what Bradley and Terry's coin
    came to rather than its contrary: 1 is right always, ½ is noise, 0 is wrong always.
    """

    scores: tuple[np.ndarray, ...]  #: (U, K) each
    covariance: tuple[np.ndarray, ...]  #: (U, K, K) each
    ability: np.ndarray
    log_posterior: list[float]
    converged: bool

    def before(self) -> list[np.ndarray]:
        """Return (U, K, K) by block: the probability that row's ability is above column's."""
        return [order_probability(s, c) for s, c in zip(self.scores, self.covariance, strict=True)]


def crowd_bradley_terry(
    rankings: Rankings,
    *,
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
        rankings: every pair of a ranking is one vote; tasks are separate problems, raters are not.
        precision: of the normal prior on scores; above 0.
        prior_right: right votes that every rater is credited with.
        prior_wrong: wrong votes likewise; fewer than the right ones, or right and wrong could
            change places.
        ability: (R,) of the raters, where it is known from elsewhere: it is kept then. Fitted
            together they need items with many judgments each (models of an arena, say): with a
            handful on every item the coin can explain every contradiction, and all raters come
            out as able. `rater_abilities` is for that.
        tolerance: rise of the log-posterior, for each vote, at which the fit has converged.
        most_iterations: iterations after which it is given up.
    """
    states = [_State.of(block, precision) for block in rankings.blocks]
    count = len(rankings.raters)
    of_rater = sum((state.votes_of_rater(count) for state in states), np.zeros(count))
    least = tolerance * max(1.0, of_rater.sum())
    prior = prior_right + prior_wrong
    given = ability
    ability = np.full(count, prior_right / prior) if given is None else given.astype(float)
    ability = np.clip(ability, _MOST_SURE, 1 - _MOST_SURE)
    seen: list[float] = []
    converged = False
    while len(seen) < most_iterations and not converged:
        value = float(prior_right * np.log(ability).sum() + prior_wrong * np.log1p(-ability).sum())
        right = np.zeros(count)
        for state in states:
            likelihood, found = state.improve(ability, precision)
            value += likelihood
            right += found
        converged = bool(seen) and value - seen[-1] <= least
        seen.append(value)
        if not converged and given is None:
            # A rater's own maximum may lie at 0 or 1 where there is no prior.
            ability = (right + prior_right) / np.maximum(of_rater + prior, 1e-12)
            ability = np.clip(ability, _MOST_SURE, 1 - _MOST_SURE)
    covariance = tuple(state.covariance(ability, precision) for state in states)
    return CrowdBradleyTerry(
        tuple(state.scores for state in states), covariance, ability, seen, converged
    )


@dataclass
class _State:
    """The scores of one block as they are fitted, and its votes (V,): a tie is two of half weight.

    `pair` is a position among the U·P pairs of the tasks, `sign` 1 where the vote is for the first
    of the pair and -1 where it is for the second.
    """

    block: RankingBlock
    scores: np.ndarray
    bound: np.ndarray  #: (U, K, K) inverse of what the curvature never exceeds
    pair: np.ndarray
    rater: np.ndarray
    sign: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, block: RankingBlock, precision: float) -> "_State":
        """Begin with equal scores."""
        wins = block.wins()
        curvature = _laplacian((wins + wins.transpose(0, 2, 1)) / 4) + precision * np.eye(block.k)
        pairs = len(block.pairs[0])
        pair = (block.task[:, None] * pairs + np.arange(pairs)).ravel()
        sign, rater = block.outcomes.ravel(), np.repeat(block.rater, pairs)
        weight = np.repeat(block.weight, pairs)
        tied = np.flatnonzero(sign == 0)
        sign, weight = np.where(sign == 0, 1, sign), np.where(sign == 0, weight / 2, weight)
        return cls(
            block,
            np.zeros(wins.shape[:2]),
            np.linalg.inv(curvature),
            np.concatenate([pair, pair[tied]]),
            np.concatenate([rater, rater[tied]]),
            np.concatenate([sign, np.full(len(tied), -1)]).astype(float),
            np.concatenate([weight, weight[tied]]),
        )

    def votes_of_rater(self, raters: int) -> np.ndarray:
        """Return (R,) the weight of each rater's votes."""
        return np.bincount(self.rater, weights=self.weight, minlength=raters)

    def improve(self, ability: np.ndarray, precision: float) -> tuple[float, np.ndarray]:
        """Raise the scores; return the log-posterior before, and (R,) the votes that were right."""
        eta = ability.take(self.rater)
        # The chance that the coin falls as the vote says, and of the vote.
        as_said = self._as_said()
        said = (1 - eta) + (2 * eta - 1) * as_said
        right = eta * as_said / said
        value = float(self.weight @ np.log(said)) - precision / 2 * float((self.scores**2).sum())
        gain = self._by_pair(self.weight * self.sign * (right - as_said))
        gradient = -precision * self.scores
        for place, (i, j) in enumerate(zip(*self.block.pairs, strict=True)):
            gradient[:, i] += gain[:, place]
            gradient[:, j] -= gain[:, place]
        self.scores = self.scores + np.einsum("uij,uj->ui", self.bound, gradient)
        of_rater = np.bincount(self.rater, weights=self.weight * right, minlength=len(ability))
        return value, of_rater

    def covariance(self, ability: np.ndarray, precision: float) -> np.ndarray:
        """Return (U, K, K) the inverse of the expected information of the scores."""
        eta, as_said = ability.take(self.rater), self._as_said()
        slope = (2 * eta - 1) * as_said * (1 - as_said)
        said = (1 - eta) + (2 * eta - 1) * as_said
        spread = self._by_pair(self.weight * slope**2 / (said * (1 - said)))
        both = np.stack([spread, np.zeros_like(spread), spread], axis=-1)
        curvature = _laplacian(wins_of(both, self.block.k)) + precision * np.eye(self.block.k)
        return np.linalg.inv(curvature)

    def _as_said(self) -> np.ndarray:
        """Return (V,) σ(±(s_i - s_j)), never quite 0 or 1."""
        first, second = self.block.pairs
        gaps = np.clip(self.scores[:, first] - self.scores[:, second], -30, 30)
        chance = (1 / (1 + np.exp(-gaps))).ravel().take(self.pair)
        return 0.5 + self.sign * (chance - 0.5)

    def _by_pair(self, of_vote: np.ndarray) -> np.ndarray:
        """Return (U, P) the sums of what the votes (V,) on each pair have."""
        shape = (len(self.block.tasks), len(self.block.pairs[0]))
        return np.bincount(self.pair, weights=of_vote, minlength=shape[0] * shape[1]).reshape(shape)


def _laplacian(weights: np.ndarray) -> np.ndarray:
    """Return diag(Σ_j w_ij) - w for symmetric weights (U, K, K) with a diagonal of 0."""
    k = weights.shape[1]
    found = -weights
    found[:, np.arange(k), np.arange(k)] = weights.sum(axis=2)
    return found
