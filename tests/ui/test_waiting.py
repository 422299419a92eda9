"""What an annotator without a task is told."""

from datetime import timedelta

import pytest
from sqlmodel import select
from streamlit.testing.v1 import AppTest

from labeling.judging.judgments import submit_judgment
from labeling.labeling_settings import change_labeling
from labeling.work_queue.assignment import next_assignment
from labeling.work_queue.tasks import ANSWERS_ALIKE, NO_PROMPT_FITS
from storage.clock import now
from storage.engine import writing
from storage.tables import Project, Task, TaskStatus, WorkerLease
from tests.ui.conftest import Home
from ui import process, session
from ui.languages import words_for
from ui.views import waiting

WORDS = words_for("en", None)


def reason() -> str:
    return waiting._reason(WORDS)


def report(home: Home, doing: str, seconds: float = 60) -> None:
    process.configure(home.settings)
    with writing(home.engine) as rows:
        rows.add(
            WorkerLease(
                project_id=home.project_id,
                owner="host",
                doing=doing,
                expires_at=now() + timedelta(seconds=seconds),
            )
        )


def withdraw_all(home: Home) -> None:
    with writing(home.engine) as rows:
        for task in rows.exec(select(Task)):
            task.status = TaskStatus.WITHDRAWN
            rows.add(task)


@pytest.mark.parametrize("why", [NO_PROMPT_FITS, ANSWERS_ALIKE])
def test_a_worker_that_finds_no_prompt_is_quoted(home: Home, why: str) -> None:
    report(home, why)
    assert reason() == f"{why}."


def test_completions_are_written_only_where_none_is_left(home: Home) -> None:
    report(home, "filling the task pool")
    assert reason() == WORDS.say("waiting.ranked")
    withdraw_all(home)
    assert reason() == WORDS.say("waiting.preparing")


def test_whoever_has_given_all_that_one_person_may_is_told_so(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.configure(home.settings)
    account = home.account("ann")
    monkeypatch.setattr(session, "current_account", lambda: account)
    monkeypatch.setattr(session, "words", lambda: WORDS)
    with writing(home.engine) as rows:
        project = rows.get_one(Project, home.project_id)
        cap = {"most_judgments": 1}
        change_labeling(rows, project=project, by=None, section="assignment", values=cap)
        me = account.id or 0
        lent = next_assignment(rows, project_id=home.project_id, annotator_id=me, minutes=5)
        assert lent is not None
        submit_judgment(
            rows, assignment_id=lent.assignment_id, annotator_id=me, ranks=[1, 2, 3, 4],
            milliseconds=1, nonce="0123456789",
        )  # fmt: skip

    def script() -> None:
        from ui.views import rank

        rank.show()

    page = AppTest.from_function(script, default_timeout=60).run()
    assert [each.value for each in page.info] == [WORDS.say("waiting.capped", most=1)]


def test_what_a_stopped_worker_said_last_does_not_count(home: Home) -> None:
    report(home, NO_PROMPT_FITS, seconds=-1)
    assert reason() == WORDS.say("waiting.no_worker")
