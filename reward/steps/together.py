"""A round's training handed to other processes (the settings `processes` and `launcher`).

The inputs go into a folder, `reward/stages/job.py` trains on them in every process, and what came
out is read back, its hashes checked. Only this process, which holds the round's lease, stores
anything: a job that goes on after its worker was killed leaves files that nobody reads. A process
that dies fails the step with one sentence; nothing was touched then.
"""

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from labeling.model_annotators.out_of_fold import UnseenPair
from reward.evaluating.intervals import Interval
from reward.language_models.profiles import as_overrides
from reward.policy_optimization.reward_scorer import load_reward_scorer
from reward.reward_modeling.calibration import ReliabilityBin
from reward.reward_modeling.ranked_examples import RankedExample
from reward.reward_modeling.reward_fitting import FittedReward
from reward.reward_modeling.reward_report import RewardReport
from reward.running.command_guard import GuardedCommand
from reward.running.commanded_job import CommandedJob, run_commanded
from reward.running.job_folder import make_job_folder
from reward.running.launch_template import job_name, job_values, launch_templates
from reward.running.launcher import Launch, run_together
from reward.stages.job import POLICY, RESULT, RESULT_FILE, REWARD_MODELS, SFT, TRAINED, Job
from reward.steps.outcome import PROGRESS, CannotTrain, StepContext
from storage.blobs import checked_path, verify
from storage.errors import Unavailable
from storage.settings import Settings

if TYPE_CHECKING:
    from reward.policy_optimization.trl_optimizers import PreferencePair
    from reward.training.sft import DemonstratedAnswer

log = logging.getLogger(__name__)

# Of the minutes after which the worker ends a silent step: this sentence has to come before it.
PATIENCE = 0.8
MODULE = "reward.stages.job"


def trains_together(context: StepContext) -> bool:
    """Say whether the settings want other processes than this one."""
    settings = context.runtime.settings
    return settings.processes > 1 or settings.launcher != "local"


def fit_reward_together(
    context: StepContext,
    train: Sequence[RankedExample],
    heldout: Sequence[RankedExample],
    normalise_on: Sequence[RankedExample],
) -> FittedReward:
    """Do what `reward.reward_fitting.fit_reward` does, in several processes."""
    sides = {"train": train, "heldout": heldout, "normalise_on": normalise_on}
    with _job_folder(context, "reward") as folder:
        inputs = {name: [asdict(one) for one in side] for name, side in sides.items()}
        result = _run(context, "reward", folder, inputs)
        model, second = (
            load_reward_scorer(context.runtime.backbone, folder / RESULT / name, adapter=name)
            for name in REWARD_MODELS
        )
    unseen = [UnseenPair(**one) for one in result["unseen"]]
    return FittedReward(model, second, _report(result["report"]), result["loss"], unseen)


def fine_tune_together(context: StepContext, shown: Sequence["DemonstratedAnswer"]) -> list[float]:
    """Do what `reward.steps.sft.fine_tune` does to the adapter `sft`, in several processes."""
    backbone = context.runtime.backbone
    with _job_folder(context, SFT) as folder:
        backbone.save_adapter(SFT, folder / SFT)
        result = _run(context, SFT, folder, {"shown": [asdict(one) for one in shown]})
        backbone.load_adapter(SFT, folder / RESULT / TRAINED)
    losses: list[float] = result["losses"]
    return losses


def climb_together(
    context: StepContext,
    prompts: list[list[int]],
    *,
    pretraining: Sequence[list[int]] = (),
    pairs: Sequence["PreferencePair"] = (),
) -> list[dict[str, float]]:
    """Do what `reward.steps.ppo` does to the adapter `policy`, in several processes."""
    runtime, artefacts = context.runtime, context.round.artefacts
    reference = artefacts.get("reference")
    inputs = {
        "prompts": prompts,
        "pretraining": list(pretraining),
        "pairs": [asdict(one) for one in pairs],
        "reward": str(checked_path(runtime.home, artefacts["reward"])),
        "reference": str(checked_path(runtime.home, reference)) if reference else None,
    }
    with _job_folder(context, "ppo") as folder:
        runtime.backbone.save_adapter(POLICY, folder / POLICY)
        result = _run(context, "ppo", folder, inputs)
        runtime.backbone.load_adapter(POLICY, folder / RESULT / TRAINED)
    history: list[dict[str, float]] = result["history"]
    return history


@contextmanager
def _job_folder(context: StepContext, stage: str) -> Iterator[Path]:
    """Yield an empty folder whose name is the job's, and remove it afterwards.

    With launcher=command it is under home, which the job's machine has to see.
    """
    settings = context.runtime.settings
    name = job_name(settings.project, stage)
    if settings.launcher != "command":
        with TemporaryDirectory(prefix=f"{name}-") as place:
            yield Path(place)
        return
    folder = make_job_folder(settings.home, name)
    try:
        yield folder
    finally:
        # A job that is being ended may still write.
        shutil.rmtree(folder, ignore_errors=True)


def _run(context: StepContext, stage: str, folder: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    runtime, settings = context.runtime, context.runtime.settings
    elsewhere = settings.launcher == "command"
    job = Job(
        stage=stage,
        model=str(runtime.model_folder()),
        device=settings.device if elsewhere else runtime.device.type,
        training=as_overrides(runtime.profile),
        processes=settings.processes,
        threads=settings.threads if elsewhere else 0,
        seed=context.round.seed,
        home=str(runtime.home),
        progress=context.round.artefacts.get(PROGRESS),
        inputs=inputs,
    )
    job.write(folder)
    heard = _Heard(context)
    try:
        if elsewhere:
            _run_elsewhere(context, stage, folder, heard)
        else:
            launch = _launch(settings, runtime.device.type)
            run_together(launch, MODULE, str(folder), on_line=heard, on_error=log.info)
        return _result(folder)
    except Unavailable as error:
        raise CannotTrain(heard.error or str(error)) from error


def _launch(settings: Settings, device: str) -> Launch:
    return Launch(
        processes=settings.processes,
        device=device,
        config=settings.launch_config,
        accelerate=settings.launcher == "accelerate",
        threads=settings.threads,
        silent_seconds=_silent_seconds(settings),
    )


def _run_elsewhere(
    context: StepContext, stage: str, folder: Path, heard: Callable[[str], None]
) -> None:
    settings = context.runtime.settings
    launch, cancel = launch_templates(settings)
    values = job_values(settings, name=folder.name, stage=stage, job=[MODULE, str(folder)])
    guarded = GuardedCommand(launch.command(values), cancel.command(values) if cancel else None)
    log.info("Starting job %s by launch_command.", folder.name)
    job = CommandedJob(
        folder=folder,
        guarded=guarded,
        alive_seconds=settings.worker_lease_seconds,
        wait_seconds=60 * settings.launch_wait_minutes,
        silent_seconds=_silent_seconds(settings),
    )
    run_commanded(
        job,
        on_line=heard,
        on_waiting=lambda: context.working("waiting for launch_command to start the job"),
    )


def _silent_seconds(settings: Settings) -> float:
    return PATIENCE * 60 * settings.step_stall_minutes


def _result(folder: Path) -> dict[str, Any]:
    """Return what the job found; raise `Unavailable` unless its files are those it wrote."""
    if not (folder / RESULT).is_dir():
        raise Unavailable(
            "The job's command ended well but left no result; let it wait for the job's end "
            "(sbatch --wait, kubectl wait) and give its exit code."
        )
    verify(folder, RESULT)
    found: dict[str, Any] = json.loads((folder / RESULT / RESULT_FILE).read_text())
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
