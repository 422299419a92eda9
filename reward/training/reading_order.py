"""Which examples make which optimizer step, the same for one process as for many.

`accelerate` deals a step's micro-batches out by turns and, where they do not come out even, fills
up with examples from the start: two processes would then train on others than one does. So the
order of a whole run is laid down here, in whole steps, and read from the first to the last.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from storage.errors import BadInput


@dataclass(frozen=True)
class StepParts:
    """How a step is cut: into micro-batches of `micro`, `rounds` of them for each process."""

    micro: int  #: examples that a process has in memory at once
    rounds: int  #: micro-batches of a process in a step
    processes: int

    @property
    def slots(self) -> int:
        """Return how many examples a step has room for."""
        return self.micro * self.rounds * self.processes


def roomy_parts(whole: int, micro_batch: int, processes: int) -> StepParts:
    """Cut a step of at most `whole` examples; some slots may stay blank."""
    share = -(-whole // processes)
    micro = min(micro_batch, share)
    return StepParts(micro, -(-share // micro), processes)


def even_parts(whole: int, micro_batch: int, processes: int, words: str) -> StepParts:
    """Cut a step of exactly `whole` examples; raise `BadInput` naming `words` if it leaves some."""
    if whole % processes:
        raise BadInput(
            f"Setting training.optimizer: {words} is {whole}, which {processes} processes do not "
            "divide; choose a multiple, or another number of processes."
        )
    share = whole // processes
    micro = min(micro_batch, share)
    if share % micro:
        each = "" if processes == 1 else f", {share} for each of {processes} processes"
        raise BadInput(
            f"Setting training.optimizer: {words} is {whole}{each}, which micro_batch {micro} does "
            "not divide; choose a multiple."
        )
    return StepParts(micro, share // micro, processes)


def order_with_blanks(
    examples: int, batch: int, steps: int, parts: StepParts, *, seed: int
) -> list[int]:
    """Return the indices of `steps` steps, pass after pass, each pass in a new order.

    A pass ends with a shorter step. What a step has no example for is `examples`, the index of a
    blank; examples go to the rounds by turns, so that no round is blank before it has to be.
    """
    found: list[int] = []
    blank, draw = examples, _orders(examples, seed)
    left: list[int] = []
    for _ in range(steps):
        left = left or next(draw)
        step, left = left[:batch], left[batch:]
        slots = [blank] * parts.slots
        dealt = [0] * parts.rounds * parts.processes
        for turn, index in enumerate(step):
            lap, place = divmod(turn, parts.rounds)
            part = place * parts.processes + lap % parts.processes
            slots[part * parts.micro + dealt[part]] = index
            dealt[part] += 1
        found += slots
    return found


def order_of_whole_steps(examples: int, batch: int, steps: int, *, seed: int) -> list[int]:
    """Return the indices of `steps` steps of exactly `batch` each; a step may span two passes."""
    found: list[int] = []
    for order in _orders(examples, seed):
        found += order
        if len(found) >= batch * steps:
            break
    return found[: batch * steps]


def _orders(examples: int, seed: int) -> Iterator[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randperm(examples, generator=generator).tolist()
