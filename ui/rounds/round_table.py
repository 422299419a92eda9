"""Rounds as people read them: a table, and the progress of the one that runs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pandas
import streamlit as st

from storage.clock import now
from ui.charts.shares import share
from ui.languages import Words

# Figures worth a column, by the last part of their name among a round's (nested) metrics.
KEY_FIGURES = {
    "reward_accuracy": "Reward accuracy",
    "win_rate": "Win rate",
    "reward": "Mean reward",
    "kl": "KL",
}
SHARES = ("reward_accuracy", "win_rate")
ENDED = ("done", "rejected", "failed")
STEPS = ("queued", "snapshot", "sft", "reward", "ppo", "evaluate", "publish")


def table_of(rounds: list[dict[str, Any]], words: Words, *, versions: bool) -> pandas.DataFrame:
    """Return one row a round, the newest first, with the key figures that any round has.

    `versions` for those who may know which policy a round published, and who asked for it.
    """
    rows = []
    for one in reversed(rounds):
        figures = dict(_flat(one["metrics"]))
        rows.append(
            {
                "Round": one["number"],
                "State": words.say(f"rounds.state.{one['state']}"),
                "Policy": one["policy_version"],
                "Judgments": one["judgments"],
                **{title: figures.get(name) for name, title in KEY_FIGURES.items()},
                "Minutes": _minutes(one),
                "Reason": one["reason"],
            }
        )
    table = pandas.DataFrame(rows)
    if not versions:
        table = table.drop(columns=["Policy", "Reason"])
    return table.drop(columns=[each for each in KEY_FIGURES.values() if table[each].isna().all()])


def columns_of(words: Words) -> dict[str, Any]:
    """Return what the columns are called, and how their numbers are written."""
    number = st.column_config.NumberColumn
    return {
        **{title: _figure(name, words) for name, title in KEY_FIGURES.items()},
        "Round": words.say("rounds.column.round"),
        "State": words.say("rounds.column.state"),
        "Judgments": words.say("rounds.column.judgments"),
        "Minutes": number(words.say("rounds.column.minutes"), format="%.1f"),
        "Policy": number(words.say("rounds.column.policy"), help="What it published"),
        "Reason": words.say("rounds.column.reason"),
    }


def _figure(name: str, words: Words) -> Any:
    title = words.say(f"rounds.column.{name}")
    if name in SHARES:
        return share(title)
    return st.column_config.NumberColumn(title, format="%.2f")


def progress_of(
    one: dict[str, Any], points: pandas.DataFrame | None, words: Words
) -> tuple[float | None, str]:
    """Return the share done (0 … 1) of the step that a round is in, and words; None if it ended."""
    state = one["state"]
    if state in ENDED:
        return None, ""
    said = words.say(
        "rounds.progress", number=one["number"], state=words.say(f"rounds.state.{state}"),
        step=STEPS.index(state) + 1, steps=len(STEPS),
    )  # fmt: skip
    of_state = points[points["state"] == state] if points is not None else None
    if of_state is None or of_state.empty or not int(of_state["steps"].iloc[-1]):
        return 0.0, said
    done, steps = int(of_state["step_index"].max()), int(of_state["steps"].iloc[-1])
    updates = words.say("rounds.updates", progress=said, done=done, updates=steps)
    return min(1.0, done / steps), updates


def _minutes(one: dict[str, Any]) -> float | None:
    if one["started_at"] is None:
        return None
    ended = datetime.fromisoformat(one["finished_at"]) if one["finished_at"] else now()
    return (ended - datetime.fromisoformat(one["started_at"])).total_seconds() / 60


def _flat(metrics: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from _flat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name.rsplit("/", 1)[-1], float(value)
