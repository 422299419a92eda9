"""What the ranking page shows while there is nothing to rank: it looks again by itself."""

from collections.abc import Callable

import streamlit as st

from labeling.policies import live_policy
from labeling.tasks import ANSWERS_ALIKE, NO_PROMPT_FITS, ready_task_count
from storage.clock import now
from storage.engine import reading
from storage.tables import WorkerLease
from ui import process
from ui.desk import Desk

SECONDS = 3
NO_WORKER = (
    "No worker is running, so no new completions are made. Start one with `rankloop worker` "
    "(or `rankloop up`)."
)
ALL_RANKED = "You have ranked everything that is open to you. Others may still be at work."
PREPARING = "The worker is writing new completions."


def show(found: Desk, look: Callable[[], Desk]) -> None:
    """Say what is being waited for; show the next task as soon as `look` finds one."""
    st.title("No task right now")
    st.text(f"{found.today} today · {found.total} in all")
    _watch(look)


@st.fragment(run_every=SECONDS)
def _watch(look: Callable[[], Desk]) -> None:
    if look().task is not None:
        st.rerun()
    st.info(f"{_reason()} New tasks appear here by themselves.")


def _reason() -> str:
    project = process.project()
    assert project.id is not None
    with reading(process.engine()) as session:
        lease = session.get(WorkerLease, project.id)
        policy = live_policy(session, project_id=project.id)
        assert policy.id is not None
        ready = ready_task_count(session, project_id=project.id, policy_id=policy.id)
    if lease is None or lease.expires_at <= now():
        return NO_WORKER
    if lease.doing in (NO_PROMPT_FITS, ANSWERS_ALIKE):
        return f"{lease.doing}."
    return ALL_RANKED if ready else PREPARING
