"""The feature-based reward model of `rankloop train reward --tuning feature`: text alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from labeling.imports.ranking_files import RankedText
from reward.language_models.sentence_encoder import TextEncoder, home_encoder
from reward.reward_modeling.feature_model import FeatureRewardModel
from reward.reward_modeling.reward_report import JudgedRanking, RewardReport, reward_report
from reward.reward_modeling.text_rankings import TextRanking
from reward.stages.examples import group_of
from reward.stages.model import StageRun


@dataclass(frozen=True)
class FittedFeatures:
    """A feature-based reward model and what it is worth on rankings that it never saw."""

    model: FeatureRewardModel
    report: RewardReport


def wanted_encoder(run: StageRun) -> TextEncoder | None:
    """Return the sentence encoder, or None where the settings read no embeddings.

    Fetching it the first time takes longer than fitting: `run.progress` is told. Raises
    `Unavailable`.
    """
    return home_encoder(run.progress) if run.profile.features.reads_embeddings else None


def fit_features(
    train: Sequence[RankedText],
    heldout: Sequence[RankedText],
    run: StageRun,
    encoder: TextEncoder | None,
) -> FittedFeatures:
    """Fit to one side and test on the other."""
    seed = run.settings.seed
    model = FeatureRewardModel.fit(
        [_ranking(one) for one in train], run.profile.features, seed=seed, encoder=encoder
    )
    tested = [one for one in heldout if len(set(one.ranks)) > 1]
    margins = model.pair_margins([_ranking(one) for one in tested])
    judged = [
        JudgedRanking(group_of(one), one.subset, each)
        for one, each in zip(tested, margins, strict=True)
    ]
    return FittedFeatures(model, reward_report(judged, seed=seed))


def _ranking(one: RankedText) -> TextRanking:
    return TextRanking(one.messages, one.completions, one.ranks, group_of(one), weight=one.weight)
