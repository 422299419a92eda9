"""Sign-ins that failed, counted in the database: every web process slows down the same guesser.

A failure keeps the address and four hex digits of the name's SHA-256. They tell names apart well
enough to count, and nothing of a password that was typed into the wrong field.

Two things are weighed. Whoever guesses must be slow, from however many addresses; and whoever
knows nothing but a name must not keep its owner out by guessing wrong for ever. So:

- **A network** (an address; of IPv6 a /64, since whoever has one has all of it) waits up to a
  minute for what failed from there: 5 failures of one name are free, and 25 of all names.
- **A name** waits for what failed from elsewhere, too, or a guesser with many addresses would not
  be slowed down at all; but for 15 seconds at most. Somebody who sends one wrong password a minute
  costs its owner a quarter of the time. Many addresses together get 4 guesses a minute at a name,
  5,760 a day, instead of as many as they are.
- **A browser that has been signed in to the account** waits for its own failures alone. It holds a
  token of 256 random bits that only a sign-in gives (OWASP calls it a device cookie), so no
  stranger is one, however many addresses they have; and whoever steals it has the 5 free guesses
  of one browser, and the waits after them. Even a guesser from many addresses who takes each of
  the 4 guesses a minute away from others does not keep out whoever has come in before. Who has not
  is let in by a link of an admin (`rankloop account reset`), which asks for no wait.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from labeling.events import record
from labeling.people.networks import network_of
from labeling.people.passwords import digest
from labeling.people.sign_ins import NAME_LENGTH, Browser
from labeling.texts import storable
from storage.clock import now
from storage.tables import Account, Event, SignIn, SignInWay

FAILED = "sign_in.failed"
#: more than these is a flood, and the newest say how long to wait
MOST_READ = 500
FREE_OF_NAME = 5
FREE_OF_ADDRESS = 25
LONGEST_WAIT_SECONDS = 60.0
#: of a name for what others did: however long they go on
LONGEST_WAIT_FOR_OTHERS_SECONDS = 15.0
FORGOTTEN = timedelta(minutes=15)


@dataclass(frozen=True)
class _Failure:
    mark: str
    network: str
    known: str
    at: datetime


def record_failure(
    session: Session, *, name: str, browser: Browser, place: str = "", token: str | None = None
) -> None:
    """Remember that somebody did not know the password of `name`, and where it was asked for.

    `token` is of a sign-in that the browser had, whether it still counts or not.
    """
    known = _known(session, name, token)
    account = session.exec(select(Account).where(Account.name == storable(name))).first()
    record(
        session,
        project_id=None,
        account_id=account.id if account else None,
        kind=FAILED,
        mark=_mark(name),
        **({"place": place} if place else {}),
        **({"known": known} if known else {}),
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


def seconds_to_wait(
    session: Session, *, name: str, browser: Browser, token: str | None = None
) -> float:
    """Return how long this browser has to wait for its next attempt at this name.

    `token` is of a sign-in that the browser had, whether it still counts or not: where it was one
    to this account, its own failures alone count. Otherwise those of its network count, and up to
    15 seconds those of the name from anywhere. Each failure after the free ones doubles the wait;
    they are forgotten after a quarter of an hour, those of a name at its next sign-in.
    """
    failures = _recent(session)
    since = _last_success(session, name)
    mark = _mark(name)
    of_name = [each for each in failures if each.mark == mark and each.at > since]
    if known := _known(session, name, token):
        return _wait([each for each in of_name if each.known == known], FREE_OF_NAME)
    network = network_of(browser.address)
    from_here = [each for each in failures if each.network == network != ""]
    return max(
        _wait([each for each in of_name if each.network == network != ""], FREE_OF_NAME),
        _wait(of_name, FREE_OF_NAME, LONGEST_WAIT_FOR_OTHERS_SECONDS),
        _wait(from_here, FREE_OF_ADDRESS),
    )


def _known(session: Session, name: str, token: str | None) -> str:
    """Return by what a browser is known that was signed in to the account `name`; "" of others."""
    if not token:
        return ""
    key = digest(token)
    statement = (
        select(Account.name)
        .join(SignIn, col(SignIn.account_id) == col(Account.id))
        .where(SignIn.token_sha256 == key)
    )
    return key[:NAME_LENGTH] if session.exec(statement).first() == storable(name) else ""


def _wait(failures: list[_Failure], free: int, longest: float = LONGEST_WAIT_SECONDS) -> float:
    last = max((each.at for each in failures), default=None)
    return wait_after(len(failures), last, free, longest)


def wait_after(
    failures: int, last: datetime | None, free: int, longest: float = LONGEST_WAIT_SECONDS
) -> float:
    """Return the seconds still to wait: 2, 4, 8 … up to `longest` from the `free`-th failure on."""
    if last is None or failures < free:
        return 0.0
    wait = min(2.0 ** (failures - free + 1), longest)
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
        _Failure(
            mark=str(detail.get("mark", "")),
            network=network_of(str((personal or {}).get("address", ""))),
            known=str(detail.get("known", "")),
            at=at,
        )
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
