"""A round's training handed to several processes (the setting `processes`).

The inputs go into a folder, `reward/stages/job.py` trains on them in every process, and what came
out is read back. A process that dies fails the step with one sentence; nothing was touched then.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from labeling.model_annotators.out_of_fold import UnseenPair
from reward.evaluating.intervals import Interval
from reward.policy_optimization.reward_scorer import load_reward_scorer
from reward.reward_modeling.calibration import ReliabilityBin
from reward.reward_modeling.ranked_examples import RankedExample
from reward.reward_modeling.reward_fitting import FittedReward
from reward.reward_modeling.reward_report import RewardReport
from reward.running.launcher import Launch, run_together
from reward.stages.job import POLICY, RESULT_FILE, REWARD_MODELS, Job
from reward.steps.outcome import PROGRESS, CannotTrain, StepContext
from storage.blobs import local_path
from storage.errors import Unavailable

log = logging.getLogger(__name__)

# Of the minutes after which the worker ends a silent step: this sentence has to come before it.
PATIENCE = 0.8


def trains_together(context: StepContext) -> bool:
    """Say whether the settings want several processes."""
    return context.runtime.settings.processes > 1


def fit_reward_together(
    context: StepContext,
    train: Sequence[RankedExample],
    heldout: Sequence[RankedExample],
    normalise_on: Sequence[RankedExample],
) -> FittedReward:
    """Do what `reward.reward_fitting.fit_reward` does, in several processes."""
    sides = {"train": train, "heldout": heldout, "normalise_on": normalise_on}
    with TemporaryDirectory(prefix="rankloop-reward-") as place:
        folder = Path(place)
        inputs = {name: [asdict(one) for one in side] for name, side in sides.items()}
        result = _run(context, "reward", folder, inputs)
        model, second = (
            load_reward_scorer(context.runtime.backbone, folder / name, adapter=name)
            for name in REWARD_MODELS
        )
    unseen = [UnseenPair(**one) for one in result["unseen"]]
    return FittedReward(model, second, _report(result["report"]), result["loss"], unseen)


def climb_together(
    context: StepContext, prompts: list[list[int]], pretraining: list[list[int]]
) -> list[dict[str, float]]:
    """Do what `reward.steps.ppo.climb` does to the adapter `policy`, in several processes."""
    runtime, artefacts = context.runtime, context.round.artefacts
    reference = artefacts.get("reference")
    inputs = {
        "prompts": prompts,
        "pretraining": pretraining,
        "reward": str(local_path(runtime.home, artefacts["reward"])),
        "reference": str(local_path(runtime.home, reference)) if reference else None,
    }
    with TemporaryDirectory(prefix="rankloop-ppo-") as place:
        folder = Path(place)
        runtime.backbone.save_adapter(POLICY, folder / POLICY)
        result = _run(context, "ppo", folder, inputs)
        runtime.backbone.load_adapter(POLICY, folder / "trained")
    history: list[dict[str, float]] = result["history"]
    return history


def _run(context: StepContext, stage: str, folder: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    runtime, settings = context.runtime, context.runtime.settings
    job = Job(
        stage=stage,
        model=str(runtime.model_folder()),
        device=runtime.device.type,
        training=[dict(runtime.project.training), dict(settings.training)],
        seed=context.round.seed,
        home=str(runtime.home),
        progress=context.round.artefacts.get(PROGRESS),
        inputs=inputs,
    )
    job.write(folder)
    launch = Launch(
        processes=settings.processes,
        device=runtime.device.type,
        config=settings.launch_config,
        threads=settings.threads,
        silent_seconds=PATIENCE * 60 * settings.step_stall_minutes,
    )
    heard = _Heard(context)
    try:
        run_together(launch, "reward.stages.job", str(folder), on_line=heard, on_error=log.info)
    except Unavailable as error:
        raise CannotTrain(heard.error or str(error)) from error
    found: dict[str, Any] = json.loads((folder / RESULT_FILE).read_text())
    return found


class _Heard:
    """What the processes print: points, signs of life, the first error, and other lines."""

    def __init__(self, context: StepContext) -> None:
        self.context = context
        self.error = ""

    def __call__(self, line: str) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            log.info("%s", line)
        elif "report" in message:
            step, steps, metrics = message["report"]
            self.context.report(step, steps, metrics)
        elif "working" in message:
            self.context.working(message["working"])
        else:
            self.error = self.error or str(message.get("error", ""))


def _report(found: Mapping[str, Any]) -> RewardReport:
    return RewardReport(
        accuracy=Interval(**found["accuracy"]),
        loss=found["loss"],
        calibration_error=found["calibration_error"],
        reliability=[ReliabilityBin(**one) for one in found["reliability"]],
        by_subset={name: Interval(**one) for name, one in found["by_subset"].items()},
    )
