"""Which K of n sampled completions are worth a ranking, and how much: pure functions of scores.

Every pair of completions has a value: the heads' disagreement about it, or the information that
its label is expected to give. The completions shown are those whose pairs have the most, found
greedily. Diversity needs no reward model: it spreads the completions out in embedding space.
"""

from dataclasses import dataclass

import numpy
from torch import Tensor


@dataclass(frozen=True)
class HeadScores:
    """What H heads say of n completions of one prompt.

    `scores` (H, n) are normalised; `probabilities` (H, n, n) hold, for each head, the share of
    people who prefer the first completion of a pair to the second.
    """

    scores: numpy.ndarray
    probabilities: numpy.ndarray


def pair_probabilities(raw: Tensor, flips: float = 0.0) -> numpy.ndarray:
    """Return P(i preferred to j) of each head (H, n, n) from raw scores (H, n) in nats.

    ε + (1 − 2ε)·σ(r_i − r_j), with the share ε = `flips` of labels that are wrong whatever the
    difference.
    """
    values = raw.double().numpy()
    margins = values[:, :, None] - values[:, None, :]
    # exp of a large positive number would overflow; tanh does not.
    found: numpy.ndarray = flips + (1 - 2 * flips) * 0.5 * (1.0 + numpy.tanh(0.5 * margins))
    return found


def pair_disagreement(scores: numpy.ndarray) -> numpy.ndarray:
    """Return the standard deviation over heads of the score difference of every pair (n, n).

    The heads (H, n) are an ensemble, as in Lakshminarayanan et al. 2017, §2.4. What a head adds to
    all completions of a prompt cancels: it says nothing about their order.
    """
    found: numpy.ndarray = (scores[:, :, None] - scores[:, None, :]).std(axis=0)
    return found


def expected_information(probabilities: numpy.ndarray) -> numpy.ndarray:
    """Return what the label of every pair is expected to tell about the heads, in nats (n, n).

    Entropy of the mean probability less the mean entropy of the heads' own (H, n, n): Houlsby et
    al. 2011, Bayesian Active Learning by Disagreement, eq. 2. It is 0 where all heads agree, even
    on a coin's throw, and log 2 at most.
    """
    gained = _entropy(probabilities.mean(axis=0)) - _entropy(probabilities).mean(axis=0)
    return gained.clip(0.0)


def cosine_distances(embeddings: numpy.ndarray) -> numpy.ndarray:
    """Return 1 − cosine of every pair (n, n) of embeddings (n, W) of length 1."""
    found: numpy.ndarray = (1.0 - embeddings @ embeddings.T).clip(0.0)
    numpy.fill_diagonal(found, 0.0)
    return found


def most_valuable(values: numpy.ndarray, k: int) -> list[int]:
    """Return k positions (k ≥ 2, ascending) whose pairs have the largest sum of values (n, n).

    Greedy: the best pair, then always the position that adds most; exact for k = 2.
    """
    chosen = _best_pair(values)
    while len(chosen) < k:
        added = values[:, chosen].sum(axis=1)
        added[chosen] = -numpy.inf
        chosen.append(int(added.argmax()))
    return sorted(chosen)


def most_spread(distances: numpy.ndarray, k: int) -> list[int]:
    """Return k positions (k ≥ 2, ascending) that lie far apart.

    Gonzalez 1985, §2: always the position farthest from its nearest neighbour among those chosen;
    begun with the two that are farthest apart.
    """
    chosen = _best_pair(distances)
    while len(chosen) < k:
        nearest = distances[:, chosen].min(axis=1)
        nearest[chosen] = -numpy.inf
        chosen.append(int(nearest.argmax()))
    return sorted(chosen)


def mean_pair_value(values: numpy.ndarray, chosen: list[int]) -> float:
    """Return the mean value over the pairs of the chosen positions."""
    part = values[numpy.ix_(chosen, chosen)]
    return float(part[numpy.triu_indices(len(chosen), 1)].mean())


def _best_pair(values: numpy.ndarray) -> list[int]:
    upper = numpy.where(numpy.triu(numpy.ones_like(values), 1) > 0, values, -numpy.inf)
    first, second = numpy.unravel_index(int(upper.argmax()), values.shape)
    return [int(first), int(second)]


def _entropy(p: numpy.ndarray) -> numpy.ndarray:
    """Return the entropy of a coin, in nats; 0·log 0 is 0."""
    inside = p.clip(1e-12, 1 - 1e-12)
    found: numpy.ndarray = -(inside * numpy.log(inside) + (1 - inside) * numpy.log1p(-inside))
    return found
