"""Sign-ins that failed, counted in the database: every web process slows down the same guesser.

A failure keeps the address and four hex digits of the name's SHA-256. They tell names apart well
enough to count, and nothing of a password that was typed into the wrong field.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from labeling.events import record
from labeling.people.sign_ins import Browser
from labeling.texts import storable
from storage.clock import now
from storage.tables import Account, Event, SignInWay

FAILED = "sign_in.failed"
#: more than these is a flood, and the newest say how long to wait
MOST_READ = 500
FREE_OF_NAME = 5
FREE_OF_ADDRESS = 25
LONGEST_WAIT_SECONDS = 60.0
FORGOTTEN = timedelta(minutes=15)


@dataclass(frozen=True)
class _Failure:
    mark: str
    address: str
    at: datetime


def record_failure(session: Session, *, name: str, browser: Browser, place: str = "") -> None:
    """Remember that somebody did not know the password of `name`, and where it was asked for."""
    account = session.exec(select(Account).where(Account.name == storable(name))).first()
    record(
        session,
        project_id=None,
        account_id=account.id if account else None,
        kind=FAILED,
        mark=_mark(name),
        **({"place": place} if place else {}),
        personal={"address": browser.address[:45]},
    )


def record_refusal(session: Session, *, way: SignInWay, browser: Browser) -> None:
    """Remember that somebody who came another way than by a password was not let in."""
    record(
        session,
        project_id=None,
        account_id=None,
        kind=FAILED,
        way=str(way),
        personal={"address": browser.address[:45]},
    )


def _mark(name: str) -> str:
    return hashlib.sha256(storable(name).casefold().encode()).hexdigest()[:4]


def seconds_to_wait(session: Session, *, name: str, browser: Browser) -> float:
    """Return how long this name, or this address, has to wait for its next attempt.

    After 5 failures of a name since its last sign-in, or 25 of an address, each further one doubles
    the wait, up to a minute; failures are forgotten after a quarter of an hour.
    """
    failures = _recent(session)
    since = _last_success(session, name)
    mark = _mark(name)
    of_name = [each.at for each in failures if each.mark == mark and each.at > since]
    of_address = [each.at for each in failures if browser.address == each.address != ""]
    return max(
        wait_after(len(of_name), max(of_name, default=None), FREE_OF_NAME),
        wait_after(len(of_address), max(of_address, default=None), FREE_OF_ADDRESS),
    )


def wait_after(failures: int, last: datetime | None, free: int) -> float:
    """Return the seconds still to wait: 2, 4, 8 … from the `free`-th failure on."""
    if last is None or failures < free:
        return 0.0
    wait = min(2.0 ** (failures - free + 1), LONGEST_WAIT_SECONDS)
    return max(0.0, wait - max(0.0, (now() - last).total_seconds()))


def recently() -> tuple[datetime, datetime]:
    """Return from when until when an event is of the last quarter of an hour.

    What is later than other servers' clocks may be ahead is from before this one's was set back: it
    would bar somebody, or let them guess, for as long as that.
    """
    return now() - FORGOTTEN, now() + timedelta(seconds=LONGEST_WAIT_SECONDS)


def _recent(session: Session) -> list[_Failure]:
    statement = (
        select(Event.detail, Event.personal, Event.created_at)
        .where(Event.kind == FAILED, col(Event.created_at).between(*recently()))
        .order_by(col(Event.id).desc())
        .limit(MOST_READ)
    )
    return [
        _Failure(str(detail.get("mark", "")), str((personal or {}).get("address", "")), at)
        for detail, personal, at in session.exec(statement)
    ]


def _last_success(session: Session, name: str) -> datetime:
    statement = (
        select(Event.created_at)
        .join(Account, col(Account.id) == col(Event.account_id))
        .where(
            Account.name == storable(name),
            Event.kind == "sign_in.opened",
            col(Event.created_at) <= recently()[1],
        )
        .order_by(col(Event.id).desc())
        .limit(1)
    )
    return session.exec(statement).first() or now() - FORGOTTEN
