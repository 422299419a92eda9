"""What wants a lead: pure functions of figures that are measured elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from labeling.labeling_sections import AlarmSettings
from labeling.loop_state import LoopState


@dataclass(frozen=True)
class Alarm:
    """Say in words what is wrong and what to do, and name the page on which to do it."""

    kind: str
    words: str
    page: str


def alarms(
    settings: AlarmSettings,
    *,
    loop: LoopState,
    worker_runs: bool,
    alpha: float | None,
    reliable: pd.DataFrame,
) -> list[Alarm]:
    """Return what wants a lead, the loop's own troubles first.

    `alpha` is Krippendorff's on pairs (None: not measured); `reliable` is the table of
    `labeling.statistics.reliability`.
    """
    found = [
        *_of_the_worker(worker_runs),
        *_of_rounds(loop),
        *_of_the_pool(settings, loop),
        *_of_agreement(settings, alpha),
    ]
    for row in reliable.to_dict("records"):
        found += _of_annotator(settings, row)
    return found


def _of_the_worker(runs: bool) -> Iterator[Alarm]:
    if not runs:
        yield Alarm(
            "worker", "No worker is running: nothing is trained. Start one: rankloop worker",
            "rounds",
        )  # fmt: skip


def _of_rounds(loop: LoopState) -> Iterator[Alarm]:
    ended = [one for one in loop.rounds if one["state"] in ("done", "rejected", "failed")]
    if ended and ended[-1]["state"] != "done":
        last = ended[-1]
        deed = "was not published" if last["state"] == "rejected" else "failed"
        yield Alarm(last["state"], f"Round {last['number']} {deed}: {last['reason']}", "rounds")
    rate = loop.live_policy["human_win_rate"]
    if rate is not None and rate["high"] < 0.5:
        yield Alarm(
            "win_rate",
            f"People prefer version {rate['over']} to the live version {rate['version']}; "
            "roll back, or look at what the reward model learned.",
            "rounds",
        )


def _of_the_pool(settings: AlarmSettings, loop: LoopState) -> Iterator[Alarm]:
    pool = loop.pool
    if pool.ready < settings.ready_tasks:
        noun = "task is" if pool.ready == 1 else "tasks are"
        yield Alarm(
            "ready_tasks", f"Only {pool.ready} {noun} ready: annotators will run out.", "rounds"
        )
    if pool.share is not None and pool.share > settings.stale:
        yield Alarm(
            "stale",
            f"{pool.share:.0%} of the ready tasks are of older versions: people judge what the "
            "model no longer writes.",
            "rounds",
        )


def _of_agreement(settings: AlarmSettings, alpha: float | None) -> Iterator[Alarm]:
    if alpha is not None and alpha < settings.alpha:
        yield Alarm(
            "agreement",
            f"Annotators hardly agree (Krippendorff's alpha {alpha:.2f}): look at the tasks with "
            "least agreement and at the guidelines.",
            "agreement",
        )


def _of_annotator(settings: AlarmSettings, row: dict[str, object]) -> Iterator[Alarm]:
    gold, tasks, fast = row["gold"], row["gold_tasks"], row["fast"]
    enough = isinstance(tasks, int) and tasks >= settings.gold_tasks
    if enough and isinstance(gold, float) and gold < settings.gold:
        words = f"{row['name']} is right on {gold:.0%} of the pairs of {tasks} gold tasks."
        yield Alarm("gold", words, "annotators")
    if isinstance(fast, float) and fast > settings.fast:
        words = f"{row['name']} judged {fast:.0%} of their tasks faster than they can be read."
        yield Alarm("fast", words, "annotators")
