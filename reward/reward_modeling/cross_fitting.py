"""Fit reward models to rankings, and measure them on rankings that they never saw.

While rankings are few they are cut into folds by prompt, and each fold is judged by a model that
never saw it, so every ranking is a test. With many rankings one held-out fifth is enough. The model
that is used is then fitted to all of them; the first fold's model stays as a second opinion, since
it began with another seed and saw a part of the prompts: half of them, or four fifths. Where there
are too few prompts for a fold, another seed alone tells them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from reward.reward_modeling.reward_report import JudgedRanking, RewardReport, reward_report
from reward.reward_modeling.reward_settings import RewardSettings
from storage.errors import BadInput


class Ranking(Protocol):
    """What cross-fitting has to know of a ranking."""

    @property
    def group(self) -> int:
        """Return the prompt's id."""
        ...

    @property
    def subset(self) -> str:
        """Return what the ranking is counted under."""
        ...

    @property
    def pairs(self) -> Any:
        """Return the pairs that are not ties; their number is looked at."""
        ...


Model = TypeVar("Model")
Item = TypeVar("Item", bound=Ranking)
Given = TypeVar("Given", bound=Ranking, contravariant=True)


class Fitter(Protocol[Given, Model]):
    """A way of fitting reward models."""

    def fit(self, examples: Sequence[Given], *, name: str, seed: int) -> Model:
        """Return a model fitted to the rankings; `name` tells the fits of one step apart."""
        ...

    def margins(self, model: Model, examples: Sequence[Given]) -> list[list[float]]:
        """Return Δr of every pair of each ranking that has pairs."""
        ...


@dataclass(frozen=True)
class CrossFitted(Generic[Item, Model]):
    """What `cross_fit` returns."""

    model: Model
    second: Model
    report: RewardReport
    unseen: list[tuple[Item, list[float]]]  #: each tested ranking, and Δr of its pairs


def cross_fit(
    fitter: Fitter[Item, Model],
    train: Sequence[Item],
    heldout: Sequence[Item],
    settings: RewardSettings,
    *,
    seed: int,
) -> CrossFitted[Item, Model]:
    """Fit the folds and all of `train`; measure on what each fit did not see.

    Raises `BadInput` where no fold can be fitted and tested, and nothing is held out.
    """
    unseen: list[tuple[Item, list[float]]] = []
    second: Model | None = None
    parts = folds(train, settings)
    if not parts and not _with_pairs(heldout):
        raise BadInput("Too few rankings to test a reward model on: judge more tasks.")
    for number, (fitted, test) in enumerate(parts, start=1):
        name = "second_reward" if second is None else f"reward_fold_{number}"
        model = fitter.fit(fitted, name=name, seed=seed + number)
        second = model if second is None else second
        unseen += _tested(fitter, model, test)
    if second is None:
        second = fitter.fit(train, name="second_reward", seed=seed + 1)
    model = fitter.fit(train, name="reward", seed=seed)
    unseen += _tested(fitter, model, heldout)
    judged = [JudgedRanking(one.group, one.subset, margins) for one, margins in unseen]
    return CrossFitted(model, second, reward_report(judged, seed=seed), unseen)


def folds(train: Sequence[Item], settings: RewardSettings) -> list[tuple[list[Item], list[Item]]]:
    """Return (what is fitted, what it is tested on), by prompt, where both hold comparisons."""
    groups = sorted({one.group for one in train})
    many = len(groups) >= 5 * settings.holdout_rankings
    count = 5 if many else settings.folds
    part = {group: index % count for index, group in enumerate(groups)}
    found = []
    for fold in range(1 if many else count):
        fitted = [one for one in train if part[one.group] != fold]
        test = [one for one in train if part[one.group] == fold]
        if _with_pairs(fitted) and _with_pairs(test):
            found.append((fitted, test))
    return found


def _with_pairs(examples: Sequence[Item]) -> list[Item]:
    return [one for one in examples if len(one.pairs)]


def _tested(
    fitter: Fitter[Item, Model], model: Model, examples: Sequence[Item]
) -> list[tuple[Item, list[float]]]:
    tested = _with_pairs(examples)
    return list(zip(tested, fitter.margins(model, tested), strict=True))
