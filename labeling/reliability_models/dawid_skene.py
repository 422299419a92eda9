"""Dawid and Skene 1979: what each unit truly is, and how each rater errs, found together by EM."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labeling.reliability_models.votes import Votes

_SMALLEST = 1e-300


@dataclass(frozen=True)
class DawidSkene:
    """Hold the fitted model of U units, R raters and C classes.

    `log_likelihoods` has one entry an iteration; with a prior it is the log-posterior, up to a
    constant.
    """

    posterior: np.ndarray  #: (U, C) probability that the unit is of each class
    prevalence: np.ndarray  #: (C,)
    confusion: np.ndarray  #: (R, C, C) probability of what the rater says (last) of a true class
    log_likelihoods: list[float]
    converged: bool


def dawid_skene(
    votes: Votes,
    *,
    mirror: Sequence[int] | None = None,
    prior: np.ndarray | None = None,
    tolerance: float = 1e-9,
    most_iterations: int = 2000,
) -> DawidSkene:
    """Fit the model until the log-likelihood stands still.

    Dawid and Skene 1979, Applied Statistics 28, 20-28: the M-step is eqs. 2.3 and 2.4, the E-step
    eq. 2.5, started from the shares of votes (eq. 3.1); a rater's repeated votes on a unit all
    count. The log-likelihood never falls.

    Args:
        votes: who said what of which unit.
        mirror: where each class goes when a unit is turned round, such as [2, 1, 0] for better,
            tied, worse. Raters are then taken to err alike either way, and it makes no difference
            which completion of a pair comes first.
        prior: (C, C) votes that every rater is credited with before any is seen, as Dirichlet
            counts above those of the uniform density; rows are true classes.
        tolerance: rise of the log-likelihood, for each vote, below which the fit has converged.
        most_iterations: iterations after which it is given up, `converged` being false.
    """
    # Classes come first inside, so that every sum over votes or classes runs through memory once.
    posterior = np.ascontiguousarray(votes.shares().T)
    seen: list[float] = []
    least = tolerance * votes.count.sum()
    converged = False
    prevalence, confusion = _rates(votes, posterior, mirror, prior)
    while len(seen) < most_iterations and not converged:
        posterior, likelihood = _posterior(votes, prevalence, confusion)
        likelihood += _log_prior(confusion, prior)
        converged = bool(seen) and likelihood - seen[-1] <= least
        seen.append(likelihood)
        if not converged:
            prevalence, confusion = _rates(votes, posterior, mirror, prior)
    return DawidSkene(posterior.T, prevalence, confusion, seen, converged)


def _rates(
    votes: Votes,
    posterior: np.ndarray,
    mirror: Sequence[int] | None,
    prior: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return prevalence (C,) and confusion (R, C, C) from the posterior (C, U): the M-step."""
    raters, classes = len(votes.raters), len(votes.labels)
    said = votes.rater * classes + votes.label
    counts = np.empty((raters, classes, classes))
    for true in range(classes):
        held = votes.count * posterior[true].take(votes.unit)
        flat = np.bincount(said, weights=held, minlength=raters * classes)
        counts[:, true] = flat.reshape(raters, classes)
    prevalence = posterior.mean(axis=1)
    if prior is not None:
        counts = counts + prior
    if mirror is not None:
        turned = list(mirror)
        counts = counts + counts[:, turned][:, :, turned]
        prevalence = (prevalence + prevalence[turned]) / 2
    sums = counts.sum(axis=2, keepdims=True)
    # A class that nothing a rater saw can be of says nothing of them.
    even = np.full_like(counts, 1 / classes)
    return prevalence, np.divide(counts, sums, out=even, where=sums > 0)


def _posterior(
    votes: Votes, prevalence: np.ndarray, confusion: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the posterior (C, U) and the log-likelihood of the rates: the E-step."""
    classes, units = len(prevalence), len(votes.units)
    said = votes.rater * classes + votes.label
    logs = np.log(np.maximum(confusion, _SMALLEST))
    joint = np.empty((classes, units))
    for true in range(classes):
        of_vote = logs[:, true].ravel().take(said) * votes.count
        joint[true] = np.bincount(votes.unit, weights=of_vote, minlength=units)
    joint += np.log(np.maximum(prevalence, _SMALLEST))[:, None]
    highest = joint.max(axis=0)
    shares = np.exp(joint - highest)
    sums = shares.sum(axis=0)
    return shares / sums, float((np.log(sums) + highest).sum())


def _log_prior(confusion: np.ndarray, prior: np.ndarray | None) -> float:
    if prior is None:
        return 0.0
    return float((prior * np.log(np.maximum(confusion, _SMALLEST))).sum())
