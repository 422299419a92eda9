"""How long judgments took, where somebody measured it."""

import numpy as np
import numpy.typing as npt


def seconds_of(milliseconds: npt.ArrayLike, fast: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return (N,) seconds, NaN where it is not known how long a judgment took.

    `milliseconds` (N,) are 0 where nobody measured: in imports without times, and of models.
    Whoever really took none is marked `fast` (N,).
    """
    taken = np.asarray(milliseconds)
    known = (taken > 0) | np.asarray(fast, dtype=bool)
    return np.where(known, taken / 1000, np.nan)
