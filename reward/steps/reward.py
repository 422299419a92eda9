"""Step 3: train the reward model on the snapshot, and find out whether it beats a coin.

Its accuracy is cross-fitted while rankings are few: the rankings are cut into folds by prompt, and
each fold is judged by a model that never saw it, so every ranking is a test. With many rankings one
held-out part is enough. The model that PPO uses is then fitted to all training rankings.
"""

import torch

from reward.gate import check_reward_model, refusal
from reward.intervals import Interval, bootstrap_mean
from reward.reward_model import (
    CachedExample,
    RewardModel,
    RewardSettings,
    cache_trunks,
    pair_outcomes,
    planned_steps,
    score_rankings,
    train_reward_model,
)
from reward.steps.outcome import CannotTrain, StepContext, StepOutcome, new_uri
from reward.steps.snapshot import rankings_of_round
from storage.blobs import write_folder
from storage.tables import Split


def train_reward(context: StepContext) -> StepOutcome:
    """Train, measure, gate and save the round's reward model."""
    runtime, one = context.runtime, context.round
    settings = runtime.profile.reward
    rankings = rankings_of_round(context, Split.TRAIN)[-settings.newest_rankings :]
    heldout = rankings_of_round(context, Split.HELDOUT)[-settings.newest_rankings :]
    if not any(len(set(ranking.ranks)) > 1 for ranking in rankings):
        raise CannotTrain(
            "There is nothing to learn from: every ranking on training prompts is all ties."
        )
    total = len(rankings) + len(heldout)

    def cached(done: int) -> None:
        if done % 10 == 0:
            context.working(f"reading rankings, {done} of {total}")

    examples = cache_trunks(runtime.backbone, rankings, cached)
    unseen = cache_trunks(runtime.backbone, heldout, cached)
    plan = _Plan(context, examples, settings)
    outcomes = plan.cross_fitted()
    model = plan.fit(examples, name="reward")
    outcomes += pair_outcomes(model, unseen)
    if not outcomes:
        raise CannotTrain("Too few rankings to test a reward model on: judge more tasks.")
    accuracy = bootstrap_mean(_by_prompt([*plan.tested, *unseen], outcomes), seed=one.seed)
    model.normalise(torch.cat(score_rankings(model, examples)))
    uri = new_uri(context, "reward")
    with write_folder(runtime.home, uri) as folder:
        model.save(folder)
    checks = check_reward_model(accuracy, runtime.profile.gate)
    return StepOutcome(
        artefacts={"reward": uri},
        metrics={
            **_accuracy_metrics(accuracy),
            "reward_loss": plan.last_loss,
            "gate": [check.as_dict() for check in checks],
        },
        rejected=refusal(checks),
    )


class _Plan:
    """The fits of one step, counted together so that one progress bar covers them."""

    def __init__(
        self, context: StepContext, examples: list[CachedExample], settings: RewardSettings
    ) -> None:
        self.context = context
        self.settings = settings
        self.folds = _folds(examples, settings)
        trainings = [with_pairs(train) for train, _ in self.folds] + [with_pairs(examples)]
        self.steps = sum(planned_steps(size, settings) for size in trainings)
        self.done = 0
        self.last_loss = float("nan")
        self.tested: list[CachedExample] = []

    def cross_fitted(self) -> list[list[float]]:
        """Return the pair outcomes of every fold, judged by a model that never saw it."""
        outcomes: list[list[float]] = []
        for train, test in self.folds:
            if not with_pairs(train) or not with_pairs(test):
                continue
            outcomes += pair_outcomes(self.fit(train, name="reward_fold"), test)
            self.tested += test
        return outcomes

    def fit(self, examples: list[CachedExample], *, name: str) -> RewardModel:
        """Train one reward model and report its loss as it falls."""
        model = RewardModel(self.context.runtime.backbone, name)
        recent: list[float] = []

        def on_step(step: int, steps: int, loss: float) -> None:
            self.done += 1
            recent.append(loss)
            if not torch.isfinite(torch.tensor(loss)):
                raise CannotTrain("The reward model's loss is not a finite number.")
            if len(recent) == 5 or step == steps:
                self.last_loss = sum(recent) / len(recent)
                self.context.report(self.done, self.steps, {f"loss/{name}": self.last_loss})
                recent.clear()

        seed = self.context.round.seed
        train_reward_model(model, examples, self.settings, seed=seed, on_step=on_step)
        return model


def _folds(
    examples: list[CachedExample], settings: RewardSettings
) -> list[tuple[list[CachedExample], list[CachedExample]]]:
    groups = sorted({example.group for example in examples})
    many = len(groups) >= 5 * settings.holdout_rankings
    count = 5 if many else settings.folds
    part = {group: index % count for index, group in enumerate(groups)}
    return [
        (
            [example for example in examples if part[example.group] != fold],
            [example for example in examples if part[example.group] == fold],
        )
        for fold in range(1 if many else count)
    ]


def with_pairs(examples: list[CachedExample]) -> int:
    """Return how many of the rankings are not all ties."""
    return sum(len(example.pairs) > 0 for example in examples)


def _by_prompt(examples: list[CachedExample], outcomes: list[list[float]]) -> list[list[float]]:
    """Put together the outcomes of one prompt's rankings: they are of the same completions."""
    judged = [example for example in examples if len(example.pairs)]
    found: dict[int, list[float]] = {}
    for example, values in zip(judged, outcomes, strict=True):
        found.setdefault(example.group, []).extend(values)
    return list(found.values())


def _accuracy_metrics(accuracy: Interval) -> dict[str, float]:
    return {
        "reward_accuracy": accuracy.value,
        "reward_accuracy_low": accuracy.low,
        "reward_accuracy_high": accuracy.high,
        "reward_pairs": accuracy.values,
        "reward_rankings": accuracy.clusters,
    }
