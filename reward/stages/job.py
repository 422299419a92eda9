"""A training step of a round, run by several processes on a folder of inputs.

    torchrun --nproc_per_node 2 -m reward.stages.job FOLDER

The folder holds `job.json` and adapters. The first process leaves what was trained and
`result.json` in its folder `result`, with hashes, and says a line of JSON for each point of the
curves: on stdout or, where the folder is shared with a worker on another machine, in a file.
Whatever ends a process badly is said as a sentence. `reward/steps/together.py` writes the folder,
starts the processes and reads what they left. Nothing here touches the database.
"""

import os
import sys
from pathlib import Path

from reward.running.job_folder import exit_when_left
from reward.running.parent_watch import exit_when_parent_dies

if __name__ == "__main__":
    # First of all, before the slow imports: no process may outlive the worker.
    exit_when_parent_dies()
    exit_when_left(Path(sys.argv[1]))
    # Spinning OpenMP threads starve whatever shares the cores, up to 10 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.devices import find_device
from reward.language_models.profiles import TrainingProfile, training_profile
from reward.policy_optimization.reward_scorer import RewardScorer, load_reward_scorer
from reward.reward_modeling.ranked_examples import RankedExample
from reward.reward_modeling.reward_fitting import fit_reward
from reward.running import job_folder
from reward.steps.outcome import CannotTrain
from reward.steps.ppo import KEPT, climb, climb_by_trl
from reward.steps.sft import ADAPTER as SFT
from reward.steps.sft import fine_tune, progress_place
from reward.training.learning_rates import as_settings, learning_rates
from reward.training.out_of_memory import is_out_of_memory
from reward.training.processes import Processes
from reward.training.progress_checkpoint import ProgressPlace, load_progress, save_progress
from reward.training.sharded_model import home_of_backbone
from storage.blobs import write_folder
from storage.errors import BadInput, RankloopError

JOB_FILE = "job.json"
RESULT = "result"  # the folder that is there, whole, when the job is done
RESULT_FILE = "result.json"
POLICY = "policy"
TRAINED = "trained"
REWARD_MODELS = ("reward", "second_reward")


@dataclass(frozen=True)
class Job:
    """What is to be trained; `inputs` are the stage's own, as JSON."""

    stage: str  #: sft, reward or ppo (whatever optimizer moves the policy)
    model: str  #: folder of the backbone
    device: str  #: cpu, cuda, mps, or auto for what the job's machine has
    training: dict[str, dict[str, Any]]  #: every size, as the worker has it
    processes: int  #: that have to train together
    threads: int  #: CPU threads of each; 0: as the machine has it
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
        self._check_processes()
        if self.job.threads:
            torch.set_num_threads(self.job.threads)
        device = find_device(self.job.device)
        self.profile: TrainingProfile = training_profile(device, self.job.training)
        by_trl = self.job.stage == SFT or (
            self.job.stage == "ppo" and self.profile.optimizer.optimizer != "ppo"
        )
        self.backbone: Backbone = load_backbone(
            self.job.model,
            device=home_of_backbone(device, sharded=by_trl),
            dtype=self.profile.dtype,
            top_layers=self.profile.top_layers,
            rank=self.profile.rank,
            tuning=self.profile.tuning,
            virtual_tokens=self.profile.virtual_tokens,
            recomputed_layers=self.profile.recomputed_layers,
        )
        self.backbone.seed = self.job.seed
        torch.manual_seed(self.job.seed)

    def run(self) -> None:
        """Train, and let the first process leave what came out."""
        train = {SFT: self._sft, "reward": self._reward, "ppo": self._ppo}[self.job.stage]
        figures, save = train()
        if self.processes.is_first:
            with write_folder(self.folder, RESULT) as folder:
                save(folder)
                (folder / RESULT_FILE).write_text(json.dumps(figures))

    def _check_processes(self) -> None:
        if self.processes.count != self.job.processes:
            raise BadInput(
                f"{self.processes.count} process(es) train together where the setting processes "
                f"wants {self.job.processes}; start them by torchrun, or set processes to what "
                "launch_command or launch_config starts."
            )

    def _sft(self) -> tuple[dict[str, Any], Callable[[Path], None]]:
        # TRL takes seconds to import, which only the jobs that need it pay.
        from reward.training.sft import DemonstratedAnswer

        job = self.job
        self.backbone.load_adapter(SFT, self.folder / SFT)
        losses = fine_tune(
            self.backbone,
            [DemonstratedAnswer(**one) for one in job.inputs["shown"]],
            self.profile.sft,
            seed=job.seed,
            report=self._report,
            place=progress_place(Path(job.home), job.progress),
        )
        return {"losses": losses}, lambda folder: self.backbone.save_adapter(SFT, folder / TRAINED)

    def _reward(self) -> tuple[dict[str, Any], Callable[[Path], None]]:
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

        def save(folder: Path) -> None:
            for name, model in zip(REWARD_MODELS, (fitted.model, fitted.second), strict=True):
                (folder / name).mkdir()
                model.save(folder / name)

        unseen = [asdict(one) for one in fitted.unseen]
        figures = {"report": asdict(fitted.report), "loss": fitted.loss, "unseen": unseen}
        return figures, save

    def _ppo(self) -> tuple[dict[str, Any], Callable[[Path], None]]:
        inputs = self.job.inputs
        self.backbone.load_adapter(POLICY, self.folder / POLICY)
        reference = "reference" if inputs["reference"] else None
        if reference:
            self.backbone.load_adapter(reference, Path(inputs["reference"]))
        reward = load_reward_scorer(self.backbone, Path(inputs["reward"]))
        history = self._climbed(reward, reference)
        return {"history": history}, lambda folder: self.backbone.save_adapter(
            POLICY, folder / TRAINED
        )

    def _climbed(self, reward: RewardScorer, reference: str | None) -> list[dict[str, float]]:
        job, inputs = self.job, self.job.inputs
        if self.profile.optimizer.optimizer != "ppo":
            from reward.policy_optimization.trl_optimizers import PreferencePair

            return climb_by_trl(
                self.backbone,
                reward,
                inputs["prompts"],
                [PreferencePair(**one) for one in inputs["pairs"]],
                self.profile,
                seed=job.seed,
                reference=reference,
                report=self._report,
            )
        return climb(
            self.backbone,
            reward,
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

    def _keep(self, state: tuple[dict[str, torch.Tensor], dict[str, Any]]) -> None:
        if self.processes.is_first and self.job.progress:
            save_progress(Path(self.job.home), self.job.progress, KEPT, *state)

    def _report(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        self._tell({"report": [step, steps, dict(metrics)]})

    def _tell(self, message: dict[str, Any]) -> None:
        if self.processes.is_first:
            say(self.folder, message)


def say(folder: Path, message: dict[str, Any]) -> None:
    """Tell the process that started the job: in its folder if that is shared, or on stdout."""
    if job_folder.is_shared(folder):
        job_folder.say(folder, message)
        return
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the job of the folder that is named."""
    folder = Path(sys.argv[1])
    try:
        if os.environ.get("RANK", "0") == "0":
            job_folder.claim(folder)
            say(folder, {"working": "starting"})
        JobRun(folder).run()
    except (CannotTrain, RankloopError) as error:
        say(folder, {"error": str(error)})
        return 1
    except FloatingPointError as error:
        say(folder, {"error": f"{error}; lower {_rates(folder)}."})
        return 1
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        say(folder, {"error": "There is not enough memory; lower the sizes under training."})
        return 1
    return 0


def _rates(folder: Path) -> str:
    job = json.loads((folder / JOB_FILE).read_text())
    optimizer = job["training"].get("optimizer", {}).get("optimizer", "ppo")
    return as_settings(learning_rates(job["stage"], optimizer))


if __name__ == "__main__":
    sys.exit(main())
