"""The curves of a stage while it runs: its losses as lines of progress, and for other tools."""

import os
from contextlib import suppress
from pathlib import Path

from reward.language_models.profiles import as_json
from reward.stages.model import Say, StageModel
from reward.stages.pace import Pace
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
    """The losses of a run's steps, said as they fall, kept beside the trainer's progress.

    A trainer keeps its progress before it tells of the step, so a kill between the two leaves a
    point out, and a run that goes on may lack one.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        """Take up the losses of a run that was cut off."""
        self.file = folder / PROGRESS / LOSSES_FILE
        self.say = say
        self.writes = Processes.current().is_first
        self._by_step: dict[int, float] = {}
        self._pace = Pace(parts=10)
        self._first = 0
        self._said = 0
        if self.file.exists():
            self._take_up()

    def _take_up(self) -> None:
        content = self.file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        # What a kill cut short is no loss, and the next line must not be joined to it.
        if self.writes and len(whole) < len(content):
            os.truncate(self.file, len(whole))
        for line in whole.decode(errors="replace").splitlines():
            with suppress(ValueError):
                step, loss = line.split()
                self._by_step[int(step)] = float(loss)

    @property
    def losses(self) -> list[float]:
        """Return the loss of every step, in order."""
        return [self._by_step[step] for step in sorted(self._by_step)]

    @property
    def steps(self) -> int:
        """Return the number of the last step."""
        return max(self._by_step, default=0)

    @property
    def went_on(self) -> bool:
        """Say, after training, whether it went on from progress: then step 1 was not made here."""
        return self._first != 1

    def add(self, step: int, steps: int, loss: float) -> None:
        """Keep a step's loss; at every tenth of the run or minute, say the mean since the last."""
        self._first = self._first or step
        # A run begins later where it goes on, and anew where memory ran out.
        if step <= self._said or step == self._first:
            self._said = step - 1
        self._by_step[step] = loss
        if not self.writes:
            return
        with self.file.open("a") as stream:
            stream.write(f"{step} {loss!r}\n")
        if self._pace.is_due(step, steps):
            recent = [self._by_step[one] for one in range(self._said + 1, step + 1)]
            self.say(f"step {step} of {steps}: loss {sum(recent) / len(recent):.3f}")
            self._said = step
