"""The running size of scores, by which they can be divided."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass
class RunningScale:
    """Mean and variance of every number seen so far (Chan et al. 1979, the pairwise update)."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0  #: sum of squared distances from the mean

    def add(self, count: float, mean: float, squares: float) -> None:
        """Take in `count` numbers by their mean and their sum of squared distances from it."""
        if count == 0:
            return
        total = self.count + count
        apart = mean - self.mean
        self.squares += squares + apart**2 * self.count * count / total
        self.mean += apart * count / total
        self.count = total

    @property
    def deviation(self) -> float:
        """Return the sample standard deviation; 1 while it cannot be told."""
        if self.count < 2 or self.squares <= 0:
            return 1.0
        return math.sqrt(self.squares / (self.count - 1))


def clipped(scores: Tensor, bound: float) -> Tensor:
    """Keep scores (any shape) within ± `bound`; 0 leaves them as they are."""
    return scores.clamp(-bound, bound) if bound > 0 else scores
