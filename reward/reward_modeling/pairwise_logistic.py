"""Linear models of preference: logistic regression on the feature differences of pairs.

Bradley & Terry 1952 with linear strengths, and a share ε of labels that is turned round whatever
the difference: P(i over j) = ε + (1 − 2ε)·σ(wᵀ(x_i − x_j)). With ε = 0 the loss is convex; with ε
above it a few wrong labels of clear pairs do not pull at w (the "flipped labels" of Bootkrajang &
Kabán 2012, §3). A ridge penalty, no intercept, Fisher scoring with a line search: a few hundred
features and some thousand pairs take milliseconds.
"""

import numpy

STEPS = 40  # at most; from a warm start three or four suffice
TOLERANCE = 1e-6


def fit_pairwise(
    differences: numpy.ndarray,
    weights: numpy.ndarray,
    penalty: float,
    *,
    flips: float = 0.0,
    start: numpy.ndarray | None = None,
) -> numpy.ndarray:
    """Return w (D,) that minimises −Σ_p weight_p · log P_p + penalty/2 · ‖w‖².

    Args:
        differences: (P, D), better minus worse.
        weights: (P,), not negative.
        penalty: above 0.
        flips: ε, from 0 to below ½.
        start: where to begin, zero by default; with flips above 0 the loss may have several minima.
    """
    w = numpy.zeros(differences.shape[1]) if start is None else start.copy()
    value = pairwise_loss(differences, weights, w, penalty, flips=flips)
    for _ in range(STEPS):
        right = _sigmoid(differences @ w)
        agreed = flips + (1 - 2 * flips) * right
        slope = (1 - 2 * flips) * right * (1 - right)
        gradient = penalty * w - differences.T @ (weights * slope / agreed)
        information = weights * slope**2 / (agreed * (1 - agreed)).clip(1e-12)
        hessian = (differences.T * information) @ differences
        hessian[numpy.diag_indices_from(hessian)] += penalty
        step = numpy.linalg.solve(hessian, gradient)
        # A step downhill that went too far is halved until it is not.
        size = 1.0
        while (
            new := pairwise_loss(differences, weights, w - size * step, penalty, flips=flips)
        ) > value:
            size /= 2
            if size < TOLERANCE:
                return w
        w, gained, value = w - size * step, value - new, new
        if gained <= TOLERANCE * max(1.0, value):
            break
    return w


def pairwise_loss(
    differences: numpy.ndarray,
    weights: numpy.ndarray,
    w: numpy.ndarray,
    penalty: float,
    *,
    flips: float = 0.0,
) -> float:
    """Return what `fit_pairwise` minimises."""
    margins = differences @ w
    if flips > 0:
        losses = -numpy.log(flips + (1 - 2 * flips) * _sigmoid(margins))
    else:
        losses = numpy.logaddexp(0.0, -margins)
    return float(weights @ losses + 0.5 * penalty * (w @ w))


def agreement_margin(margins: numpy.ndarray, flips: float) -> numpy.ndarray:
    """Return m with σ(m) = ε + (1 − 2ε)·σ(margin): how sure a model is that people agree."""
    if flips == 0:
        return margins
    agreed = flips + (1 - 2 * flips) * _sigmoid(margins)
    found: numpy.ndarray = numpy.log(agreed) - numpy.log1p(-agreed)
    return found


def _sigmoid(x: numpy.ndarray) -> numpy.ndarray:
    # exp of a large positive number would overflow; tanh does not.
    values: numpy.ndarray = 0.5 * (1.0 + numpy.tanh(0.5 * x))
    return values
