"""Figures of a large project are measured when the server starts, before a lead asks for them."""

import logging
import os
from contextlib import suppress
from threading import Thread, get_native_id

from sqlalchemy import func, select
from sqlmodel import col

from labeling.statistics.known_judgments import WORTH_A_FILE
from storage.errors import RankloopError
from storage.tables import Account, Judgment, Role
from ui import process

_log = logging.getLogger(__name__)

# Pages come first: on Linux each thread has its own.
_NICENESS = 10


def measure_ahead() -> Thread:
    """Start the thread that measures what leads' pages show; smaller projects need none of it."""
    thread = Thread(target=_measure, name="measured ahead", daemon=True)
    thread.start()
    return thread


def _measure() -> None:
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICENESS)
    try:
        if _judgments() >= WORTH_A_FILE:
            _measure_all()
    except RankloopError as error:
        _log.warning("figures are measured when they are asked for: %s", error)


def _judgments() -> int:
    wanted = col(Judgment.project_id) == process.project_id()
    with process.reading() as session:
        return session.execute(
            select(func.count()).select_from(Judgment).where(wanted)
        ).scalar_one()


def _measure_all() -> None:
    from ui import agreement_tables, annotator_tables, measured

    agreement_tables.write_charts()
    annotator_tables.write_charts()
    # Nobody sees what is measured here but those who may ask for it.
    server = Account(name="the server", role=Role.ADMIN)
    for figures in (
        measured.loop, measured.quality, measured.reliability, measured.work, measured.waiting,
        measured.between, measured.hurts, measured.annotators, measured.columns,
    ):  # fmt: skip
        figures(server)
