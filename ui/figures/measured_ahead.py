"""Figures of a large project are measured before a lead asks for them.

A server does when it starts, and a command that brought much in, for the server that starts next.
"""

import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Thread, get_native_id

from sqlalchemy import func, select
from sqlmodel import col

from labeling.statistics.known_judgments import WORTH_A_FILE
from storage.errors import RankloopError
from storage.tables import Account, Judgment, Role
from ui import process
from ui.figures import kept_figures

_log = logging.getLogger(__name__)

# Pages come first: on Linux each thread has its own.
_NICENESS = 10
# Below this share of the judgments, what came in is not worth the time that a command takes for it.
_WORTH_THE_TIME = 0.1

_PROGRESS = "measuring the figures of leads' pages"

#: takes what is done, and the share that is done
Progress = Callable[[str, float], None]


def measure_ahead() -> Thread:
    """Start the thread that measures what leads' pages show; smaller projects need none of it."""
    thread = Thread(target=_measure, name="measured ahead", daemon=True)
    thread.start()
    return thread


def measure_into_files(*, new: int, progress: Progress) -> None:
    """Measure what leads' pages show after `new` judgments came in; return when it is in files.

    A smaller project, or few new judgments beside what there was, needs none of it. The process is
    to be configured (`ui.process.configure`). Raises `NoDatabase` where the database does not
    answer.
    """
    there = _judgments()
    if there >= WORTH_A_FILE and new >= _WORTH_THE_TIME * there:
        _measure_all(progress)
        kept_figures.wait_for_files()


def _measure() -> None:
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICENESS)
    try:
        if _judgments() >= WORTH_A_FILE:
            _write_charts()
            _measure_all(lambda what, share: None)
    except RankloopError as error:
        _log.warning("figures are measured when they are asked for: %s", error)


def _judgments() -> int:
    wanted = col(Judgment.project_id) == process.project_id()
    with process.reading() as session:
        return session.execute(
            select(func.count()).select_from(Judgment).where(wanted)
        ).scalar_one()


def _write_charts() -> None:
    from ui.quality import agreement_tables, annotator_tables

    agreement_tables.write_charts()
    annotator_tables.write_charts()


def _measure_all(progress: Progress) -> None:
    """Measure one after the other, while a second thread does what the database works on most."""
    from ui.figures import measured

    by_hand = (
        measured.quality, measured.reliability, measured.between, measured.annotators,
        measured.weights, measured.models, measured.usual_groups,
    )  # fmt: skip
    by_the_database = (
        measured.loop, measured.waiting, measured.work, measured.hurts, measured.columns,
    )  # fmt: skip
    failed: list[RankloopError] = []

    def ask_the_database() -> None:
        try:
            _measure_each(by_the_database)
        except RankloopError as error:
            failed.append(error)

    beside = Thread(target=ask_the_database, daemon=True)
    beside.start()
    for place, figures in enumerate(by_hand):
        progress(_PROGRESS, place / len(by_hand))
        _measure_each([figures])
    beside.join()
    if failed:
        raise failed[0]
    progress(_PROGRESS, 1.0)


def _measure_each(wanted: Iterable[Callable[[Account], object]]) -> None:
    # Nobody sees what is measured here but those who may ask for it.
    server = Account(name="the server", role=Role.ADMIN)
    for figures in wanted:
        figures(server)
