"""Linear models of preference: logistic regression on the feature differences of pairs.

Bradley & Terry 1952 with linear strengths: P(i over j) = σ(wᵀ(x_i − x_j)). A ridge penalty, no
intercept, Newton's method: a few hundred features and some thousand pairs take milliseconds.
"""

import numpy

NEWTON_STEPS = 25  # at most; from a warm start three or four suffice
TOLERANCE = 1e-6


def fit_pairwise(
    differences: numpy.ndarray,
    weights: numpy.ndarray,
    penalty: float,
    start: numpy.ndarray | None = None,
) -> numpy.ndarray:
    """Return w (D,) that minimises Σ_p weight_p · log(1 + exp(−wᵀd_p)) + penalty/2 · ‖w‖².

    `differences` (P, D) holds better minus worse, `weights` (P,) is not negative, `penalty` > 0.
    """
    w = numpy.zeros(differences.shape[1]) if start is None else start.copy()
    value = pairwise_loss(differences, weights, w, penalty)
    for _ in range(NEWTON_STEPS):
        wrong = _sigmoid(-(differences @ w))
        gradient = penalty * w - differences.T @ (weights * wrong)
        curvature = weights * wrong * (1 - wrong)
        hessian = (differences.T * curvature) @ differences
        hessian[numpy.diag_indices_from(hessian)] += penalty
        step = numpy.linalg.solve(hessian, gradient)
        # The loss is convex, so halving a step that went too far ends.
        size = 1.0
        while (new := pairwise_loss(differences, weights, w - size * step, penalty)) > value:
            size /= 2
            if size < TOLERANCE:
                return w
        w, gained, value = w - size * step, value - new, new
        if gained <= TOLERANCE * max(1.0, value):
            break
    return w


def pairwise_loss(
    differences: numpy.ndarray, weights: numpy.ndarray, w: numpy.ndarray, penalty: float
) -> float:
    """Return what `fit_pairwise` minimises."""
    losses = numpy.logaddexp(0.0, -(differences @ w))
    return float(weights @ losses + 0.5 * penalty * (w @ w))


def _sigmoid(x: numpy.ndarray) -> numpy.ndarray:
    # exp of a large positive number would overflow; tanh does not.
    values: numpy.ndarray = 0.5 * (1.0 + numpy.tanh(0.5 * x))
    return values
