"""Access tokens that were refused: in the audit log, but for what a flood of them would add.

Nobody guesses 256 random bits, so nobody is made to wait. What is bounded is what is written: of an
address, or of a token that was good once, first a few, then ever fewer.
"""

from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from labeling.events import record
from labeling.people.access_tokens import not_good
from labeling.people.failed_sign_ins import recently, wait_after
from labeling.people.networks import network_of
from labeling.people.sign_ins import Browser
from storage.tables import Event

REFUSED = "access_token.refused"
#: of an address or a token in a quarter of an hour, before the wait between two of them doubles
FREE = 5
#: of tokens that never were, in a quarter of an hour, from wherever they come
MOST_UNKNOWN = 100
_MOST_READ = 500


def is_worth_recording(session: Session, *, secret: str, browser: Browser) -> bool:
    """Say whether a refusal now tells more than those that are recorded."""
    known = not_good(session, secret=secret)
    token_id = known.token_id if known else None
    alike, unknown = [], 0
    for detail, personal, at in _recent(session):
        other = detail.get("token_id")
        unknown += other is None
        same_address = network_of(str(personal.get("address", ""))) == network_of(
            browser.address[:45]
        )
        if other == token_id and (same_address or token_id is not None):
            alike.append(at)
    if token_id is None and unknown >= MOST_UNKNOWN:
        return False
    return wait_after(len(alike), max(alike, default=None), FREE) <= 0


def record_refused(session: Session, *, secret: str, browser: Browser) -> bool:
    """Remember that somebody came with a token that is not good; say whether it was recorded.

    Kept are the address, why the token is not good and, where it was good once, which and whose it
    was. Of what was sent nothing is kept.
    """
    if not is_worth_recording(session, secret=secret, browser=browser):
        return False
    known = not_good(session, secret=secret)
    more = {"token_id": known.token_id, "whose_id": known.account_id} if known else {}
    record(
        session,
        project_id=None,
        account_id=None,
        kind=REFUSED,
        why=known.why if known else "unknown",
        personal={"address": browser.address[:45]},
        **more,
    )
    return True


def _recent(session: Session) -> list[tuple[dict[str, Any], dict[str, Any], datetime]]:
    statement = (
        select(Event.detail, Event.personal, Event.created_at)
        .where(Event.kind == REFUSED, col(Event.created_at).between(*recently()))
        .order_by(col(Event.id).desc())
        .limit(_MOST_READ)
    )
    return [(dict(detail), dict(personal or {}), at) for detail, personal, at in
            session.exec(statement)]  # fmt: skip
