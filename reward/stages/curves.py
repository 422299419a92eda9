"""The curves of a stage while it runs: its losses as lines of progress, and for other tools."""

from contextlib import suppress
from pathlib import Path

from reward.language_models.profiles import as_json
from reward.stages.model import Say, StageModel
from reward.stages.result import LOGS, LOSSES_FILE, PROGRESS
from reward.training.processes import Processes
from reward.training.tracking import Tracker


def stage_tracker(folder: Path, model: StageModel) -> Tracker:
    """Return what writes the curves of the run in `folder` to the tool of `report_to`.

    TensorBoard's files lie in `progress/logs` while the stage runs, and in `logs` of what comes
    out. Of several processes the first alone writes.
    """
    report_to = model.settings.report_to if Processes.current().is_first else "none"
    return Tracker(folder / PROGRESS / LOGS, folder.name, report_to, as_json(model.profile))


class LossCurve:
    """The losses of a run's steps, said as they fall, kept beside the trainer's progress."""

    def __init__(self, folder: Path, say: Say) -> None:
        """Take up the losses of a run that was cut off."""
        self.file = folder / PROGRESS / LOSSES_FILE
        self.say = say
        self.writes = Processes.current().is_first
        self._by_step: dict[int, float] = {}
        if self.file.exists():
            # A line that a kill cut short is that of a step which is done again.
            for line in self.file.read_text().splitlines():
                with suppress(ValueError):
                    step, loss = line.split()
                    self._by_step[int(step)] = float(loss)

    @property
    def losses(self) -> list[float]:
        """Return the loss of every step, in order."""
        return [self._by_step[step] for step in sorted(self._by_step)]

    def add(self, step: int, steps: int, loss: float) -> None:
        """Keep a step's loss; every tenth of the run, say the mean since the last."""
        self._by_step[step] = loss
        if not self.writes:
            return
        with self.file.open("a") as stream:
            stream.write(f"{step} {loss!r}\n")
        tenth = max(1, steps // 10)
        if step % tenth == 0 or step == steps:
            recent = self.losses[-tenth:]
            self.say(f"step {step} of {steps}: loss {sum(recent) / len(recent):.3f}")
