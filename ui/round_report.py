"""What a round measured: why it was published or not, and its samples beside the live policy's."""

from typing import Any

import pandas
import streamlit as st

from ui.plain_text import plain
from ui.round_table import ENDED

VERDICTS = {
    "done": "why it was published",
    "rejected": "why it was not published",
    "failed": "why it failed",
}
# How the gate compares a check's figure with its bound; all others must reach it.
RELATIONS = {
    "reward_accuracy": "above",
    "win_rate": "above",
    "kl": "at most",
    "length_ratio_high": "at most",
    "identical": "at most",
}
LATEST = 0


def choose(rounds: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the round to report: the latest that ended, or another that is asked for."""
    ended = {one["number"]: one for one in reversed(rounds) if one["state"] in ENDED}
    if len(ended) < 2:
        return next(iter(ended.values()), None)
    latest = max(ended)
    # A choice of its own: it moves on when another round ends.
    number = st.selectbox(
        "Report of round",
        [LATEST, *(each for each in ended if each != latest)],
        format_func=lambda each: f"{latest} (the latest)" if each == LATEST else str(each),
        key="reported_round",
        width=240,
    )
    return ended.get(number, ended[latest])


def checks_of(one: dict[str, Any]) -> pandas.DataFrame:
    """Return one row a check of the gate, named by what it measures, those that failed first.

    The words are Markdown; the table is empty before any check was made.
    """
    rows = [
        {
            "Measured": plain(check["meaning"]),
            "Figure": f"{check['figure']:.3g}",
            "Wanted": f"{RELATIONS.get(check['name'], 'at least')} {check['bound']:g}",
            "Passed": "yes" if check["passed"] else "no",
        }
        for check in sorted(one["metrics"].get("gate", []), key=lambda check: check["passed"])
    ]
    table = pandas.DataFrame(rows, columns=["Measured", "Figure", "Wanted", "Passed"])
    return table.set_index("Measured")


def show(one: dict[str, Any], *, samples: bool) -> None:
    """Draw the report of one ended round; `samples` for those who may know whose text is whose."""
    st.subheader(f"Round {one['number']}: {VERDICTS[one['state']]}")
    if one["state"] != "done":
        st.text(one["reason"])
    checks = checks_of(one)
    if not checks.empty:
        # Unlike a data frame it breaks lines, so that a phone shows every column.
        st.table(checks)
    texts = one["metrics"].get("samples", [])
    if samples and texts:
        with st.expander(f"Held-out prompts answered by both policies ({len(texts)})"):
            for sample in texts:
                _sample(sample)


def _sample(sample: dict[str, str]) -> None:
    """Draw a prompt and two answers as text: Markdown would fetch what a model names."""
    with st.container(border=True):
        st.caption("Prompt")
        st.text(sample["prompt"])
        candidate, live = st.columns(2)
        candidate.caption("This round's policy")
        candidate.text(sample["candidate"])
        live.caption("The policy before")
        live.text(sample["live"])
