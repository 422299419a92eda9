"""The review page: the tasks that want a second look on the left, one of them on the right."""

import streamlit as st

from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.review.reviewed_task import ReviewedTask, reviewed_task
from labeling.review.reviews import ReviewItem, review_queue
from ui import process, session
from ui.components.beginning import begins_here
from ui.plain_text import plain
from ui.review import review_list, review_task
from ui.review.review_deeds import CHOSEN, take_asked, take_refusal, take_told

EMPTY = (
    "Nothing waits for you. Tasks come here when their judgments agree too little, when an "
    "annotator flags one, when everybody has skipped one, or when a reward model that never saw "
    "the prompt is sure of another order. Their bounds stand in Settings, section Review queue."
)


def show() -> None:
    """Show the queue and the chosen task, or what would bring one here."""
    account, project_id = session.require_account(), key_of(process.project())
    require(account, Action.REVIEW, project_id=process.project_id())
    st.title("Review")
    take_asked()
    # Always there: a place that comes and goes would have the browser build all below it anew,
    # and a click on it just then would be lost.
    place = st.empty()
    if done := take_told():
        st.toast(plain(done))
    with process.reading() as rows:
        items = review_queue(
            rows, project_id=project_id, account=account, home=process.settings().home
        )
        ids = [item.task_id for item in items]
        chosen = st.session_state.get(CHOSEN) or next(iter(ids), None)
        task = chosen and reviewed_task(
            rows, project_id=project_id, task_id=chosen, account=account
        )
    if task:
        _both(items, task, review_list.after(ids, task.task_id))
    else:
        st.info(EMPTY)
    if refused := take_refusal():
        place.warning(plain(refused))


def _both(items: list[ReviewItem], task: ReviewedTask, then: int) -> None:
    left, right = st.columns([1, 3], gap="large")
    with left:
        review_list.show(items, task.task_id, then)
    with right:
        begins_here(task.task_id)
        with st.container():
            _reasons(items, task)
        review_task.show(task, then)


def _reasons(items: list[ReviewItem], task: ReviewedTask) -> None:
    if task.task_id not in [item.task_id for item in items]:
        st.success("This task no longer waits for a lead.")
    for item in items:
        for reason in item.reasons if item.task_id == task.task_id else ():
            st.warning(plain(reason.words), icon=":material/flag:")
