"""Figures that a process measures once for each state of the data, whoever looks, however often.

A page waits a moment for newer figures (`figures_patience`), then shows those that there are while
the newer ones are being measured in the background; only the very first are waited for. While
judgments come in, measuring takes at most `figures_share` of the time; what a lead decides is
measured at once.

Those of a large project are in files, too, from which a server that starts has them where nothing
has changed since (`ui.figures.figures_on_disk`).
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread
from threading import enumerate as running_threads
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.statistics.data_version import DataVersion, data_version
from labeling.statistics.known_judgments import WORTH_A_FILE
from storage.errors import RankloopError
from storage.tables import Account
from ui import process
from ui.figures import figures_on_disk, measuring_process
from ui.figures.figures_on_disk import FiledFigures
from ui.figures.figures_wait import wait_for_first

Found = TypeVar("Found")
Measure = Callable[[Session, Any], Any]
#: what the names of threads that measure, and then write a file, begin with
MEASURING = "figures:"
#: while judgments come in, a file is outdated as soon as it is written
SECONDS_BETWEEN_FILES = 600.0


@dataclass(frozen=True)
class _Measured:
    version: DataVersion
    found: Any
    ended: float
    seconds: float


@dataclass
class _Figures:
    """One name's newest figures, and those that are being measured now.

    `given` is what a file of them is kept by beside the project's data; None: there is no file.
    """

    engine: object
    name: str
    given: Mapping[str, object] | None = None
    lock: Lock = field(default_factory=Lock)
    newest: _Measured | None = None
    kept_at: float = -math.inf
    coming: "Future[_Measured] | None" = None

    def asked(self, version: DataVersion, measure: Measure) -> "Future[_Measured] | None":
        """Return what is to be waited for so that the figures are of `version`; None for nothing.

        Where nobody measures yet, a thread begins to.
        """
        with self.lock:
            if self.newest is not None and self._holds(self.newest, version):
                return None
            if self.coming is None:
                self.coming = Future()
                named = f"{MEASURING} {self.name}"
                given = (version, measure)
                Thread(target=self._measure, args=given, name=named, daemon=True).start()
            return self.coming

    def _holds(self, newest: _Measured, version: DataVersion) -> bool:
        if newest.version == version:
            return True
        age = time.monotonic() - newest.ended
        share = process.settings().figures_share
        return newest.version.deeds == version.deeds and age * share < newest.seconds

    def _measure(self, version: DataVersion, measure: Measure) -> None:
        coming, newest = self.coming, self.newest
        assert coming is not None
        same = newest is not None and newest.version.deeds == version.deeds
        began = time.monotonic()
        try:
            file = self._file(version) if self._file_is_due() else None
            with process.reading() as session:
                key = self._key(session) if file else ""
                held = figures_on_disk.load(file, key=key) if file and newest is None else None
                before = newest.found if newest and same else None
                found = held.found if held else measure(session, before)
        except BaseException as error:
            with self.lock:
                self.coming = None
            coming.set_exception(error)
            return
        ended = time.monotonic()
        # What the next measurement takes, which the time to read a file does not tell.
        seconds = held.seconds if held else ended - began
        measured = _Measured(version, found, ended, seconds)
        with self.lock:
            self.newest, self.coming = measured, None
        coming.set_result(measured)
        if file:
            self.kept_at = ended
            if not held:
                self._keep(file, FiledFigures(found, seconds), key)

    def _keep(self, file: Path, figures: FiledFigures, key: str) -> None:
        """Write the file, for which no page waits."""
        try:
            with process.reading() as session:
                # What came meanwhile may be in a part of them.
                unchanged = self._key(session) == key
        except (SQLAlchemyError, RankloopError) as error:
            _log.warning("figures are not kept on disk: %s", error)
            return
        if unchanged:
            figures_on_disk.save(file, figures, key=key)

    def _file_is_due(self) -> bool:
        return self.newest is None or time.monotonic() - self.kept_at > SECONDS_BETWEEN_FILES

    def _file(self, version: DataVersion) -> Path | None:
        """Return the file of these figures; None where there are too few judgments for one."""
        if self.given is None or int(str(version.work[0] or 0)) < WORTH_A_FILE:
            return None
        home, here = process.settings().home, process.project_id()
        return figures_on_disk.file_of(home, project_id=here, name=self.name)

    def _key(self, session: Session) -> str:
        return figures_on_disk.key_of_figures(
            session, project_id=process.project_id(), name=self.name, given=self.given or {}
        )


# Nobody looks for the newest judgments of others as they look for what they have just decided.
_FOR_WORK = 0.2
_log = logging.getLogger(__name__)
_all: dict[str, _Figures] = {}
_lock = Lock()


def kept(
    name: str,
    measure: Callable[[Session, Any], Found],
    *,
    account: Account,
    action: Action | None = Action.SEE_QUALITY,
    version: Callable[[Session], DataVersion] | None = None,
    first: Found | None = None,
    on_disk: Mapping[str, object] | None = None,
) -> Found:
    """Return what `measure(session, before)` gives for the data as they are now, or were just now.

    `before` is its last answer if nothing but new work came since, else None. `version` tells the
    states of other data apart than the project's. `first` is what is shown where the very first
    measurement takes longer than a moment; without it that one is waited for. With `on_disk` a file
    keeps them, too: it has what they depend on beside the project's data. Sessions that ask at once
    share one measurement. Raises `NotAllowed` where the account may not do `action`, and whatever
    `measure` raises.
    """
    if action is not None:
        require(account, action, project_id=process.project_id())
    with process.reading() as session:
        # Read before the data, so that what comes in between is measured next time.
        if version is None:
            wanted = data_version(session, project_id=key_of(process.project()))
        else:
            wanted = version(session)
    figures = _figures(name, on_disk)
    patience = process.settings().figures_patience
    if figures.newest is not None and figures.newest.version.deeds == wanted.deeds:
        patience *= _FOR_WORK
    deadline = time.monotonic() + patience
    while coming := figures.asked(wanted, measure):
        wait = figures.newest is None and first is None
        try:
            if wait:
                wait_for_first(coming)
            else:
                coming.result(max(0.0, deadline - time.monotonic()))
        except NotYet:
            break
    newest = figures.newest
    found: Found = first if newest is None else newest.found  # type: ignore[assignment]
    return found


def kept_in_file(
    name: str,
    *,
    account: Account,
    action: Action = Action.SEE_QUALITY,
    given: Mapping[str, object] | None = None,
    first: Any = None,
) -> Any:
    """Return the figures that `MEASURES` has by this name, as `kept` does, with a file of them.

    `given` is what they depend on beside the project's data.
    """
    return kept(
        name,
        lambda rows, before: measuring_process.measure(name, rows, before),
        account=account,
        action=action,
        first=first,
        on_disk=given or {},
    )


def wait_for_files() -> None:
    """Wait until nothing is being measured, and no file being written, for which no page waits."""
    for thread in running_threads():
        if thread.name.startswith(MEASURING):
            thread.join()


def _figures(name: str, given: Mapping[str, object] | None) -> _Figures:
    """Return the figures of a name; new ones where the process was given another database."""
    engine = process.engine()
    with _lock:
        if name not in _all or _all[name].engine is not engine:
            _all[name] = _Figures(engine, name, given)
        return _all[name]
