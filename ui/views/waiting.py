"""What the ranking page shows while there is nothing to rank: it looks again by itself."""

from collections.abc import Callable

import streamlit as st
from sqlmodel import Session

from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.policies import live_policy
from labeling.quality_control.qualification import NotQualified
from labeling.work_queue.tasks import ANSWERS_ALIKE, NO_PROMPT_FITS, ready_task_count
from storage.clock import now
from storage.tables import WorkerLease
from ui import process, session
from ui.languages import Words
from ui.ranking.desk import Desk

SECONDS = 3
SAID_BY_WORKER = {NO_PROMPT_FITS: "waiting.no_prompt", ANSWERS_ALIKE: "waiting.alike"}


def show(found: Desk, look: Callable[[], Desk]) -> None:
    """Say what is being waited for; show the next task as soon as `look` finds one."""
    words = session.words()
    st.title(words.say("waiting.title"))
    st.text(words.say("counts", today=found.today, total=found.total))
    _watch(look, found.total)


@st.fragment(run_every=SECONDS)
@session.trouble_told()
def _watch(look: Callable[[], Desk], total: int) -> None:
    try:
        due = look().task is not None
    except NotQualified:
        due = True  # the page says so
    if due:
        st.rerun()
    words = session.words()
    most = labeling_settings(process.project()).assignment.most_judgments
    if most is not None and total >= most:
        st.info(words.say("waiting.capped", most=most))
        return
    st.info(f"{_reason(words)} {words.say('waiting.soon')}")


def _reason(words: Words) -> str:
    here = process.project_id()

    def state(rows: Session) -> tuple[WorkerLease | None, int]:
        policy = key_of(live_policy(rows, project_id=here))
        ready = ready_task_count(rows, project_id=here, policy_id=policy)
        return rows.get(WorkerLease, here), ready

    lease, ready = process.look_up(state)
    if lease is None or lease.expires_at <= now():
        return words.say("waiting.no_worker")
    if lease.doing in SAID_BY_WORKER:
        return words.say(SAID_BY_WORKER[lease.doing])
    return words.say("waiting.ranked" if ready else "waiting.preparing")
