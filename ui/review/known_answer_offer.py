"""A button that makes a task with a known answer from the task that a lead has before them."""

from collections.abc import Callable

import streamlit as st

from labeling.quality_control.known_answers import KINDS, LONGEST_EXPLANATION, make_gold
from storage.errors import RankloopError
from storage.tables import TaskKind
from ui import process, session, unsaved
from ui.review.review_deeds import refuse


def offer(task_id: int, ranks: Callable[[], list[int] | None]) -> None:
    """Draw the button; `ranks` gives the lead's ranking, or None where it is not whole yet."""
    with st.popover("Make it a known answer"):
        st.text("Your ranking above becomes the known one of a copy of this task.")
        of_set, explanation = _keys(task_id)
        kinds = [each.value for each in KINDS]
        st.radio("Set", kinds, horizontal=True, **unsaved.field(of_set))
        filled = unsaved.field(explanation)
        st.text_area("Explanation, for annotators", max_chars=LONGEST_EXPLANATION, **filled)
        st.button("Make it one", key=f"make-known-{task_id}", on_click=_make, args=(task_id, ranks))


def _make(task_id: int, ranks: Callable[[], list[int] | None]) -> None:
    given = ranks()
    if given is None:
        return
    # Read now: what was typed just before the click is not in the button's arguments yet.
    of_set, said = _keys(task_id)
    kind = TaskKind(st.session_state[of_set])
    try:
        with process.writing() as rows:
            make_gold(
                rows,
                task_id=task_id,
                ranks=given,
                by=session.require_account(),
                explanation=st.session_state[said],
                kind=kind,
            )
    except RankloopError as error:
        refuse(str(error))
        return
    unsaved.forget(said)
    st.toast(f"A {kind.value} task is made of it.")


def _keys(task_id: int) -> tuple[str, str]:
    return unsaved.key_for("set", task_id), unsaved.key_for("explanation", task_id)
