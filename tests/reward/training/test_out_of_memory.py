"""Work in halves when memory runs out."""

import pytest
import torch

from reward.training.out_of_memory import Halving, is_out_of_memory
from storage.errors import Unavailable


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("not enough memory: you tried to allocate 9 bytes"), True),
        (MemoryError(), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory."), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) is is_memory


def test_the_size_is_halved_until_it_fits_and_stays() -> None:
    tried: list[int] = []

    def work(size: int) -> int:
        tried.append(size)
        if size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return size

    halving = Halving(8, "one ranking")
    assert [halving.run(work), halving.run(work)] == [2, 2]
    assert tried == [8, 4, 2, 2]


@pytest.mark.parametrize(
    ("size", "whole", "sizes"),
    [
        (9, 9, [9, 3, 1]),
        (9, 18, [9, 3, 1]),
        (12, 12, [12, 6, 3, 1]),
        (8, 8, [8, 4, 2, 1]),
        (7, 7, [7, 1]),
    ],
)
def test_what_has_to_divide_a_batch_divides_it_after_each_step_down(
    size: int, whole: int, sizes: list[int]
) -> None:
    tried: list[int] = []

    def work(size: int) -> int:
        tried.append(size)
        if size > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return size

    assert Halving(size, "a demonstration", whole=whole).run(work) == 1
    assert tried == sizes


def test_what_does_not_fit_alone_is_said() -> None:
    def never(size: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(Unavailable, match="not enough memory for one ranking alone"):
        Halving(4, "one ranking").run(never)


def test_other_errors_are_not_tried_again() -> None:
    tried: list[int] = []

    def broken(size: int) -> None:
        tried.append(size)
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        Halving(4, "one ranking").run(broken)
    assert tried == [4]
