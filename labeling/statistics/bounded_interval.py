"""An interval of a figure that has bounds, from its error: as wide as few tasks make it."""

import numpy as np

from labeling.statistics.student import UPPER, student_quantile
from labeling.statistics.wilson import wilson

# Below these, the spread and the variance of a share are rounding.
_NO_SPREAD, _NO_VARIANCE = 1e-12, 1e-15


def bounded_interval(
    value: float, error: float, tasks: int, *, least: float, trials: float = np.inf
) -> tuple[float, float]:
    """Return the 95 % interval of a figure from `least` to 1 with that standard error over tasks.

    Wilson's (1927, Journal of the American Statistical Association 22, 209-212) of the figure's
    place between its bounds, p, at the effective sample size p(1 − p) / Var(p) and with Student's t
    of `tasks` − 1 degrees of freedom, as Korn and Graubard (1998, Survey Methodology 24, 193-201)
    have it for shares. `trials` bounds that size: what the figure can rest on at most.

    At either bound there is no variance to estimate. All that is known then is that none of the
    `tasks` was otherwise: of all tasks at most 1 − 0.025^(1/tasks) are (Clopper and Pearson 1934,
    Biometrika 26, 404-413; Hanley and Lippman-Hand 1983, JAMA 249, 1743-1745, the rule of three),
    and these may be as far away as the other bound.
    """
    reach = 1.0 - least
    place = min(max((value - least) / reach, 0.0), 1.0)
    spread, variance = place * (1 - place), (error / reach) ** 2
    if spread < _NO_SPREAD:
        certain = (1 - UPPER) ** (1 / max(min(tasks, trials), 1e-3))
        bounds = (certain, 1.0) if place > 1 / 2 else (0.0, 1 - certain)
    else:
        effective = (
            min(spread / variance, trials) if variance > _NO_VARIANCE else min(tasks, trials)
        )
        ends = wilson(np.array([place]), np.array([effective]), student_quantile(tasks - 1))
        bounds = float(ends[0][0]), float(ends[1][0])
    return least + reach * bounds[0], least + reach * bounds[1]
