"""What wants a lead: pure functions of figures that are measured elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from labeling.labeling_sections import AlarmSettings
from labeling.loop_state import LoopState
from storage.plurals import counted, form

#: annotators that one alarm names; the page Annotators has them all
MOST_NAMES = 3


@dataclass(frozen=True)
class Alarm:
    """Say in words what is wrong and what to do, and name the page on which to do it.

    `count` is how many annotators it is about, or 1.
    """

    kind: str
    words: str
    page: str
    count: int = 1


def alarms(
    settings: AlarmSettings,
    *,
    loop: LoopState,
    worker_runs: bool,
    alpha: float | None,
    reliable: pd.DataFrame,
) -> list[Alarm]:
    """Return what wants a lead, the loop's own troubles first.

    Annotators who have the same trouble are in one alarm. `alpha` is Krippendorff's on pairs (None:
    not measured); `reliable` is the table of `labeling.statistics.reliability`.
    """
    return [
        *_of_the_worker(worker_runs),
        *_of_rounds(loop),
        *_of_the_pool(settings, loop),
        *_of_agreement(settings, alpha),
        *_of_known_answers(settings, reliable),
        *_of_pace(settings, reliable),
    ]


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
    if pool.waiting < settings.ready_tasks:
        words = f"Only {pool.waiting} {form(pool.waiting, 'task is', 'tasks are')} ready"
        words = f"{words}: annotators will run out." if pool.waiting else "No task is ready."
        yield Alarm("ready_tasks", words, "rounds")
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


def _of_known_answers(settings: AlarmSettings, reliable: pd.DataFrame) -> Iterator[Alarm]:
    gold, tasks = _numbers(reliable, "gold"), _numbers(reliable, "gold_tasks")
    wrong = reliable.assign(share=gold)[(tasks >= settings.gold_tasks) & (gold < settings.gold)]
    if len(wrong) == 1:
        (one,) = wrong.to_dict("records")
        said = f"{one['name']} is right on {one['share']:.0%}"
        words = f"{said} of the pairs of {counted(one['gold_tasks'], 'gold task')}."
        yield Alarm("gold", words, "annotators")
    elif len(wrong):
        said = f"{len(wrong):,} annotators are right on less than {settings.gold:.0%}"
        lowest = _first_named(wrong.sort_values("share", kind="stable"))
        words = f"{said} of the pairs of gold tasks: {lowest}."
        yield Alarm("gold", words, "annotators", len(wrong))


def _of_pace(settings: AlarmSettings, reliable: pd.DataFrame) -> Iterator[Alarm]:
    share, judgments = _numbers(reliable, "fast"), _numbers(reliable, "judgments")
    enough = judgments >= settings.fast_judgments
    fast = reliable.assign(share=share)[enough & (share > settings.fast)]
    if len(fast) == 1:
        (one,) = fast.to_dict("records")
        said = f"{one['name']} judged {one['share']:.0%}"
        yield Alarm("fast", f"{said} of their tasks faster than they can be read.", "annotators")
    elif len(fast):
        said = f"{len(fast):,} annotators judged more than {settings.fast:.0%}"
        highest = _first_named(fast.sort_values("share", ascending=False, kind="stable"))
        words = f"{said} of their tasks faster than they can be read: {highest}."
        yield Alarm("fast", words, "annotators", len(fast))


def _numbers(reliable: pd.DataFrame, name: str) -> "pd.Series[float]":
    """Return a column as numbers, NaN where nothing was measured."""
    return pd.to_numeric(reliable[name]).astype(float)


def _first_named(rows: pd.DataFrame) -> str:
    """Return the first few names with their share, and how many there are beside them."""
    first = rows.head(MOST_NAMES).to_dict("records")
    names = ", ".join(f"{one['name']} ({one['share']:.0%})" for one in first)
    rest = len(rows) - len(first)
    return f"{names} and {rest:,} more" if rest else names
