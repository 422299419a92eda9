"""Bradley and Terry 1952: abilities of items from how often each came before each other."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Abilities:
    """Hold fitted log-abilities of U problems of K items, with their covariance.

    Only differences of abilities mean something. `converged` (U,) is false where the last step was
    still above the tolerance, as it is where the maximum lies at infinity.
    """

    scores: np.ndarray  #: (U, K)
    covariance: np.ndarray  #: (U, K, K), of the Laplace approximation
    log_likelihood: np.ndarray  #: (U,); with a prior the log-posterior, up to a constant
    converged: np.ndarray

    def before(self) -> np.ndarray:
        """Return (U, K, K): the probability that row's ability is above column's."""
        return order_probability(self.scores, self.covariance)


def bradley_terry(
    wins: np.ndarray,
    *,
    precision: float = 1.0,
    tolerance: float = 1e-9,
    most_iterations: int = 200,
    start: np.ndarray | None = None,
) -> Abilities:
    """Fit P(i before j) = σ(s_i - s_j) to each of U problems by Newton's method.

    Bradley and Terry 1952, Biometrika 39, 324-345; the log-likelihood is concave (Hunter 2004,
    §2), and steps that would lower it are halved. A tie is half a win for either.

    Args:
        wins: (U, K, K) how often row came before column, fractions allowed; the diagonal is 0.
        precision: of a normal prior with mean 0 on every ability, so that one judgment does not
            send abilities to infinity. 0 is maximum likelihood, with scores that sum to 0.
        tolerance: largest step of a score at which the fit has converged.
        most_iterations: steps after which it is given up.
        start: (U, K) scores to begin with.

    Raises `numpy.linalg.LinAlgError` without a prior where the comparisons fall into parts that
    nothing compares.
    """
    scores = np.zeros(wins.shape[:2]) if start is None else start.copy()
    value = log_likelihood(wins, scores, precision)
    moving = np.arange(len(wins))
    for _ in range(most_iterations):
        if not len(moving):
            break
        stepped, risen, size = newton_step(wins[moving], scores[moving], value[moving], precision)
        scores[moving], value[moving] = stepped, risen
        moving = moving[size > tolerance]
    converged = np.ones(len(wins), dtype=bool)
    converged[moving] = False
    covariance = _contrasts(information(wins, scores, precision), precision)
    return Abilities(scores, covariance, value, converged)


def log_likelihood(wins: np.ndarray, scores: np.ndarray, precision: float) -> np.ndarray:
    """Return (U,) Σ wins · log σ(s_i - s_j) - precision/2 · Σ s²."""
    gaps = scores[:, :, None] - scores[:, None, :]
    logs = -np.logaddexp(0.0, -gaps)
    return (wins * logs).sum(axis=(1, 2)) - precision / 2 * (scores**2).sum(axis=1)


def newton_step(
    wins: np.ndarray, scores: np.ndarray, value: np.ndarray, precision: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores after one step that does not lower the likelihood, its value, and the step.

    Shapes (U, K), (U,) and (U,), the last the largest change of a score.
    """
    chances = _sigmoid(scores[:, :, None] - scores[:, None, :])
    gradient = (wins - (wins + wins.transpose(0, 2, 1)) * chances).sum(axis=2)
    gradient -= precision * scores
    step = np.linalg.solve(information(wins, scores, precision), gradient[..., None])[..., 0]
    # A quadratic says nothing of what lies far away.
    longest = np.abs(step).max(axis=1, initial=0.0)
    step /= np.maximum(1.0, longest / 2.0)[:, None]
    for _ in range(40):
        risen = log_likelihood(wins, scores + step, precision)
        falls = risen < value - 1e-12 * np.abs(value)
        if not falls.any():
            break
        step[falls] /= 2
    else:
        step[falls] = 0.0
        risen[falls] = value[falls]
    return scores + step, risen, np.abs(step).max(axis=1, initial=0.0)


def information(wins: np.ndarray, scores: np.ndarray, precision: float) -> np.ndarray:
    """Return (U, K, K) minus the second derivatives; without a prior, of scores that sum to 0."""
    chances = _sigmoid(scores[:, :, None] - scores[:, None, :])
    spread = (wins + wins.transpose(0, 2, 1)) * chances * (1 - chances)
    k = wins.shape[1]
    found = -spread
    found[:, np.arange(k), np.arange(k)] = spread.sum(axis=2) + precision
    return found if precision else found + 1.0 / k


def order_probability(scores: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return (U, K, K): the probability that row's score is above column's, if they are normal.

    Φ((s_i - s_j) / sd), with sd² = C_ii + C_jj - 2 C_ij.
    """
    gaps = scores[:, :, None] - scores[:, None, :]
    own = np.diagonal(covariance, axis1=1, axis2=2)
    spread = own[:, :, None] + own[:, None, :] - 2 * covariance
    size = np.sqrt(np.maximum(spread, 0.0))
    z = np.divide(gaps, size, out=np.zeros_like(gaps), where=size > 0)
    return _normal(z)


def _contrasts(information_: np.ndarray, precision: float) -> np.ndarray:
    inverse = np.linalg.inv(information_)
    # The ones that make it invertible add to every entry alike, which no difference sees.
    return inverse if precision else inverse - 1.0 / information_.shape[1]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -700, 700)))


_erf = np.frompyfunc(math.erf, 1, 1)


def _normal(z: np.ndarray) -> np.ndarray:
    return (1.0 + np.asarray(_erf(z / math.sqrt(2.0)), dtype=float)) / 2.0
