"""The cheapest reward model: frozen features of the text and a linear model of preference.

Plain numbers about a completion, its length for one, and sentence embeddings (all-MiniLM-L6-v2)
feed a logistic regression on the differences of pairs (Bradley & Terry 1952). It is fitted in
seconds on CPU, so that it can be fitted again after every few judgments. Ridge penalty and the
embeddings' weight are chosen by cross-validation inside the training rankings; heads on
bootstrapped prompts say how sure it is. Leaves out: anything that only a language model sees, and
all interactions of features.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from reward.generation.conversations import Messages
from reward.generation.prompt_text import PromptReader, last_question
from reward.language_models.padding import AnsweredBatch
from reward.language_models.sentence_encoder import TextEncoder, home_encoder
from reward.language_models.wheels import Progress
from reward.reward_modeling.feature_choice import Choice, FeatureSettings, choose, fit_heads
from reward.reward_modeling.feature_space import FeatureSpace, raw_features
from reward.reward_modeling.pairwise_logistic import agreement_margin
from reward.reward_modeling.text_features import NAMES
from reward.reward_modeling.text_rankings import TextRanking, as_text, comparisons_of
from storage.errors import Unavailable

__all__ = ["FILE", "FeatureRewardModel", "FeatureSettings", "TextRanking", "as_text"]

FILE = "feature_model.json"
WEIGHTS = "feature_model.safetensors"
SMALLEST_SPREAD = 1e-6  # scores that differ by less are all alike, and are not scaled up


class FeatureRewardModel:
    """Standardised features and H linear heads; a head's score is (raw − shift) / scale."""

    def __init__(
        self,
        space: FeatureSpace,
        heads: numpy.ndarray,
        choice: Choice,
        settings: FeatureSettings,
        encoder: TextEncoder | None,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        """Take a space of R directions and heads (H, R).

        `encoder` may be None where the choice left embeddings out; `tokenizer` is needed by
        `score` only.
        """
        self.space = space
        self.heads = heads
        self.choice = choice
        self.settings = settings
        self.encoder = encoder
        self.reader = PromptReader(tokenizer) if tokenizer is not None else None
        self.shift = torch.zeros(len(heads))
        self.scale = torch.ones(len(heads))

    @classmethod
    def fit(
        cls,
        rankings: Sequence[TextRanking],
        settings: FeatureSettings | None = None,
        *,
        seed: int,
        encoder: TextEncoder | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> "FeatureRewardModel":
        """Fit a model to rankings; its scores of their completions have mean 0, deviation 1.

        Args:
            rankings: at least one with a pair that is not a tie, else `BadInput`.
            settings: what to choose from.
            seed: of the heads' bootstraps; nothing else is drawn.
            encoder: None: the one of this home, which is fetched if need be (`Unavailable`).
            tokenizer: of the policy whose token ids `score` will be given.
        """
        settings = settings or FeatureSettings()
        comparisons = comparisons_of(rankings)
        encoder = (encoder or home_encoder()) if settings.reads_embeddings else None
        prompts = [last_question(one.prompt) for one in rankings for _ in one.completions]
        completions = [text for one in rankings for text in one.completions]
        raw = raw_features(encoder, prompts, completions, settings.embeddings if encoder else ())
        if encoder is not None:
            encoder.keep()
        number = numpy.repeat(range(len(rankings)), [len(one.completions) for one in rankings])
        choice, space = choose(
            raw, number, comparisons, settings, width=encoder.width if encoder else 1
        )
        if choice.scale == 0 and encoder is not None:
            # Nothing is to be encoded for what the choice left out.
            space, raw, encoder = space.cut(len(NAMES)), raw[:, : len(NAMES)], None
        points = space.transform(raw)
        heads = fit_heads(
            comparisons.differences(points),
            comparisons,
            choice,
            heads=settings.heads,
            seed=seed,
        )
        model = cls(space, heads, choice, settings, encoder, tokenizer)
        model.normalise(torch.from_numpy(heads @ points.T).float())
        return model

    # -- raw scores, a row a head --------------------------------------------------------------

    def raw_scores(self, prompts: Sequence[str | Messages], completions: Sequence[str]) -> Tensor:
        """Return the heads' outputs (H, N) for N completions and their prompts."""
        if not completions:
            return torch.zeros(len(self.heads), 0)
        asked = [last_question(prompt) for prompt in prompts]
        raw = raw_features(self.encoder, asked, completions, self._embeddings)
        return torch.from_numpy(self.heads @ self.space.transform(raw).T).float()

    @property
    def _embeddings(self) -> Sequence[str]:
        return self.settings.embeddings if self.encoder is not None else ()

    # -- scores --------------------------------------------------------------------------------

    def score_texts(self, prompts: Sequence[str | Messages], completions: Sequence[str]) -> Tensor:
        """Return the normalised conservative scores (N,): the heads' mean − conservatism · std."""
        return self._conservative(self.raw_scores(prompts, completions))

    def uncertainty_of_texts(
        self, prompts: Sequence[str | Messages], completions: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """Return the heads' mean normalised score (N,) and their standard deviation (N,)."""
        return self._ensemble(self.raw_scores(prompts, completions))

    def score(self, trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        """Return the normalised conservative scores (B,) of a batch; its trunk is not looked at."""
        mean, deviation = self.score_with_uncertainty(trunk, batch)
        return mean - self.settings.conservatism * deviation

    def score_with_uncertainty(self, trunk: Tensor, batch: AnsweredBatch) -> tuple[Tensor, Tensor]:
        """Return the heads' mean normalised score (B,) and their standard deviation (B,)."""
        del trunk
        if self.reader is None:
            raise Unavailable(
                "This feature-based reward model cannot read token ids; load it with the policy's "
                "tokenizer."
            )
        ends, columns = batch.mask.sum(1).tolist(), batch.columns[:, 0].tolist()
        prompts = [
            self.reader.question(ids[: column + 1])
            for ids, column in zip(batch.ids.tolist(), columns, strict=True)
        ]
        answers = [
            self.reader.answer(ids[:end])
            for ids, end in zip(batch.tokens.tolist(), ends, strict=True)
        ]
        mean, deviation = self.uncertainty_of_texts(prompts, answers)
        return mean.to(batch.ids.device), deviation.to(batch.ids.device)

    def pair_margins(self, rankings: Sequence[TextRanking]) -> list[list[float]]:
        """Return, for each ranking with pairs, Δr of every pair, in nats.

        It is the difference of the heads' mean raw scores, made smaller where some labels are
        taken to be wrong, so that σ(Δr) is the share of people who are expected to agree.
        """
        judged = [one for one in rankings if one.pairs]
        prompts = [one.prompt for one in judged for _ in one.completions]
        raw = self.raw_scores(prompts, [text for one in judged for text in one.completions])
        scores = raw.mean(0).split([len(one.completions) for one in judged])
        return [
            agreement_margin(
                numpy.array([float(of[better] - of[worse]) for better, worse in one.pairs]),
                self.choice.flips,
            ).tolist()
            for one, of in zip(judged, scores, strict=True)
        ]

    def normalise(self, raw: Tensor) -> None:
        """Give the scores of raw outputs (H, N) mean 0 and standard deviation 1, heads first."""
        self.shift = raw.mean(1)
        self.scale = _spread(raw)
        scores = self._conservative(raw)[None]
        self.shift = self.shift + scores.mean() * self.scale
        self.scale = self.scale * _spread(scores)

    def _conservative(self, raw: Tensor) -> Tensor:
        mean, deviation = self._ensemble(raw)
        return mean - self.settings.conservatism * deviation

    def normalised(self, raw: Tensor) -> Tensor:
        """Return every head's normalised scores (H, N) of its raw ones."""
        return (raw - self.shift[:, None]) / self.scale[:, None]

    def _ensemble(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.normalised(raw)
        return scores.mean(0), scores.std(0, unbiased=False)

    # -- checkpoints ---------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the model as JSON and safetensors; the encoder is named, not copied."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {
                "mean": self.space.mean,
                "spread": self.space.spread,
                "directions": numpy.ascontiguousarray(self.space.directions),
                "limits": self.space.limits,
                "heads": numpy.ascontiguousarray(self.heads),
                "shift": self.shift.numpy(),
                "scale": self.scale.numpy(),
            },
            folder / WEIGHTS,
        )
        said = {
            "kind": "feature",
            "text_features": NAMES,
            "encoder": self.encoder.name if self.encoder else None,
            "choice": asdict(self.choice),
            "settings": asdict(self.settings),
        }
        (folder / FILE).write_text(json.dumps(said, indent=2) + "\n")

    @classmethod
    def load(
        cls,
        folder: Path,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        encoder: TextEncoder | None = None,
        progress: Progress | None = None,
    ) -> "FeatureRewardModel":
        """Read what `save` wrote; raise `Unavailable` naming the file where it cannot be used.

        `progress` hears of the encoder of this home, which is fetched if need be (None: the log).
        """
        try:
            said: dict[str, Any] = json.loads((folder / FILE).read_text())
            state = load_file(folder / WEIGHTS)
            given: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in said["settings"].items()
            }
            settings, choice = FeatureSettings(**given), Choice(**said["choice"])
            # Older versions kept no limits: the space then clips as these heads were fitted.
            space = FeatureSpace(
                state["mean"], state["spread"], state["directions"], state.get("limits")
            )
            heads, shift, scale = state["heads"], state["shift"], state["scale"]
        except Exception as error:
            raise Unavailable(
                f"The checkpoint file {folder / FILE} cannot be read: {error}."
            ) from error
        found = (encoder or home_encoder(progress)) if said["encoder"] else None
        if tuple(said["text_features"]) != NAMES or (found and found.name != said["encoder"]):
            raise Unavailable(
                f"The reward model {folder} was made with other features; fit it again."
            )
        model = cls(space, heads, choice, settings, found, tokenizer)
        model.shift, model.scale = torch.from_numpy(shift), torch.from_numpy(scale)
        return model


def _spread(values: Tensor) -> Tensor:
    """Return the standard deviation of each row (R, N): (R,), 1 where all values are alike."""
    if values.shape[1] < 2:
        return torch.ones(len(values))
    spread = values.std(1)
    return torch.where(spread > SMALLEST_SPREAD, spread, torch.ones_like(spread))
