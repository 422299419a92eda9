"""The processes that train together: who does what, and sums over all of them.

One process is the plain case and costs nothing. Several are started by `accelerate launch` on GPUs
and by `torchrun` on CPU, where `accelerate launch --cpu` starts a single one unless there is MPI.
What they exchange is a few megabytes of gradients of the trained weights, since the frozen backbone
is the same in each.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Item = TypeVar("Item")

LONGEST_WAIT = timedelta(minutes=15)


class Processes:
    """A process among `count`; `rank` 0 is the one that writes and reports."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        """Stand alone; `current` finds the others."""
        self.rank = rank
        self.count = count

    @classmethod
    def current(cls) -> "Processes":
        """Join the processes that this one was started with, if there are others."""
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return cls()
        from accelerate import PartialState

        # Its launcher notices a process that is gone; this bounds the wait for one that hangs.
        state = PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT)
        return cls(state.process_index, state.num_processes)

    @property
    def is_first(self) -> bool:
        """Say whether this process writes and reports."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return this process's part of the items: every `count`-th."""
        return list(items[self.rank :: self.count])

    def sum(self, *numbers: float) -> list[float]:
        """Return the numbers summed over all processes."""
        if self.count == 1:
            return [float(number) for number in numbers]
        # NCCL sums what lies on a GPU only.
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        return self._reduced(torch.tensor(numbers, dtype=torch.float64, device=device)).tolist()

    def from_first(self, make: Callable[[], Item]) -> Item:
        """Return what `make` gives in the first process, to all of them; it must pickle."""
        found: Item = self.gather(make() if self.is_first else None)[0]
        return found

    def gather(self, thing: Any) -> list[Any]:
        """Return what every process gave, by rank; it must pickle."""
        if self.count == 1:
            return [thing]
        found: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(found, thing)
        return found

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes; an absent one counts as zero."""
        if self.count == 1:
            return
        trained = list(parameters)
        for one in trained:
            if one.grad is None:
                one.grad = torch.zeros_like(one)
        flat = self._reduced(
            torch.cat([one.grad.flatten() for one in trained if one.grad is not None])
        )
        parts = flat.split([one.numel() for one in trained])
        for one, part in zip(trained, parts, strict=True):
            one.grad = part.view_as(one)

    def _reduced(self, tensor: Tensor) -> Tensor:
        torch.distributed.all_reduce(tensor)
        return tensor
