"""The policies on the rounds page: what people think of each, and the way back to an older one."""

from datetime import datetime
from typing import Any

import streamlit as st

from labeling.rollback import roll_back
from labeling.work_queue.freshness import Staleness
from storage.errors import RankloopError
from storage.plurals import counted, form
from ui import process, session
from ui.charts.figure_card import figure_card
from ui.plain_text import plain

MOST_SHOWN = 8  # versions, newest first; `rankloop policies list` has them all


def show(policies: list[dict[str, Any]], *, may_roll_back: bool) -> None:
    """Draw the published policies, newest first; each older one with a button for those who may."""
    published = [one for one in policies if one["status"] in ("live", "retired")]
    if len(published) < 2:
        return
    st.subheader("Policies")
    st.caption(
        "Wins: how often people, shown two completions blind, preferred this version to the one "
        "before it; a tie is half a win, the interval is Wilson's at 95 %."
    )
    for one in reversed(published[-MOST_SHOWN:]):
        with st.container(
            border=True, horizontal=True, horizontal_alignment="distribute",
            vertical_alignment="center",
        ):  # fmt: skip
            st.markdown(" · ".join(words_of(one)), width="content")
            if may_roll_back and one["status"] != "live":
                version = one["version"]
                st.button(
                    f"Make version {version} live again", key=f"roll-back-{version}",
                    on_click=_roll_back, args=(version,),
                )  # fmt: skip


def words_of(one: dict[str, Any]) -> list[str]:
    """Return what a line of the list says of a policy, as Markdown."""
    again = "" if one["again"] is None else f" (version {one['again']} again)"
    live = ", live" if one["status"] == "live" else ""
    words = [f"**Version {one['version']}**{live}{again}"]
    if one["published_at"]:
        words.append(plain(f"{datetime.fromisoformat(one['published_at']):%Y-%m-%d %H:%M} UTC"))
    first = one["parent"] is None
    return words if first else [*words, plain(win_words(one["human_win_rate"]))]


def win_words(rate: dict[str, Any] | None) -> str:
    """Return a human win rate with its interval and number, or that there is none yet."""
    if rate is None:
        return "not compared by people yet"
    value, low, high = (f"{rate[name]:.0%}" for name in ("value", "low", "high"))
    return (
        f"wins {value} [{low.removesuffix('%')}, {high.removesuffix('%')}] over version "
        f"{rate['over']}, {counted(rate['judgments'], 'comparison')}"
    )


def stale_card(place: Any, found: Staleness) -> None:
    """Draw how much of the pool is of superseded policies."""
    share = "–" if found.share is None else f"{found.share:.0%}"
    note = f"{found.stale:,} of {counted(found.ready, 'ready task')}"
    if found.versionless:
        note += f", and {found.versionless:,} of other models"
    if found.mean_age is not None:
        was = form(found.judged, "was", "were")
        note += f"; the last {found.judged:,} judged {was} {found.mean_age:.1f} versions old"
    figure_card(place, "Stale tasks", share, note)


def _roll_back(version: int) -> None:
    account, project = session.require_account(), process.project()
    assert project.id is not None
    try:
        with process.writing() as rows:
            policy = roll_back(rows, project_id=project.id, version=version, by=account)
    except RankloopError as error:
        st.session_state["rolled_back"] = str(error)
        return
    told = f"Version {version} is live again, as version {policy.version}."
    st.session_state["rolled_back"] = told
