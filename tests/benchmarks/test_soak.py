"""The soak's one figure: how fast memory grows after the warm-up."""

import math

import pytest

from benchmarks.soak import Look, slope


def look(minutes: float, mib: float) -> Look:
    return Look(minutes, mib, measuring=0.0, pages=1, threads=1, files=1, connections=1)


def test_the_slope_is_in_mib_an_hour_and_leaves_the_warm_up_out() -> None:
    warm_up = [look(minute, 100.0 * minute) for minute in range(6)]
    after = [look(minute, 500.0 + 2.0 * minute) for minute in range(6, 21)]
    assert slope(warm_up + after) == pytest.approx(120.0)
    assert slope([look(minute, 300.0) for minute in range(10)]) == pytest.approx(0.0)


def test_what_is_held_for_an_instant_is_no_slope() -> None:
    flat = [look(step / 4, 300.0) for step in range(80)]
    spikes = [look(minute + 0.1, 364.0) for minute in range(12, 20, 2)]
    assert slope(sorted(flat + spikes, key=lambda each: each.minutes)) == pytest.approx(0.0)


def test_a_short_run_says_nothing() -> None:
    assert math.isnan(slope([look(minute, 100.0 * minute) for minute in range(8)]))
