"""Fit feature-based reward models to rankings, as `reward_fitting.py` does with adapters."""

from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from reward.language_models.sentence_encoder import TextEncoder, home_encoder
from reward.reward_modeling.cross_fitting import cross_fit
from reward.reward_modeling.feature_model import FeatureRewardModel, FeatureSettings, as_text
from reward.reward_modeling.ranked_examples import RankedExample
from reward.reward_modeling.reward_fitting import FittedReward, unseen_pairs
from reward.reward_modeling.reward_settings import RewardSettings


class FeatureFitter:
    """Fits linear models on the text of rankings; the encoder is loaded once for all of them."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        settings: FeatureSettings,
        encoder: TextEncoder | None,
    ) -> None:
        """Keep what every fit needs."""
        self.tokenizer = tokenizer
        self.settings = settings
        self.encoder = encoder

    def fit(self, examples: Sequence[RankedExample], *, name: str, seed: int) -> FeatureRewardModel:
        """Return a model fitted to the rankings."""
        del name
        return FeatureRewardModel.fit(
            as_text(examples, self.tokenizer),
            self.settings,
            seed=seed,
            encoder=self.encoder,
            tokenizer=self.tokenizer,
        )

    def margins(
        self, model: FeatureRewardModel, examples: Sequence[RankedExample]
    ) -> list[list[float]]:
        """Return Δr, in nats, of every pair of each ranking that has pairs."""
        return model.pair_margins(as_text(examples, self.tokenizer))


def fit_features(
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[RankedExample],
    heldout: Sequence[RankedExample],
    settings: RewardSettings,
    features: FeatureSettings,
    *,
    seed: int,
    normalise_on: Sequence[RankedExample],
    working: Callable[[str], None],
) -> FittedReward:
    """Fit, measure and normalise a feature-based model and its second opinion.

    Raises `BadInput` where nothing can be tested, `Unavailable` where the encoder cannot be had.
    """
    working("fitting a linear model on features of the text")
    encoder = home_encoder() if features.reads_embeddings else None
    fitter = FeatureFitter(tokenizer, features, encoder)
    fitted = cross_fit(fitter, train, heldout, settings, seed=seed)
    samples = as_text(normalise_on or train, tokenizer)
    prompts = [one.prompt for one in samples for _ in one.completions]
    completions = [text for one in samples for text in one.completions]
    for model in (fitted.model, fitted.second):
        model.normalise(model.raw_scores(prompts, completions))
    loss, pairs = fitted.model.choice.loss, unseen_pairs(fitted.unseen)
    return FittedReward(fitted.model, fitted.second, fitted.report, loss, pairs)
