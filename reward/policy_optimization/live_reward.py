"""The reward model of the newest round that published, for work beside the rounds.

It scores completions before people see them: to choose which are shown, and to label ahead of
people. It has an adapter of its own, so that a round that trains another one is left alone.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select
from torch import Tensor

from labeling.keys import key_of
from reward.generation.conversations import Messages, answer_ids, prompt_ids
from reward.generation.selection import HeadScores, pair_probabilities
from reward.policy_optimization.reward_scorer import RewardScorer, load_reward_scorer
from reward.reward_modeling.calibration import ReliabilityBin
from reward.reward_modeling.feature_model import FeatureRewardModel
from reward.reward_modeling.ranked_examples import RankedExample, cache_trunks
from reward.reward_modeling.reward_model import RewardModel, head_scores
from reward.running.runtime import Runtime
from storage.blobs import checked_path
from storage.engine import reading
from storage.errors import RankloopError
from storage.tables import Round, RoundState

log = logging.getLogger(__name__)

ADAPTER = "live_reward"


@dataclass(frozen=True)
class LiveReward:
    """A published round's reward model and what its held-out folds said of it."""

    round_id: int
    number: int
    finished_at: datetime
    reliability: list[ReliabilityBin]
    model: RewardModel | FeatureRewardModel

    def raw_scores(
        self, runtime: Runtime, messages: Messages, texts: Sequence[str], reasons: Sequence[str]
    ) -> Tensor | None:
        """Return the heads' outputs (H, n), in nats; None where the texts do not fit.

        `reasons` says why each completion ended, `stop` where the policy ended it by itself.
        """
        if isinstance(self.model, FeatureRewardModel):
            return self.model.raw_scores([messages] * len(texts), texts)
        example = answered_example(runtime, messages, texts, reasons)
        if example is None:
            return None
        (scores,) = head_scores(self.model, cache_trunks(runtime.backbone, [example]))
        return scores.cpu()

    def head_scores(
        self, runtime: Runtime, messages: Messages, texts: Sequence[str], reasons: Sequence[str]
    ) -> HeadScores | None:
        """Return what each head says of the completions; None where the texts do not fit."""
        raw = self.raw_scores(runtime, messages, texts, reasons)
        if raw is None:
            return None
        scores = self.model.normalised(raw.to(self.model.shift.device)).cpu().double().numpy()
        return HeadScores(scores, pair_probabilities(raw, self.flips))

    @property
    def flips(self) -> float:
        """Return the share of labels that the model takes to be wrong."""
        return self.model.choice.flips if isinstance(self.model, FeatureRewardModel) else 0.0


class LiveRewards:
    """Finds the newest published round's reward model, and loads each one once."""

    def __init__(self, runtime: Runtime) -> None:
        """Load nothing yet."""
        self.runtime = runtime
        self._live: LiveReward | None = None
        self._unusable = 0  # the round whose model cannot be loaded

    def newest(self) -> LiveReward | None:
        """Return the model; None where no round has published one, or it cannot be loaded."""
        one = self._round()
        if one is None or one.id == self._unusable:
            return None
        if self._live is None or self._live.round_id != one.id:
            try:
                self._live = self._load(one)
            except RankloopError as error:
                log.warning("The reward model of round %d is not used: %s", one.number, error)
                self._live, self._unusable = None, key_of(one)
        return self._live

    def _round(self) -> Round | None:
        with reading(self.runtime.engine) as session:
            ended = session.exec(
                select(Round)
                .where(Round.project_id == self.runtime.project_id, Round.state == RoundState.DONE)
                .order_by(col(Round.number).desc())
            )
            return next((one for one in ended if "reward" in one.artefacts), None)

    def _load(self, one: Round) -> LiveReward:
        uri = one.artefacts["reward"]
        scorer: RewardScorer = load_reward_scorer(
            self.runtime.backbone, checked_path(self.runtime.home, uri), ADAPTER
        )
        assert isinstance(scorer, RewardModel | FeatureRewardModel)
        assert one.finished_at is not None
        bins = [ReliabilityBin(**found) for found in one.metrics.get("reward_reliability", [])]
        return LiveReward(key_of(one), one.number, one.finished_at, bins, scorer)


def answered_example(
    runtime: Runtime,
    messages: Messages,
    texts: Sequence[str],
    reasons: Sequence[str],
    *,
    system_prompt: str | None = None,
) -> RankedExample | None:
    """Return a prompt and its completions as token ids, unranked; None where they do not fit.

    `reasons` says why each completion ended; `system_prompt` None: the project's.
    """
    tokenizer, ends = runtime.backbone.tokenizer, runtime.backbone.end_tokens
    said = runtime.project.system_prompt if system_prompt is None else system_prompt
    prompt = prompt_ids(tokenizer, messages, said)
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else ends[-1]
    answers = [
        answer_ids(tokenizer, text, ended=reason == "stop", end_token=int(end))
        for text, reason in zip(texts, reasons, strict=True)
    ]
    if len(prompt) + max(map(len, answers)) > runtime.backbone.context_length:
        return None
    return RankedExample(prompt, answers, [1] * len(answers), 0)
