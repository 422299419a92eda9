"""KL estimates and controllers against numbers worked by hand."""

import math

import pytest
import torch

from reward.policy_optimization.kl import AdaptiveKL, FixedKL, kl_controller, kl_estimate

# log π − log π_ref = 0.5 and −0.2.
LOG_PROBS, REFERENCE = torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -1.8])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("k1", [0.5, -0.2]),
        ("k2", [0.125, 0.02]),
        ("k3", [math.exp(-0.5) - 1 + 0.5, math.exp(0.2) - 1 - 0.2]),
    ],
)
def test_estimates(kind: str, expected: list[float]) -> None:
    found = kl_estimate(LOG_PROBS, REFERENCE, kind)  # type: ignore[arg-type]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_k1_and_k3_agree_with_the_kl_on_average() -> None:
    ours, theirs = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.5, 0.3])
    truth = float((ours * (ours / theirs).log()).sum())
    for kind in ("k1", "k3"):
        found = kl_estimate(ours.log(), theirs.log(), kind)  # type: ignore[arg-type]
        assert float((ours * found).sum()) == pytest.approx(truth, abs=1e-6)


def test_an_adaptive_price_follows_the_target() -> None:
    controller = AdaptiveKL(0.1, target=6.0, horizon=1000.0)
    controller.update(kl=12.0, completions=100)  # e is clipped to 0.2: 0.1 · (1 + 0.02)
    assert controller.coefficient == pytest.approx(0.102)
    controller.update(kl=5.4, completions=100)  # e = −0.1: 0.102 · (1 − 0.01)
    assert controller.coefficient == pytest.approx(0.10098)


def test_a_fixed_price_stays() -> None:
    controller = FixedKL(0.05)
    controller.update(kl=100.0, completions=100)
    assert controller.coefficient == 0.05


def test_a_target_makes_it_adaptive() -> None:
    assert isinstance(kl_controller(0.1, 6.0, 100.0), AdaptiveKL)
    assert isinstance(kl_controller(0.1, 0.0, 100.0), FixedKL)
