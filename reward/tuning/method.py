"""What every tuning method does: it adds roles to one model, and makes one of them the active one.

A role ("policy", "reward", "live", …) is the bare model but for weights of its own. Here is also
the one place that says which methods leave the lowest layers alike for all roles.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from reward.tuning.checkpoint import Checkpoint
from storage.errors import BadInput

TUNINGS = ("lora", "full", "head", "prompt", "prefix", "adapter", "bitfit")


def shared_layers(tuning: str, *, depth: int, top_layers: int) -> int:
    """Return how many of the lowest layers are one function for every role: the cached trunk.

    A `head` changes nothing below the output, so that is all of them; virtual tokens stand in
    front of the first layer or in all of them, so that is none. Raises `BadInput` where there is
    no such method.
    """
    if tuning not in TUNINGS:
        raise BadInput(
            f"Setting training.backbone.tuning is {tuning!r}; choose one of {', '.join(TUNINGS)}."
        )
    if tuning == "head":
        return depth
    if tuning in ("prompt", "prefix"):
        return 0
    return depth - min(top_layers, depth) if top_layers > 0 else 0


class TuningMethod(ABC):
    """The roles of one model under one tuning method."""

    tuning: str  #: its name, one of `TUNINGS`
    model: Any  #: the model that roles live in, wrapped by peft where the method is a layer's

    @abstractmethod
    def roles(self) -> set[str]:
        """Return the names of the roles there are."""

    @abstractmethod
    def add(self, name: str, *, scalar: bool) -> None:
        """Add a role at its starting point, or reset it; `scalar`: its logits are never read."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Forget a role and free its weights."""

    @abstractmethod
    def activate(self, name: str | None) -> None:
        """Make the model compute as one role, or as the bare model."""

    @abstractmethod
    def parameters(self, name: str) -> list[nn.Parameter]:
        """Return a role's own weights."""

    @abstractmethod
    def copy(self, source: str, target: str) -> None:
        """Make `target` a role with the weights that `source` has now."""

    @abstractmethod
    def save(self, name: str, folder: Path) -> None:
        """Write a role's weights, and what says how to read them, into a folder."""

    @abstractmethod
    def load(self, name: str, checkpoint: Checkpoint) -> None:
        """Make a role of a checkpoint; raise `Unavailable` where it is of another model."""

    @contextmanager
    def merged(self, name: str | None) -> Iterator[None]:
        """Make a role active, as cheap to decode with as the bare model where that can be."""
        self.activate(name)
        yield

    def output_weight(self, name: str) -> Tensor | None:
        """Return a role's own output embedding (V, H), or None where it has the bare model's."""
        del name
        return None
