"""Step 3: train the reward model on the snapshot, and find out whether it beats a coin.

Leaves the artefacts `reward`, which PPO climbs, `second_reward`, which must agree at the gate, and
`out_of_fold`, what the models think of labels that they were not fitted to.
"""

import random
from collections.abc import Mapping

from labeling.model_annotators.out_of_fold import ARTEFACT, write_unseen_pairs
from reward.evaluating.gate import check_reward_model, refusal
from reward.policy_optimization.reward_scorer import RewardScorer
from reward.reward_modeling.ranked_examples import RankedExample
from reward.reward_modeling.reward_fitting import (
    FittedReward,
    fit_reward,
    reference_samples,
)
from reward.reward_modeling.reward_training import check_examples
from reward.steps.outcome import PROGRESS, CannotTrain, StepContext, StepOutcome, new_uri
from reward.steps.ppo import load_reference
from reward.steps.prompts import policy_prompts
from reward.steps.snapshot import rankings_of_round
from reward.steps.together import fit_reward_together, trains_together
from reward.training.progress_checkpoint import ProgressPlace
from storage.blobs import write_folder
from storage.errors import RankloopError
from storage.tables import Split


def train_reward(context: StepContext) -> StepOutcome:
    """Train, measure, normalise, gate and save the round's reward models."""
    profile = context.runtime.profile
    try:
        fitted = _fit(context)
    except RankloopError as error:
        raise CannotTrain(str(error)) from error
    checks = check_reward_model(fitted.report.accuracy, profile.gate)
    return StepOutcome(
        artefacts=_saved(context, fitted),
        metrics={
            **fitted.report.metrics(),
            "reward_loss": fitted.loss,
            "gate": [check.as_dict() for check in checks],
        },
        rejected=refusal(checks),
    )


def _fit(context: StepContext) -> FittedReward:
    profile = context.runtime.profile
    newest = profile.reward.newest_rankings
    train = rankings_of_round(context, Split.TRAIN)[-newest:]
    heldout = rankings_of_round(context, Split.HELDOUT)[-newest:]
    normalise_on = _reference_samples(context)
    if trains_together(context) and profile.reward.tuning != "feature":
        check_examples(train, profile.reward)
        return fit_reward_together(context, train, heldout, normalise_on)
    return fit_reward(
        context.runtime.backbone,
        train,
        heldout,
        profile.reward,
        seed=context.round.seed,
        normalise_on=normalise_on,
        report=context.report,
        working=context.working,
        progress=_progress(context),
        features=profile.features,
    )


def _saved(context: StepContext, fitted: FittedReward) -> Mapping[str, str]:
    models: dict[str, RewardScorer] = {"reward": fitted.model, "second_reward": fitted.second}
    uris = {name: new_uri(context, name.replace("_", "-")) for name in models}
    for name, model in models.items():
        with write_folder(context.runtime.home, uris[name]) as folder:
            model.save(folder)
    uris[ARTEFACT] = new_uri(context, ARTEFACT.replace("_", "-"))
    write_unseen_pairs(context.runtime.home, uris[ARTEFACT], fitted.unseen)
    return uris


def _reference_samples(context: StepContext) -> list[RankedExample]:
    """Sample the reference policy on some train prompts; none where no prompt leaves room."""
    runtime, seed = context.runtime, context.round.seed
    profile = runtime.profile
    prompts = policy_prompts(runtime, Split.TRAIN)
    random.Random(seed).shuffle(prompts)
    prompts = prompts[: profile.reward.normalise_prompts]
    if not prompts:
        return []
    context.working(f"sampling the reference policy on {len(prompts)} prompts")
    return reference_samples(
        runtime.backbone,
        load_reference(context),
        prompts,
        profile.sampling,
        seed=seed,
        batch_size=profile.generation.batch,
    )


def _progress(context: StepContext) -> ProgressPlace | None:
    uri = context.round.artefacts.get(PROGRESS)
    return ProgressPlace(context.runtime.home, uri) if uri else None
