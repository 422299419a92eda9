"""The reward model alone: fitted to the rankings of a file, tested on those it never saw.

What is measured is the share of held-out comparisons that it orders right, with a bootstrap
interval over prompts (`reward/evaluating/intervals.py`), by subset where the file names subsets.
Leaves out the cross-fitting of a round (`reward/reward_modeling/reward_fitting.py`): the file's
held-out rankings are the test. Called by `rankloop train reward`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from labeling.imports.ranking_files import RankedText, count_pairs, read_rankings, split_rankings
from labeling.judging.rankings import pairs_of
from reward.language_models.profiles import TrainingProfile
from reward.reward_modeling.ranked_examples import CachedExample, RankedExample
from reward.reward_modeling.reward_fitting import reference_samples
from reward.reward_modeling.reward_model import (
    RewardModel,
    cache_examples,
    head_scores,
    pair_margins,
)
from reward.reward_modeling.reward_report import JudgedRanking, RewardReport, reward_report
from reward.reward_modeling.reward_settings import HEAD, RewardSettings
from reward.reward_modeling.reward_training import FitProgress, check_examples, train_reward_model
from reward.stages.curves import LossCurve, stage_tracker
from reward.stages.enough_memory import enough_memory, training_advice
from reward.stages.examples import ranked_examples
from reward.stages.model import FEATURE, Say, StageModel, StageRun, described
from reward.stages.pace import Pace
from reward.stages.result import (
    PROGRESS,
    Meter,
    described_file,
    finish,
    free_folder,
    running,
)
from reward.training.processes import Processes
from storage.errors import BadInput


@dataclass(frozen=True)
class RewardRequest:
    """What `rankloop train reward` was asked."""

    data: Path
    out: Path
    heldout_share: float = 0.15
    max_rankings: int = 0  #: of the training rankings, the first so many; 0: all


@dataclass(frozen=True)
class RewardData:
    """The rankings of a file, on either side."""

    train: list[RankedText]
    heldout: list[RankedText]

    def counts(self) -> dict[str, int]:
        """Return how much there is to train on."""
        return {"train_rankings": len(self.train), "train_pairs": count_pairs(self.train)}


@enough_memory(training_advice("reward.rankings_per_step"))
def train_reward_stage(request: RewardRequest, run: StageRun) -> dict[str, Any]:
    """Fit, test and save a reward model; return its metrics.

    Raises `BadInput`, `Conflict` or `Unavailable` in one sentence; nothing is left behind then.
    """
    folder = free_folder(request.out)
    if not run.tuning and run.profile.reward.tuning == HEAD:
        run = replace(run, tuning=HEAD)
    data = read_data(request, run.profile.reward.min_comparisons)
    asked = {
        "data": described_file(request.data),
        "heldout_share": request.heldout_share,
        "max_rankings": request.max_rankings,
    }
    if run.fits_features:
        return _features(data, folder, run, asked)
    model = run.load()
    model = replace(model, profile=with_a_whole_pass(run, len(data.train)))
    meter = Meter(model.device)
    train = ranked_examples(model, data.train)
    heldout = ranked_examples(model, data.heldout)
    check_examples(train, model.profile.reward)
    made_with = model.made_with("reward", **asked)
    with running(folder, made_with):
        fitted, fit = _fit(model, train, folder, run.say)
        run.say(f"testing on {count_pairs(data.heldout)} held-out comparisons")
        metrics = {
            **report_metrics(_report(model, fitted, heldout, run.say)),
            **data.counts(),
            **fit,
            "trainable_parameters": _size(model, fitted),
            "seconds": meter.seconds,
            "peak_memory_mb": meter.peak_memory_mb,
        }
        return finish(folder, made_with=made_with, metrics=metrics, save=fitted.save)


def _features(
    data: RewardData, folder: Path, run: StageRun, asked: dict[str, Any]
) -> dict[str, Any]:
    """Fit the linear model on features of the text, which needs no language model."""
    unread = sorted(set(run.overrides.get("reward", {})) - {"tuning", "min_comparisons"})
    if unread:
        run.say(f"passed over, since feature does not read them: reward.{', reward.'.join(unread)}")
    from reward.stages.features import fit_features, wanted_encoder

    encoder = wanted_encoder(run)
    run.say("fitting a linear model on features of the text")
    meter = Meter(torch.device("cpu"))
    made_with = described("reward", run.settings, run.profile, tuning=FEATURE, **asked)
    with running(folder, made_with):
        fitted = fit_features(data.train, data.heldout, run, encoder)
        metrics = {
            **report_metrics(fitted.report),
            **data.counts(),
            "trainable_parameters": fitted.model.heads.size,
            "seconds": meter.seconds,
            "peak_memory_mb": meter.peak_memory_mb,
        }
        return finish(folder, made_with=made_with, metrics=metrics, save=fitted.model.save)


def read_data(request: RewardRequest, min_comparisons: int) -> RewardData:
    """Read the file and split it; raise `BadInput` where it holds too little to fit or to test."""
    train, heldout = split_rankings(read_rankings(request.data), request.heldout_share)
    train = weighing(train, request.data)
    if request.max_rankings:
        train = train[: request.max_rankings]
    pairs, tests = count_pairs(train), count_pairs(heldout)
    if not pairs + tests:
        raise BadInput(f"{request.data}: there is nothing to learn from, all rankings are ties.")
    if pairs < min_comparisons or not tests:
        raise BadInput(
            f"{request.data}: it has {pairs} comparisons to train on and {tests} held out to test "
            f"on, but at least {max(min_comparisons, 1)} and 1 are needed; add rankings, or change "
            "--heldout-share or --set reward.min_comparisons=N."
        )
    check_classes(train, request.data)
    return RewardData(train, heldout)


def weighing(rankings: Sequence[RankedText], file: Path) -> list[RankedText]:
    """Return the rankings that count, without those of weight 0; `BadInput` where none does."""
    kept = [one for one in rankings if one.weight > 0]
    if rankings and not kept:
        raise BadInput(
            f"{file}: there is nothing to learn from, every ranking to train on has weight 0."
        )
    return kept


def check_classes(rankings: Sequence[RankedText], file: Path) -> None:
    """Raise `BadInput` where no comparison is of two different completions."""
    if all(
        one.completions[better] == one.completions[worse]
        for one in rankings
        for better, worse in pairs_of(one.ranks)
    ):
        raise BadInput(
            f"{file}: there is one class only, in every comparison to train on both completions "
            "are the same."
        )


def with_a_whole_pass(run: StageRun, rankings: int) -> TrainingProfile:
    """Return the profile with steps enough to read every ranking once.

    A round caps its steps for its minutes; a file is used whole, unless a setting says otherwise.
    """
    settings = run.profile.reward
    if run.sets("reward", "max_steps"):
        return run.profile
    steps = max(settings.max_steps, -(-rankings // settings.rankings_per_step))
    return replace(run.profile, reward=replace(settings, max_steps=steps))


def _fit(
    model: StageModel, train: Sequence[RankedExample], folder: Path, say: Say
) -> tuple[RewardModel, dict[str, Any]]:
    settings = model.profile.reward
    fitted = RewardModel.fresh(model.backbone, settings, "reward")
    curve = LossCurve(folder, say)
    with stage_tracker(folder, model) as tracker:

        def on_step(step: int, steps: int, metrics: Mapping[str, float]) -> None:
            loss = metrics["loss"]
            curve.add(step, steps, loss)
            others = {name: value for name, value in metrics.items() if name != "loss"}
            tracker.log("reward", step, {"loss/reward": loss, **others})

        last = train_reward_model(
            fitted,
            _cached(model, train, say),
            settings,
            seed=model.seed,
            on_step=on_step,
            progress=FitProgress(folder, PROGRESS, "reward"),
            processes=Processes.current(),
        )
    say("normalising the scores on completions of the bare model")
    fitted.normalise(torch.cat(head_scores(fitted, _reference(model, train, settings)), dim=1))
    return fitted, {
        "loss_first": curve.losses[0],
        "loss_last": last,
        "steps": curve.steps,
        "resumed": curve.went_on,
    }


def _reference(
    model: StageModel, train: Sequence[RankedExample], settings: RewardSettings
) -> list[CachedExample]:
    """Return completions by the bare model of train prompts that leave room for them."""
    sampling = model.profile.sampling
    room = model.backbone.context_length - sampling.max_new_tokens
    distinct = dict.fromkeys(tuple(one.prompt) for one in train if len(one.prompt) <= room)
    prompts = [list(prompt) for prompt in distinct][: settings.normalise_prompts]
    if not prompts:
        return cache_examples(model.backbone, train, settings)
    drawn = reference_samples(
        model.backbone,
        None,
        prompts,
        sampling,
        seed=model.seed,
        batch_size=model.profile.generation.batch,
    )
    return cache_examples(model.backbone, drawn, settings)


def _cached(model: StageModel, examples: Sequence[RankedExample], say: Say) -> list[CachedExample]:
    pace = Pace(parts=4)

    def read(done: int) -> None:
        if pace.is_due(done, len(examples)):
            say(f"reading rankings: {done} of {len(examples)}")

    return cache_examples(model.backbone, examples, model.profile.reward, read)


def _report(
    model: StageModel, fitted: RewardModel, heldout: Sequence[RankedExample], say: Say
) -> RewardReport:
    judged, pace = [], Pace(parts=1)
    # One at a time: the activations of a whole file would be gigabytes, for one use.
    for done, one in enumerate(heldout, start=1):
        if pace.is_due(done, len(heldout)):
            say(f"tested: {done} of {len(heldout)} rankings")
        if one.pairs:
            read = cache_examples(model.backbone, [one], model.profile.reward)
            (margins,) = pair_margins(fitted, read)
            judged.append(JudgedRanking(one.group, one.subset, margins))
    return reward_report(judged, seed=model.seed)


def report_metrics(report: RewardReport) -> dict[str, Any]:
    """Return a report's figures by the stage's names."""
    found: dict[str, Any] = {
        "accuracy": report.accuracy.value,
        "accuracy_ci": [report.accuracy.low, report.accuracy.high],
        "pairs": report.accuracy.values,
        "prompts": report.accuracy.clusters,
        "loss_heldout": report.loss,
        "calibration_error": report.calibration_error,
        "reliability": [asdict(one) for one in report.reliability],
    }
    named = {subset: one for subset, one in report.by_subset.items() if subset}
    if named:
        found["by_subset"] = {
            subset: {"accuracy": one.value, "accuracy_ci": [one.low, one.high], "pairs": one.values}
            for subset, one in named.items()
        }
    return found


def _size(model: StageModel, fitted: RewardModel) -> int:
    weights = [*model.backbone.parameters(fitted.adapter), *fitted.head_parameters()]
    return sum(weight.numel() for weight in weights)
