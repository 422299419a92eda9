"""The fault suite's table: a line a fault, made of what the tests told."""

import json
from dataclasses import asdict, dataclass

import pytest

ROW = "fault"
HEAD = (
    "| what was broken | how often | judgments acknowledged | rounds ended | serves again within "
    "| what was seen |",
    "| --- | --- | --- | --- | --- | --- |",
)


@dataclass(frozen=True)
class Row:
    """What one test broke, and what came of it; None where it does not apply."""

    fault: str
    times: str
    acknowledged: int | None
    rounds: str
    ready_seconds: float | None
    seen: str

    def as_json(self) -> str:
        """Return it as text, which passes between pytest's processes."""
        return json.dumps(asdict(self))

    def line(self) -> str:
        """Return it as a line of a Markdown table."""
        ready = "" if self.ready_seconds is None else f"{self.ready_seconds:.1f} s"
        acknowledged = "" if self.acknowledged is None else str(self.acknowledged)
        cells = [self.fault, self.times, acknowledged, self.rounds, ready, self.seen]
        return f"| {' | '.join(cells)} |"


class Table:
    """A plugin of pytest that collects the lines; a test that failed has one, too."""

    def __init__(self) -> None:
        """Begin with none."""
        self.lines: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test told, or that it failed or was skipped."""
        name = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        if report.when == "call" and report.passed:
            told = [str(value) for key, value in report.user_properties if key == ROW]
            self.lines += [Row(**json.loads(each)).line() for each in told]
        elif report.failed:
            self.lines.append(f"| {name} | | | | | **BROKEN** |")
        elif report.skipped:
            self.lines.append(f"| {name} | | | | | not run here |")
