"""Figures that a process measures once for each state of the data, whoever looks, however often.

A page waits a moment for newer figures (`figures_patience`), then shows those that there are while
the newer ones are being measured in the background; only the very first are waited for. While
judgments come in, measuring takes at most `figures_share` of the time; what a lead decides is
measured at once.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Any, TypeVar

from sqlmodel import Session

from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.statistics.data_version import DataVersion, data_version
from storage.engine import reading
from storage.tables import Account
from ui import process

Found = TypeVar("Found")
Measure = Callable[[Session, Any], Any]


@dataclass(frozen=True)
class _Measured:
    version: DataVersion
    found: Any
    ended: float
    seconds: float


@dataclass
class _Figures:
    """One name's newest figures, and those that are being measured now."""

    engine: object
    lock: Lock = field(default_factory=Lock)
    newest: _Measured | None = None
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
                Thread(target=self._measure, args=(version, measure), daemon=True).start()
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
            with reading(process.engine()) as session:
                found = measure(session, newest.found if newest and same else None)
        except BaseException as error:
            with self.lock:
                self.coming = None
            coming.set_exception(error)
            return
        ended = time.monotonic()
        measured = _Measured(version, found, ended, ended - began)
        with self.lock:
            self.newest, self.coming = measured, None
        coming.set_result(measured)


# Nobody looks for the newest judgments of others as they look for what they have just decided.
_FOR_WORK = 0.2
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
) -> Found:
    """Return what `measure(session, before)` gives for the data as they are now, or were just now.

    `before` is its last answer if nothing but new work came since, else None. `version` tells the
    states of other data apart than the project's. `first` is what is shown where the very first
    measurement takes longer than a moment; without it that one is waited for. Sessions that ask at
    once share one measurement. Raises `NotAllowed` where the account may not do `action`, and
    whatever `measure` raises.
    """
    if action is not None:
        require(account, action, project_id=process.project_id())
    with reading(process.engine()) as session:
        # Read before the data, so that what comes in between is measured next time.
        if version is None:
            wanted = data_version(session, project_id=key_of(process.project()))
        else:
            wanted = version(session)
    figures = _figures(name)
    patience = process.settings().figures_patience
    if figures.newest is not None and figures.newest.version.deeds == wanted.deeds:
        patience *= _FOR_WORK
    deadline = time.monotonic() + patience
    while coming := figures.asked(wanted, measure):
        wait = figures.newest is None and first is None
        try:
            coming.result(None if wait else max(0.0, deadline - time.monotonic()))
        except NotYet:
            break
    newest = figures.newest
    found: Found = first if newest is None else newest.found  # type: ignore[assignment]
    return found


def _figures(name: str) -> _Figures:
    """Return the figures of a name; new ones where the process was given another database."""
    engine = process.engine()
    with _lock:
        if name not in _all or _all[name].engine is not engine:
            _all[name] = _Figures(engine)
        return _all[name]
