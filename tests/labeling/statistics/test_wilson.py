"""Wilson's interval, by a textbook's numbers."""

import numpy as np
import pytest

from labeling.statistics.wilson import wilson


def test_wilson_is_what_the_textbook_has() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263.
    low, high = wilson(np.array([81 / 263]), np.array([263.0]))
    assert (low[0], high[0]) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
