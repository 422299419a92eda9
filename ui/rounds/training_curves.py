"""The curves of a round in training: one chart a metric, drawn from a plain table."""

from typing import Any

import altair
import pandas

from ui.languages import Words

# What is drawn of each step, in this order where it was measured.
CURVES: dict[str, tuple[str, ...]] = {
    "sft": ("loss/sft",),
    "reward": ("loss/reward", "accuracy", "loss/reward_fold"),
    "ppo": ("objective/scores", "objective/kl", "val/mean_tokens", "policy/entropy_avg"),
}
HEIGHT = 200


def curves(points: pandas.DataFrame, words: Words) -> list[tuple[str, Any]]:
    """Return (title, chart) for each metric worth a curve; `points` is `round_curves`' table.

    A metric without a name above is drawn only where its step has none that is named.
    """
    found = []
    for state in dict.fromkeys(points["state"]):
        of_state = points[points["state"] == state]
        measured = list(dict.fromkeys(of_state["metric"]))
        named = {
            metric: words.say(f"curve.{metric}")
            for metric in CURVES.get(state, ())
            if metric in measured
        }
        for metric, title in (named or {each: f"{state}: {each}" for each in measured}).items():
            found.append((title, _curve(of_state[of_state["metric"] == metric], words)))
    return found


def _curve(points: pandas.DataFrame, words: Words) -> Any:
    step = words.say("curve.step")
    return (
        altair.Chart(points)
        .mark_line(point=len(points) < 30, strokeWidth=2)
        .encode(
            x=altair.X("step_index:Q", title=step, axis=altair.Axis(tickMinStep=1, grid=False)),
            y=altair.Y("value:Q", title=None, scale=altair.Scale(zero=False)),
            tooltip=[
                altair.Tooltip("step_index:Q", title=step),
                altair.Tooltip("value:Q", title=words.say("curve.value"), format=".4g"),
            ],
        )
        .properties(height=HEIGHT)
    )
