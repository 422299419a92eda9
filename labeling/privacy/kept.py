"""Everything that the database keeps of one account, a file for each kind of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select, text
from sqlmodel import Session, col

from labeling.audit.told import WHOM
from storage.tables import (
    AccessToken,
    Account,
    Assignment,
    Demonstration,
    Event,
    GuidelineReading,
    GuidelineVersion,
    Import,
    Invitation,
    Judgment,
    KnownAnswer,
    PoolMember,
    Prompt,
    Qualification,
    Review,
    Row,
    SignIn,
    Snapshot,
    Withdrawal,
)
from storage.tables.events import AUDITED_EVENT

#: rows that are read at once
_AT_ONCE = 1000
#: no secret leaves, not even as a hash; and what a display needs says nothing of a person
_SECRET = {"password_hash", "token_sha256", "code_sha256", "nonce", "order_seed"}
#: fields of a snapshot's query that hold names of annotators
NAMES = ("annotators", "not_annotators")
#: other people's accounts
_OTHERS = {"by_id", "used_by_id", "reverted_by_id"}


@dataclass(frozen=True)
class Kept:
    """A file of the export: its name, what is in it, and how its rows are found."""

    file: str
    words: str
    rows: Callable[[int], Select[Any]]


def _of(kind: type[Row], condition: Callable[[int], ColumnElement[bool]]) -> Any:
    keys = list(Row.metadata.tables[str(kind.__tablename__)].primary_key.columns)
    return lambda me: select(kind).where(condition(me)).order_by(*keys)


def _by(column: Any) -> Any:
    return _of(column.class_, lambda me: column == me)


def about(account_id: int) -> ColumnElement[bool]:
    """Return the condition that an audited event was about this account, whoever did it."""
    named = [col(Event.detail)[name].as_integer() == account_id for name in WHOM]
    return text(AUDITED_EVENT) & or_(*named)


def asked_by_name(session: Session, name: str) -> list[Snapshot]:
    """Return the snapshots whose query names this annotator, oldest first."""
    found = session.scalars(select(Snapshot).order_by(col(Snapshot.id)))
    return [one for one in found if any(name in one.query.get(field, ()) for field in NAMES)]


KEPT = (
    Kept("account", "The account: its name, roles and dates; never a password.", _by(Account.id)),
    Kept("sign_ins", "Sign-ins: when, in which way, from which address and browser.",
         _by(SignIn.account_id)),
    Kept("access_tokens", "Access tokens: their names, what they may do, when they were used.",
         _by(AccessToken.account_id)),
    Kept("invitations", "Invitations that were used, made or given.",
         _of(Invitation, lambda me: or_(col(Invitation.used_by_id) == me,
                                        col(Invitation.account_id) == me,
                                        col(Invitation.by_id) == me))),
    Kept("judgments", "Judgments: ranks, ratings, flags, reasons and times, corrected ones too.",
         _by(Judgment.annotator_id)),
    Kept("assignments", "Tasks that were lent, with drafts, and why they were put aside.",
         _by(Assignment.annotator_id)),
    Kept("demonstrations", "Answers that were written or rewritten.",
         _by(Demonstration.annotator_id)),
    Kept("prompts", "Prompts that were written.", _by(Prompt.written_by_id)),
    Kept("reviews", "Decisions of a lead, with their reasons and comments.", _by(Review.by_id)),
    Kept("reviews_received", "What leads decided and wrote about one's judgments.",
         _of(Review, lambda me: col(Review.judgment_id).in_(
             select(col(Judgment.id)).where(col(Judgment.annotator_id) == me)))),
    Kept("qualifications", "How qualification sets were answered.", _by(Qualification.account_id)),
    Kept("guideline_readings", "Which guidelines were read, and when.",
         _by(GuidelineReading.account_id)),
    Kept("guideline_versions", "Guidelines that were published.", _by(GuidelineVersion.by_id)),
    Kept("pools", "The pools of annotators that one is in.", _by(PoolMember.account_id)),
    Kept("known_answers", "Answers of known tasks, with their explanations.",
         _by(KnownAnswer.by_id)),
    Kept("withdrawals", "Judgments that were withdrawn by annotator.",
         _by(Withdrawal.annotator_id)),
    Kept("withdrawals_made", "What one withdrew or put back as a lead, and why.",
         _of(Withdrawal, lambda me: or_(col(Withdrawal.by_id) == me,
                                        col(Withdrawal.reverted_by_id) == me))),
    Kept("imports", "Files that were imported.", _by(Import.by_id)),
    Kept("events", "The record of what one did.", _by(Event.account_id)),
    Kept("events_about", "The record of what others did to the account.",
         _of(Event, lambda me: about(me) & (col(Event.account_id).is_distinct_from(me)))),
)  # fmt: skip


def _whom(detail: dict[str, Any]) -> set[int]:
    return {detail[name] for name in WHOM if detail.get(name) is not None}


def _only_address(personal: dict[str, Any] | None) -> dict[str, Any] | None:
    return {name: value for name, value in (personal or {}).items() if name == "address"} or None


def rows_of(session: Session, kept: Kept, *, account_id: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file as JSON objects; no secret, and no other person, is in them."""
    statement = kept.rows(account_id).execution_options(yield_per=_AT_ONCE)
    for row in session.scalars(statement):
        found = row.model_dump(mode="json", exclude=_SECRET)
        if kept.file == "events" and _whom(row.detail) - {account_id}:
            # How somebody else is called is theirs; where it was done from is one's own.
            found["personal"] = _only_address(found["personal"])
        if kept.file == "events_about":
            # Where the others were is theirs.
            found["personal"] = {
                name: value
                for name, value in (found["personal"] or {}).items()
                if name != "address"
            }
            found.pop("account_id")
        yield {
            name: value
            for name, value in found.items()
            if name not in _OTHERS or value == account_id
        }
