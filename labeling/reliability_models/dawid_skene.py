"""Dawid and Skene 1979: what each unit truly is, and how each rater errs, found together by EM."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labeling.reliability_models.vote_patterns import VotePatterns, vote_patterns
from labeling.reliability_models.votes import Votes

_SMALLEST = 1e-300
# The longest leap at first, and by what it grows and shrinks: Varadhan and Roland 2008, §4.
_LEAP, _LEAP_FACTOR = 4.0, 4.0


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
    accelerated: bool = False,
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
        tolerance: rise of the log-likelihood in a step of EM, for each vote, below which the fit
            has converged.
        most_iterations: iterations after which it is given up, `converged` being false.
        accelerated: leap ahead of EM after every two of its steps (SQUAREM, scheme S3: Varadhan and
            Roland 2008, Scandinavian Journal of Statistics 35, 335-353) in the logarithms of the
            rates, wherever the log-likelihood does not fall by it. It ends at a fixed point of EM,
            too, in a fraction of the iterations.
    """
    model = _Model(vote_patterns(votes, mirror), votes, mirror, prior)
    climb = _Climb(model, tolerance * float(votes.count.sum()), most_iterations)
    if accelerated:
        climb.leap_on()
    else:
        climb.step_on()
    posterior = model.patterns.of_units(climb.posterior, mirror)
    prevalence, confusion = climb.rates
    return DawidSkene(posterior.T, prevalence, confusion, climb.seen, climb.converged)


#: prevalence (C,) and confusion (R, C, C)
Rates = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Model:
    """The steps of EM on the patterns of the votes.

    Classes come first inside, so that every sum over votes or classes runs through memory once.
    """

    patterns: VotePatterns
    votes: Votes
    mirror: Sequence[int] | None
    prior: np.ndarray | None

    def shares(self) -> np.ndarray:
        """Return (C, P): the share of each pattern's votes that each label has."""
        found, labels = self.patterns, np.arange(len(self.votes.labels))[:, None]
        said = found.said % len(self.votes.labels) == labels
        counts = np.add.reduceat(said * found.count, found.begins, axis=1)
        shares: np.ndarray = counts / counts.sum(axis=0)
        return shares

    def rates(self, posterior: np.ndarray) -> Rates:
        """Return the rates from the posterior (C, P): the M-step."""
        found = self.patterns
        raters, classes = len(self.votes.raters), len(self.votes.labels)
        counts = np.empty((raters, classes, classes))
        for true in range(classes):
            held = found.count * np.repeat(posterior[true] * found.often, found.sizes)
            flat = np.bincount(found.said, weights=held, minlength=raters * classes)
            counts[:, true] = flat.reshape(raters, classes)
        prevalence = posterior @ found.often / found.often.sum()
        if self.prior is not None:
            counts = counts + self.prior
        if self.mirror is not None:
            turned = list(self.mirror)
            counts = counts + counts[:, turned][:, :, turned]
            prevalence = (prevalence + prevalence[turned]) / 2
        sums = counts.sum(axis=2, keepdims=True)
        # A class that nothing a rater saw can be of says nothing of them.
        even = np.full_like(counts, 1 / classes)
        return prevalence, np.divide(counts, sums, out=even, where=sums > 0)

    def posterior(self, rates: Rates) -> tuple[np.ndarray, float]:
        """Return the posterior (C, P) and the log-likelihood of the rates: the E-step."""
        found, (prevalence, confusion) = self.patterns, rates
        logs = np.log(np.maximum(confusion, _SMALLEST))
        joint = np.empty((len(prevalence), len(found.begins)))
        for true in range(len(prevalence)):
            of_vote = logs[:, true].ravel().take(found.said) * found.count
            joint[true] = np.add.reduceat(of_vote, found.begins)
        joint += np.log(np.maximum(prevalence, _SMALLEST))[:, None]
        highest = joint.max(axis=0)
        shares = np.exp(joint - highest)
        sums = shares.sum(axis=0)
        likelihood = float((np.log(sums) + highest) @ found.often)
        if self.prior is not None:
            likelihood += float((self.prior * logs).sum())
        return shares / sums, likelihood


class _Climb:
    """A fit under way: the rates, the posterior of them, and the log-likelihoods so far."""

    def __init__(self, model: _Model, least: float, most: int) -> None:
        self._model, self._least, self._most = model, least, most
        self.rates = model.rates(model.shares())
        self.posterior, likelihood = model.posterior(self.rates)
        self.seen = [likelihood]
        self.converged = False

    def step_on(self) -> None:
        """Take steps of EM until the end."""
        while not self._ended():
            self._step()

    def leap_on(self) -> None:
        """Take steps of EM, and after every two of them a leap, until the end."""
        longest = _LEAP
        while not self._ended():
            places = [self.rates]
            while len(places) < 3 and not self._ended():
                self._step()
                places.append(self.rates)
            if not self._ended():
                leap, length = _leap(places, longest=longest)
                if not self._take(leap):
                    longest = max(1.0, longest / _LEAP_FACTOR)
                elif length == longest:
                    longest *= _LEAP_FACTOR

    def _ended(self) -> bool:
        return self.converged or len(self.seen) >= self._most

    def _step(self) -> None:
        self.rates = self._model.rates(self.posterior)
        self.posterior, likelihood = self._model.posterior(self.rates)
        self.converged = likelihood - self.seen[-1] <= self._least
        self.seen.append(likelihood)

    def _take(self, rates: Rates) -> bool:
        """Go to the rates unless the log-likelihood falls by it; say whether it was so."""
        posterior, likelihood = self._model.posterior(rates)
        if not likelihood >= self.seen[-1]:
            return False
        self.rates, self.posterior = rates, posterior
        self.seen.append(likelihood)
        return True


def _leap(places: Sequence[Rates], *, longest: float) -> tuple[Rates, float]:
    """Return where three places of EM in a row lead to, and the length of the leap.

    The length is Varadhan and Roland's -alpha, from 1, which leads to the last place, to `longest`.
    """
    before, between, after = (
        [np.log(np.maximum(rates, _SMALLEST)) for rates in place] for place in places
    )
    steps = [one - zero for zero, one in zip(before, between, strict=True)]
    bends = [two - one - step for one, two, step in zip(between, after, steps, strict=True)]
    step_squares, bend_squares = (
        sum(float((part**2).sum()) for part in parts) for parts in (steps, bends)
    )
    straight = bend_squares * longest**2 <= step_squares
    length = longest if straight else max(1.0, (step_squares / bend_squares) ** 0.5)
    prevalence, confusion = (
        _exponentials(zero + 2 * length * step + length**2 * bend)
        for zero, step, bend in zip(before, steps, bends, strict=True)
    )
    return (prevalence, confusion), length


def _exponentials(logarithms: np.ndarray) -> np.ndarray:
    """Return probabilities that sum to 1 along the last axis."""
    found = np.exp(logarithms - logarithms.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = found / found.sum(axis=-1, keepdims=True)
    return probabilities
