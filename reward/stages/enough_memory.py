"""Memory that runs out in a stage, said as one sentence: while a model is loaded, or later."""

from collections.abc import Iterator
from contextlib import contextmanager

from reward.training.out_of_memory import is_out_of_memory
from storage.errors import Unavailable


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Raise `Unavailable` with the advice where an allocation fails inside, on whatever device."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise Unavailable(
            f"There is not enough memory; {advice}, or choose a smaller model with --model."
        ) from error


def training_advice(*sizes: str) -> str:
    """Return what to do where a stage of training needs less; `sizes` are SECTION.FIELD."""
    lower = " or ".join(f"--set {size}=N" for size in (*sizes, "generation.batch"))
    return (
        f"lower {lower}, keep fewer activations with --set backbone.recomputed_layers=N, train "
        "fewer layers with --set backbone.top_layers=N"
    )
