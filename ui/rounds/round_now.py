"""What the worker does now, and the curves of the newest round: the part that follows live."""

from typing import Any

import pandas
import streamlit as st
from sqlmodel import Session, col, func, select

from labeling.loop_state import LoopState
from labeling.rounds import round_curves
from labeling.statistics.data_version import DataVersion
from storage.tables import Account, RoundPoint, WorkerLease
from ui import session
from ui.charts.figure_card import figure_card
from ui.charts.figure_table import figure_table
from ui.figures import measured
from ui.figures.kept_figures import kept
from ui.languages.worker_words import doing_in_words
from ui.plain_text import plain
from ui.rounds import policy_table, training_curves
from ui.rounds.round_table import progress_of


def show(account: Account, shown: LoopState, *, versions: bool) -> None:
    """Draw the cards, the progress and the curves; draw the page anew once `shown` is not so now.

    `versions` for those who may know which version is live, and how old the pool is.
    """
    loop = measured.loop(account)
    if loop is not shown:
        st.rerun()
    _cards(loop, measured.worker(), versions=versions)
    if not loop.rounds:
        return
    latest = loop.rounds[-1]
    points = _points(account, latest["id"])
    share, said = progress_of(latest, points, session.words())
    if share is not None:
        st.progress(share, text=plain(said))
    _curves(latest["number"], points)


def _cards(loop: LoopState, lease: WorkerLease | None, *, versions: bool) -> None:
    places = st.columns(4 if versions else 2)
    judgments, worker = places[-2:]
    if versions:
        policy_table.stale_card(places[1], loop.pool)
        version = f"version {loop.live}"
        figure_card(places[0], "Live policy", version, "whose completions are being ranked")
    say = session.words().say
    wanted, left = loop.judgments_per_round, loop.until_round
    come = say("rounds.come", done=wanted - left, wanted=wanted)
    counted = say("rounds.left", count=left)
    figure_card(judgments, say("rounds.until"), counted, come, 1 - left / wanted)
    if lease is None:
        figure_card(worker, say("rounds.worker"), say("rounds.not_running"),
                    say("rounds.start_worker"))  # fmt: skip
        return
    said = doing_in_words(lease.doing, session.words())
    doing = " · ".join(filter(None, [said, lease.device]))
    figure_card(worker, say("rounds.worker"), say("rounds.running"), doing)


def _points(account: Account, round_id: int) -> pandas.DataFrame:
    def version(rows: Session) -> DataVersion:
        found = rows.exec(
            select(func.count(), func.max(col(RoundPoint.created_at))).where(
                RoundPoint.round_id == round_id
            )
        ).one()
        return DataVersion((round_id, *found), ())

    return kept(
        "points",
        lambda rows, _: round_curves(rows, round_id=round_id),
        account=account, action=None, version=version,
    )  # fmt: skip


def _curves(number: int, points: Any) -> None:
    words = session.words()
    drawn = training_curves.curves(points, words)
    if drawn:
        st.subheader(words.say("rounds.curves", number=number))
    for start in range(0, len(drawn), 2):
        for place, (title, chart) in zip(st.columns(2), drawn[start : start + 2], strict=False):
            place.caption(title)
            place.altair_chart(chart, key=f"curve {number} {title}")
    if drawn:
        with st.expander(words.say("rounds.as_table")):
            figure_table(points, key=f"curves-of-round-{number}")
