"""A line of progress is due at every part of the work, and after a minute without one."""

import pytest

from reward.stages import pace


def test_lines_are_due_at_parts_and_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    told = pace.Pace(parts=4)
    assert [done for done in range(1, 19) if told.is_due(done, 18)] == [4, 8, 12, 16, 18]
    clock[0] = 59.0
    assert not told.is_due(1, 18)
    clock[0] = 61.0
    assert told.is_due(1, 18)
    assert not told.is_due(2, 18)
    clock[0] = 122.0
    assert told.is_due(3, 18)
