"""How a learning rate goes over training."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


def learning_rate_factor(schedule: Schedule, share: float) -> float:
    """Return what the learning rate is multiplied by when `share` (0 to 1) of training is done.

    `cosine` is half a cosine from 1 to 0 (Loshchilov and Hutter 2017, eq. 5 without restarts).
    """
    if schedule == "linear":
        return max(0.0, 1.0 - share)
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))
    return 1.0
