"""What a step leaves behind, and what it is given to work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from torch import Tensor

from reward.running.progress_folder import PROGRESS
from reward.running.runtime import Runtime
from reward.training.progress_checkpoint import load_progress, save_progress
from storage.blobs import in_store
from storage.tables import Round


@dataclass(frozen=True)
class StepOutcome:
    """What a step made, to be committed with the round's next state."""

    artefacts: Mapping[str, str] = field(default_factory=dict)  #: name → checkpoint or file URI
    metrics: Mapping[str, Any] = field(default_factory=dict)
    rejected: str = ""  #: why the gate stays shut; empty to go on
    snapshot_id: int | None = None
    judgments: int | None = None
    settings: Mapping[str, Any] | None = None  #: every size that the round is made with


@dataclass(frozen=True)
class StepContext:
    """A round, the models, and the way to report progress.

    `report(step_index, steps, metrics)` stores a point of the round's curves; it also gives the
    pool a chance to be filled, so a step calls it between units of work and never inside one.
    `working(words)` says that the step is alive.
    """

    runtime: Runtime
    round: Round
    report: Callable[[int, int, Mapping[str, float]], None]
    working: Callable[[str], None]

    def keep(self, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep how far a step has come; a round from before there was progress keeps none."""
        uri = self.round.artefacts.get(PROGRESS)
        if uri is not None:
            save_progress(self.runtime.home, uri, name, tensors, state)

    def kept(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what an attempt that was cut off has kept last; None without one."""
        uri = self.round.artefacts.get(PROGRESS)
        return None if uri is None else load_progress(self.runtime.home, uri, name)


Step = Callable[[StepContext], StepOutcome]


def new_uri(context: StepContext, kind: str) -> str:
    """Return a name that nothing was ever written under: no attempt, project or copy reuses it."""
    number = context.round.number
    name = f"checkpoints/round-{number}-{kind}-{uuid4().hex[:12]}"
    return in_store(context.runtime.settings.checkpoint_store, name)


class CannotTrain(Exception):
    """Say in a sentence why a round cannot be trained; the round fails with it."""
