"""Work that does not fit into memory, done again in halves."""

import gc
from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from storage.errors import Unavailable

Found = TypeVar("Found")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that an allocation failed, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        should_reduce_batch_size(error)
        or "not enough memory" in str(error)
        or "DefaultCPUAllocator" in str(error)
    )


class Halving:
    """How much is worked on at once; halved when memory runs out, and kept for the next time.

    As accelerate's `find_executable_batch_size` does, which begins the whole function anew.
    """

    def __init__(self, size: int, what: str, *, whole: int | None = None) -> None:
        """Begin with `size` at once; `what` names one of them in the error.

        With `whole` only its divisors are tried: the largest of them up to half of the last size.
        """
        self.size = size
        self.what = what
        self.whole = whole

    def run(self, work: Callable[[int], Found]) -> Found:
        """Return `work(size)`, tried again at half the size, or less, where memory runs out.

        Raises `Unavailable` where a single one does not fit.
        """
        while True:
            try:
                return work(self.size)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.size == 1:
                    raise Unavailable(
                        f"There is not enough memory for {self.what} alone; choose a smaller model "
                        "or shorter completions."
                    ) from error
            # Outside the handler, whose traceback holds what was allocated.
            self.size = self._smaller()
            gc.collect()
            clear_device_cache()

    def _smaller(self) -> int:
        half = self.size // 2
        if self.whole is None:
            return half
        return next(size for size in range(half, 0, -1) if self.whole % size == 0)
