"""Figures that a process measures once for each state of the data, whoever looks, however often.

While judgments come in, figures are at most so old that measuring them takes `figures_share` of
the process's time; what a lead decides is in the next look.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from sqlmodel import Session

from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.statistics.data_version import DataVersion, data_version
from storage.engine import reading
from storage.tables import Account
from ui import process

Found = TypeVar("Found")


@dataclass
class _Kept:
    lock: Lock = field(default_factory=Lock)
    engine: Any = None
    version: DataVersion | None = None
    found: Any = None
    measured_at: float = 0.0
    seconds: float = 0.0

    def measure(
        self, measure: Callable[[Session, Any], Any], session: Session, version: DataVersion
    ) -> None:
        """Measure anew, and keep it with the time that it took."""
        known = self.version if self.engine is process.engine() else None
        before = self.found if known is not None and known.deeds == version.deeds else None
        began = time.monotonic()
        self.found = measure(session, before)
        self.measured_at = time.monotonic()
        self.seconds = self.measured_at - began
        self.engine, self.version = process.engine(), version

    def holds(self, version: DataVersion, share: float) -> bool:
        """Say whether what is kept may still be shown."""
        if self.engine is not process.engine() or self.version is None:
            return False
        if self.version == version:
            return True
        age = time.monotonic() - self.measured_at
        return self.version.deeds == version.deeds and age * share < self.seconds


_all: dict[str, _Kept] = {}


def kept(
    name: str,
    measure: Callable[[Session, Any], Found],
    *,
    account: Account,
    action: Action | None = Action.SEE_QUALITY,
    version: Callable[[Session], DataVersion] | None = None,
) -> Found:
    """Return what `measure(session, before)` gives for the data as they are now.

    `before` is its last answer if nothing but new work came since, else None. `version` tells the
    states of other data apart than the project's. Sessions that ask at once wait for one
    measurement. Raises `NotAllowed` where the account may not do `action`.
    """
    if action is not None:
        require(account, action)
    one = _all.setdefault(name, _Kept())
    with one.lock, reading(process.engine()) as session:
        # Read before the data, so that what comes in between is measured next time.
        if version is None:
            now = data_version(session, project_id=key_of(process.project()))
        else:
            now = version(session)
        if not one.holds(now, process.settings().figures_share):
            one.measure(measure, session, now)
        found: Found = one.found
    return found
