from ui.patience import FREE_FAILURES, LONGEST_WAIT_SECONDS, Patience


class Clock:
    time = 100.0

    def __call__(self) -> float:
        return self.time


def fail(patience: Patience, times: int, name: str = "ada") -> None:
    for _ in range(times):
        patience.failed(name)


def test_the_first_failures_cost_no_wait() -> None:
    patience = Patience(Clock())
    fail(patience, FREE_FAILURES - 1)
    assert patience.seconds_to_wait("ada") == 0


def test_further_failures_double_the_wait_up_to_a_bound() -> None:
    patience = Patience(Clock())
    waits = []
    fail(patience, FREE_FAILURES - 1)
    for _ in range(8):
        patience.failed("ada")
        waits.append(patience.seconds_to_wait("ada"))
    assert waits == [2, 4, 8, 16, 32, LONGEST_WAIT_SECONDS, 60, 60]


def test_waiting_and_succeeding_end_the_wait() -> None:
    clock = Clock()
    patience = Patience(clock)
    fail(patience, FREE_FAILURES)
    clock.time += 2.5
    assert patience.seconds_to_wait("ada") == 0
    fail(patience, 1)
    patience.succeeded("ADA")
    assert patience.seconds_to_wait("ada") == 0


def test_another_name_does_not_wait() -> None:
    patience = Patience(Clock())
    fail(patience, FREE_FAILURES + 3)
    assert patience.seconds_to_wait("bob") == 0


def test_old_failures_are_forgotten() -> None:
    clock = Clock()
    patience = Patience(clock)
    fail(patience, FREE_FAILURES, "ada")
    clock.time += 3600
    fail(patience, 1, "bob")
    assert list(patience._failures) == ["bob"]
