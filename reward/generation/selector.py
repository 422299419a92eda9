"""Decide, for each prompt of a chunk, what is sampled, which K completions are shown, and when.

A random slice, and every held-out prompt, is answered as without selection and stamped `random`:
statistics and evaluation read those, and stay unbiased. The other tasks carry the strategy's name,
and a priority that puts what is worth most first. The random ones draw theirs from the same
priorities, so that they are ranked as early or late as the others.
"""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from sqlmodel import col, select

from labeling.labeling_sections import SelectionSettings
from labeling.labeling_settings import labeling_settings
from labeling.work_queue.tasks import NewCompletion
from reward.generation.selection import (
    cosine_distances,
    expected_information,
    mean_pair_value,
    most_spread,
    most_valuable,
    pair_disagreement,
)
from reward.language_models.sentence_encoder import TextEncoder, home_encoder
from reward.policy_optimization.live_reward import LiveReward, LiveRewards
from reward.running.runtime import Runtime
from storage.engine import reading
from storage.errors import RankloopError
from storage.tables import Project, Prompt, Split, Task

log = logging.getLogger(__name__)

RANDOM = "random"
BY_REWARD_MODEL = ("uncertainty", "information")
STEPS_OF_VALUE = 1000  # a priority is a whole number: the value in thousandths
RECENT_TASKS = 100  # whose priorities the random slice draws from


@dataclass(frozen=True)
class SelectionPlan:
    """For each prompt of a chunk: how its task is chosen, and how many completions are sampled."""

    strategies: list[str]
    counts: list[int]


@dataclass(frozen=True)
class Shown:
    """The completions of a task in order, with its stamp and its priority."""

    completions: list[NewCompletion]
    selection: str = RANDOM
    priority: int = 0


class Selector:
    """Chooses completions by the project's setting; random where what it needs is not there."""

    def __init__(self, runtime: Runtime, rewards: LiveRewards | None = None) -> None:
        """Load nothing until a strategy asks for it."""
        self.runtime = runtime
        self.rewards = rewards or LiveRewards(runtime)
        self._encoder: TextEncoder | None = None
        self._no_encoder = False

    def plan(self, prompts: Sequence[Prompt], *, seed: int) -> SelectionPlan:
        """Return what to sample: K completions in the random slice, `sampled` times K elsewhere."""
        k = self.runtime.project.completions_per_task
        settings = self._settings()
        strategy = settings.strategy if self._can(settings.strategy) else RANDOM
        rng = random.Random(seed)
        strategies = []
        for one in prompts:
            by_chance = rng.random() < settings.random_slice
            strategies.append(RANDOM if by_chance or one.split is Split.HELDOUT else strategy)
        more = max(k, round(k * settings.sampled))
        return SelectionPlan(strategies, [k if one == RANDOM else more for one in strategies])

    def choose(
        self,
        prompts: Sequence[Prompt],
        answered: Sequence[Sequence[NewCompletion]],
        plan: SelectionPlan,
        *,
        seed: int,
    ) -> list[Shown]:
        """Return what each prompt's task shows, K of its completions or all of fewer."""
        shown = [
            self._shown(prompt, list(found), strategy)
            for prompt, found, strategy in zip(prompts, answered, plan.strategies, strict=True)
        ]
        ranked = [one.priority for one in shown if one.selection != RANDOM]
        ranked = ranked or self._recent_priorities()
        rng = random.Random(seed)
        return [
            Shown(one.completions, RANDOM, rng.choice(ranked))
            if one.selection == RANDOM and ranked
            else one
            for one in shown
        ]

    def chance_priority(self, *, seed: int) -> int:
        """Return the priority of a task that is not chosen: drawn from those of the chosen ones."""
        found = self._recent_priorities()
        return random.Random(seed).choice(found) if found else 0

    def _settings(self) -> SelectionSettings:
        # Read anew: a lead may have changed it since this process began.
        with reading(self.runtime.engine) as session:
            return labeling_settings(session.get_one(Project, self.runtime.project_id)).selection

    def _can(self, strategy: str) -> bool:
        if strategy in BY_REWARD_MODEL:
            return self.rewards.newest() is not None
        return strategy != "diversity" or self._text_encoder() is not None

    def _shown(self, prompt: Prompt, found: list[NewCompletion], strategy: str) -> Shown:
        k = self.runtime.project.completions_per_task
        if strategy == RANDOM or len(found) < 2:
            return Shown(found[:k])
        values = self._values(prompt, found, strategy)
        if values is None:
            return Shown(found[:k])
        spread = strategy == "diversity"
        kept = min(k, len(found))
        chosen = most_spread(values, kept) if spread else most_valuable(values, kept)
        value = mean_pair_value(values, chosen)
        priority = round(STEPS_OF_VALUE * value)
        return Shown([found[position] for position in chosen], strategy, priority)

    def _values(
        self, prompt: Prompt, found: Sequence[NewCompletion], strategy: str
    ) -> numpy.ndarray | None:
        """Return the value of every pair (n, n); None where it cannot be had."""
        texts = [one.text for one in found]
        if strategy == "diversity":
            encoder = self._text_encoder()
            return None if encoder is None else cosine_distances(encoder.encode(texts))
        live: LiveReward | None = self.rewards.newest()
        if live is None:
            return None
        reasons = [one.finish_reason for one in found]
        scores = live.head_scores(self.runtime, prompt.messages, texts, reasons)
        if scores is None:
            return None
        if strategy == "uncertainty":
            return pair_disagreement(scores.scores)
        return expected_information(scores.probabilities)

    def _text_encoder(self) -> TextEncoder | None:
        if self._encoder is None and not self._no_encoder:
            try:
                self._encoder = home_encoder()
            except RankloopError as error:
                log.warning("Completions are chosen at random: %s", error)
                self._no_encoder = True
        return self._encoder

    def _recent_priorities(self) -> list[int]:
        """Return priorities of chosen tasks of late; none where this project chooses at random."""
        strategy = self._settings().strategy
        if strategy == RANDOM:
            return []
        with reading(self.runtime.engine) as session:
            return list(
                session.exec(
                    select(Task.priority)
                    .where(Task.project_id == self.runtime.project_id, Task.selection == strategy)
                    .order_by(col(Task.id).desc())
                    .limit(RECENT_TASKS)
                )
            )
