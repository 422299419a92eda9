"""A training step of a round, run by several processes on a folder of inputs.

    torchrun --nproc_per_node 2 -m reward.stages.job FOLDER

The folder holds `job.json` and adapters; what was trained and `result.json` are left in it by the
first process, which also prints a line of JSON for each point of the curves. Whatever ends a
process badly is printed as a sentence. `reward/steps/together.py` writes the folder, starts the
processes and reads what they left.
"""

from reward.running.parent_watch import exit_when_parent_dies

if __name__ == "__main__":
    # First of all, before the slow imports: no process may outlive the worker.
    exit_when_parent_dies()

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.devices import find_device
from reward.language_models.profiles import TrainingProfile, training_profile
from reward.policy_optimization.reward_scorer import load_reward_scorer
from reward.reward_modeling.ranked_examples import RankedExample
from reward.reward_modeling.reward_fitting import ProgressPlace, fit_reward
from reward.steps.outcome import CannotTrain
from reward.steps.ppo import KEPT, climb
from reward.training.processes import Processes
from reward.training.progress_checkpoint import load_progress, save_progress
from storage.errors import RankloopError

JOB_FILE = "job.json"
RESULT_FILE = "result.json"
POLICY = "policy"
REWARD_MODELS = ("reward", "second_reward")


@dataclass(frozen=True)
class Job:
    """What is to be trained; `inputs` are the stage's own, as JSON."""

    stage: str  #: reward or ppo
    model: str  #: folder of the backbone
    device: str
    training: list[dict[str, Any]]  #: overrides of the device's profile, later ones win
    seed: int
    home: str
    progress: str | None  #: URI of the folder that progress is kept in
    inputs: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write the job where its processes look for it."""
        (folder / JOB_FILE).write_text(json.dumps(asdict(self)))


class JobRun:
    """One process's part of a job."""

    def __init__(self, folder: Path) -> None:
        """Join the other processes and load the backbone."""
        self.folder = folder
        self.job = Job(**json.loads((folder / JOB_FILE).read_text()))
        # Joined first: that chooses each process its own GPU.
        self.processes = Processes.current()
        device = find_device(self.job.device)
        self.profile: TrainingProfile = training_profile(device, *self.job.training)
        self.backbone: Backbone = load_backbone(
            self.job.model,
            device=device,
            dtype=self.profile.dtype,
            top_layers=self.profile.top_layers,
            rank=self.profile.rank,
            tuning=self.profile.tuning,
        )
        self.backbone.seed = self.job.seed
        torch.manual_seed(self.job.seed)

    def run(self) -> None:
        """Train, and let the first process leave what came out."""
        result = self._reward() if self.job.stage == "reward" else self._ppo()
        if self.processes.is_first:
            (self.folder / RESULT_FILE).write_text(json.dumps(result))

    def _reward(self) -> dict[str, Any]:
        job, settings = self.job, self.profile.reward
        sides = {
            name: [RankedExample(**one) for one in job.inputs[name]]
            for name in ("train", "heldout", "normalise_on")
        }
        fitted = fit_reward(
            self.backbone,
            sides["train"],
            sides["heldout"],
            settings,
            seed=job.seed,
            normalise_on=sides["normalise_on"],
            report=self._report,
            working=lambda words: self._tell({"working": words}),
            progress=ProgressPlace(Path(job.home), job.progress) if job.progress else None,
            processes=self.processes,
            features=self.profile.features,
        )
        if self.processes.is_first:
            for name, model in zip(REWARD_MODELS, (fitted.model, fitted.second), strict=True):
                (self.folder / name).mkdir()
                model.save(self.folder / name)
        unseen = [asdict(one) for one in fitted.unseen]
        return {"report": asdict(fitted.report), "loss": fitted.loss, "unseen": unseen}

    def _ppo(self) -> dict[str, Any]:
        job, inputs = self.job, self.job.inputs
        self.backbone.load_adapter(POLICY, self.folder / POLICY)
        reference = "reference" if inputs["reference"] else None
        if reference:
            self.backbone.load_adapter(reference, Path(inputs["reference"]))
        history = climb(
            self.backbone,
            load_reward_scorer(self.backbone, Path(inputs["reward"])),
            inputs["prompts"],
            self.profile,
            seed=job.seed,
            reference=reference,
            pretraining=inputs["pretraining"],
            kept=load_progress(Path(job.home), job.progress, KEPT) if job.progress else None,
            report=self._report,
            keep=self._keep,
            processes=self.processes,
        )
        if self.processes.is_first:
            self.backbone.save_adapter(POLICY, self.folder / "trained")
        return {"history": history}

    def _keep(self, state: tuple[dict[str, torch.Tensor], dict[str, Any]]) -> None:
        if self.processes.is_first and self.job.progress:
            save_progress(Path(self.job.home), self.job.progress, KEPT, *state)

    def _report(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        self._tell({"report": [step, steps, dict(metrics)]})

    def _tell(self, message: dict[str, Any]) -> None:
        if self.processes.is_first:
            say(message)


def say(message: dict[str, Any]) -> None:
    """Print a message for the process that started the job."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the job of the folder that is named."""
    try:
        JobRun(Path(sys.argv[1])).run()
    except (CannotTrain, RankloopError) as error:
        say({"error": str(error)})
        return 1
    except torch.OutOfMemoryError:
        say({"error": "The device is out of memory; lower the sizes under training."})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
