from ui import last_seen
from ui.last_seen import LastSeen


class Clock:
    time = 100.0

    def __call__(self) -> float:
        return self.time


def test_it_is_due_once_in_so_many_minutes_for_each_token() -> None:
    clock = Clock()
    seen = LastSeen(clock)
    assert seen.is_due("a", minutes=5)
    assert not seen.is_due("a", minutes=5)
    assert seen.is_due("b", minutes=5)
    clock.time += 301
    assert seen.is_due("a", minutes=5)
    assert not seen.is_due("a", minutes=5)


def test_memory_is_bounded() -> None:
    seen = LastSeen(Clock())
    for number in range(last_seen.TOKENS_KEPT + 10):
        seen.is_due(str(number), minutes=5)
    assert len(seen._written) == last_seen.TOKENS_KEPT
    assert "0" not in seen._written
