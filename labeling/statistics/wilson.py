"""Wilson's interval of a share: between 0 and 1, and as wide as few trials make it."""

import numpy as np

#: The standard normal quantile of a 95 % interval.
NORMAL = 1.959964


def wilson(
    share: np.ndarray, n: np.ndarray, quantile: float | np.ndarray = NORMAL
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of Wilson's 95 % interval of shares (N,) of n (N,) independent trials.

    Wilson 1927, Journal of the American Statistical Association 22, 209-212. `quantile` bounds it;
    Student's knows that few clusters say little of their own variance.
    """
    size = np.maximum(n, 1e-9)
    factor = 1 + quantile**2 / size
    middle = (share + quantile**2 / (2 * size)) / factor
    half = quantile / factor * np.sqrt(share * (1 - share) / size + quantile**2 / (4 * size**2))
    # Rounding must not put the share itself outside.
    return np.minimum(middle - half, share).clip(0, 1), np.maximum(middle + half, share).clip(0, 1)
