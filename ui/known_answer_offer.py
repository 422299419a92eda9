"""A button that makes a task with a known answer from the task that a lead has before them."""

from collections.abc import Callable

import streamlit as st

from labeling.quality_control.known_answers import KINDS, LONGEST_EXPLANATION, make_gold
from storage.engine import writing
from storage.errors import RankloopError
from storage.tables import TaskKind
from ui import process, session
from ui.review_deeds import refuse

# The review page keeps what was typed under such keys while another task is shown.
_SET, _EXPLANATION = "review-said-set-{}", "review-said-explanation-{}"


def offer(task_id: int, ranks: Callable[[], list[int] | None]) -> None:
    """Draw the button; `ranks` gives the lead's ranking, or None where it is not whole yet."""
    with st.popover("Make it a known answer"):
        st.text("Your ranking above becomes the known one of a copy of this task.")
        st.radio("Set", [each.value for each in KINDS], key=_SET.format(task_id), horizontal=True)
        st.text_area(
            "Explanation, for annotators",
            key=_EXPLANATION.format(task_id),
            max_chars=LONGEST_EXPLANATION,
        )
        st.button("Make it one", key=f"make-known-{task_id}", on_click=_make, args=(task_id, ranks))


def _make(task_id: int, ranks: Callable[[], list[int] | None]) -> None:
    given = ranks()
    if given is None:
        return
    # Read now: what was typed just before the click is not in the button's arguments yet.
    kind = TaskKind(st.session_state[_SET.format(task_id)])
    explanation = st.session_state[_EXPLANATION.format(task_id)]
    try:
        with writing(process.engine()) as rows:
            make_gold(
                rows,
                task_id=task_id,
                ranks=given,
                by=session.require_account(),
                explanation=explanation,
                kind=kind,
            )
    except RankloopError as error:
        refuse(str(error))
        return
    st.toast(f"A {kind.value} task is made of it.")
