"""What an annotator without a task is told."""

from datetime import timedelta

import pytest
from sqlmodel import select

from labeling.work_queue.tasks import ANSWERS_ALIKE, NO_PROMPT_FITS
from storage.clock import now
from storage.engine import writing
from storage.tables import Task, TaskStatus, WorkerLease
from tests.ui.conftest import Home
from ui import process
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


def test_what_a_stopped_worker_said_last_does_not_count(home: Home) -> None:
    report(home, NO_PROMPT_FITS, seconds=-1)
    assert reason() == WORDS.say("waiting.no_worker")
