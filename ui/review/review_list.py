"""The queue of the review page: which tasks wait, why, and since when."""

import streamlit as st

from labeling.review.reviews import ReviewItem
from storage.clock import now
from ui.plain_text import plain
from ui.review.review_deeds import choose

MOST_SHOWN = 50  # tasks; the others move up as these are done


def show(items: list[ReviewItem], chosen: int, then: int) -> None:
    """Draw the queue; `then` is the task that comes after the chosen one (0: none)."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{len(items)}** waiting", width="stretch")
        st.button("Next", shortcut="N", on_click=choose, args=(then,), disabled=then == 0)
    with st.container(key="review-queue"):
        for item in items[:MOST_SHOWN]:
            mine = item.task_id == chosen
            st.button(
                plain(_shortened(item.prompt)), key=f"review-{item.task_id}", width="stretch",
                wrap=False, type="primary" if mine else "secondary", on_click=choose,
                args=(item.task_id,),
            )  # fmt: skip
            st.caption(plain(" · ".join(_why(item))))


def _why(item: ReviewItem) -> list[str]:
    causes = dict.fromkeys(reason.cause.value for reason in item.reasons)
    agreement = [] if item.agreement is None else [f"agreement {item.agreement:.0%}"]
    return [*causes, *agreement, _age(item)]


def _age(item: ReviewItem) -> str:
    minutes = max(0, int((now() - item.since).total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"


def after(ids: list[int], task_id: int) -> int:
    """Return the task after one in the queue, from the start again; 0 without another."""
    if task_id in ids:
        place = ids.index(task_id)
        ids = ids[place + 1 :] + ids[:place]
    return ids[0] if ids else 0
