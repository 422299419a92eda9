"""Learning rates over training."""

import pytest

from reward.training.schedules import Schedule, learning_rate_factor


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1.0, 1.0, 1.0, 1.0]),
        ("linear", [1.0, 0.75, 0.5, 0.0]),
        ("cosine", [1.0, 0.5 * (1 + 2**-0.5), 0.5, 0.0]),
    ],
)
def test_factors(schedule: Schedule, factors: list[float]) -> None:
    found = [learning_rate_factor(schedule, share) for share in (0.0, 0.25, 0.5, 1.0)]
    assert found == pytest.approx(factors)
