"""Erase one person: what tells who they are goes, what they did stays under a number.

Events stay as they are, but for what tells of a person in them: `Event.personal` becomes NULL.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlmodel import Session, col

from labeling.events import record
from labeling.keys import key_of
from labeling.people.invitations import revoke_open_of
from labeling.people.roles import keep_an_admin
from labeling.permissions import ELSEWHERE, Action, allows, require
from labeling.privacy.kept import NAMES, about, asked_by_name
from labeling.withdrawals.scope import Scope
from labeling.withdrawals.withdrawing import withdraw
from labeling.work_queue.assignment import lock_annotator, release_assignments
from storage.clock import now
from storage.errors import Conflict
from storage.privacy_settings import ErasedJudgments
from storage.tables import (
    AccessToken,
    Account,
    Assignment,
    Demonstration,
    Event,
    Invitation,
    Judgment,
    PoolMember,
    Project,
    Prompt,
    Review,
    Role,
    Round,
    SignIn,
)

REASON = "the annotator's data was erased"
#: kinds whose words may name annotators that are not the event's own account
_NAMING = ("alarm.raised", "alarm.cleared")
_AT_ONCE = 1000


@dataclass(frozen=True)
class Erased:
    """What an erasure did; `withdrawn` names the projects whose judgments were withdrawn."""

    account_id: int
    name: str
    judgments: int
    withdrawn: tuple[str, ...]
    released: int
    sign_ins: int
    tokens: int
    texts: int
    events: int


def erase_person(
    session: Session,
    *,
    account_id: int,
    by: Account | None,
    judgments: ErasedJudgments,
    texts: bool,
) -> Erased:
    """Take away who an account is; nobody can sign in to it or judge as it any more.

    Its judgments stay under a name that says nothing, or are withdrawn in every project; they count
    as they did before. With `texts` what the person wrote beside them goes, too. `by` asks (None:
    the person at the server's shell). Raises `NotAllowed` unless `by` is an admin or None,
    `Conflict` for the last active admin or where it is erased already, `NotFound`. The session must
    be writing.
    """
    if by is not None:
        require(by, Action.MANAGE_ACCOUNTS, project_id=None)
    account = lock_annotator(session, account_id)
    if account.erased_at is not None:
        raise Conflict(f"The account {account.name} is erased already; nothing is left to do.")
    keep_an_admin(session, account)
    held = release_assignments(session, annotator_id=account_id)
    withdrawn = _withdraw(session, account_id, by) if judgments == "withdraw" else ()
    revoke_open_of(session, account=account, by=by)
    sign_ins = _count(session, delete(SignIn).where(col(SignIn.account_id) == account_id))
    tokens = _count(session, delete(AccessToken).where(col(AccessToken.account_id) == account_id))
    written = _forget_texts(session, account_id, all_of_them=texts)
    _forget_belongings(session, account_id)
    former, account.name = account.name, _nameless(session, account_id)
    _forget_rounds(session, account_id, account.name)
    _forget_in_queries(session, former, account.name)
    account.password_hash, account.oidc_subject = None, None
    account.role, account.project_roles = Role.ANNOTATOR, {ELSEWHERE: ""}
    account.erased_at = now()
    session.add(account)
    session.flush()
    events = _forget_in_events(session, account_id, former)
    record(
        session,
        project_id=None,
        account_id=by.id if by else None,
        kind="account.erased",
        whose_id=account_id,
        judgments=judgments,
        texts=texts,
    )
    return Erased(
        account_id=account_id,
        name=account.name,
        judgments=_judged(session, account_id),
        withdrawn=withdrawn,
        released=held,
        sign_ins=sign_ins,
        tokens=tokens,
        texts=written,
        events=events,
    )


def _withdraw(session: Session, account_id: int, by: Account | None) -> tuple[str, ...]:
    judged = select(col(Judgment.project_id)).where(col(Judgment.annotator_id) == account_id)
    written = (
        select(col(Prompt.project_id))
        .join(Demonstration, col(Demonstration.prompt_id) == col(Prompt.id))
        .where(col(Demonstration.annotator_id) == account_id)
    )
    found = session.scalars(
        select(Project)
        .where(or_(col(Project.id).in_(judged), col(Project.id).in_(written)))
        .order_by(col(Project.id))
    ).all()
    for project in found:
        may = by is not None and allows(by, Action.WITHDRAW, project_id=key_of(project))
        try:
            withdraw(
                session,
                project=project,
                # An admin of the server need not have business in each of its projects.
                by=by if may else None,
                scope=Scope(annotator_id=account_id),
                reason=REASON,
            )
        except Conflict:
            # They were withdrawn before, and still are.
            continue
    return tuple(project.name for project in found)


def _forget_texts(session: Session, account_id: int, *, all_of_them: bool) -> int:
    """Forget drafts, and with `all_of_them` every reason and comment; return how many."""
    own = col(Assignment.annotator_id) == account_id
    drafts = update(Assignment).where(own, col(Assignment.draft).is_not(None))
    found = _count(session, drafts.values(draft=None, draft_at=None))
    if not all_of_them:
        return found
    reasons = update(Assignment).where(own, col(Assignment.skip_reason) != "")
    found += _count(session, reasons.values(skip_reason=""))
    rationales = update(Judgment).where(
        col(Judgment.annotator_id) == account_id, col(Judgment.rationale) != ""
    )
    found += _count(session, rationales.values(rationale=""))
    decisions = update(Review).where(
        col(Review.by_id) == account_id, or_(col(Review.reason) != "", col(Review.comment) != "")
    )
    return found + _count(session, decisions.values(reason="", comment=""))


def _forget_belongings(session: Session, account_id: int) -> None:
    session.execute(delete(PoolMember).where(col(PoolMember.account_id) == account_id))
    theirs = or_(col(Invitation.used_by_id) == account_id, col(Invitation.account_id) == account_id)
    # It says for whom it is.
    session.execute(update(Invitation).where(theirs).values(note=""))


def _forget_rounds(session: Session, account_id: int, name: str) -> None:
    asked = update(Round).where(col(Round.requested_by_id) == account_id)
    session.execute(asked.values(reason=f"requested by {name}"))


def _forget_in_queries(session: Session, former: str, name: str) -> None:
    """Call the person otherwise where a snapshot was asked for by the names of annotators."""
    for one in asked_by_name(session, former):
        one.query = _renamed(one.query, former, name)
        one.manifest = {**one.manifest, "query": one.query}
        session.add(one)


def _renamed(query: dict[str, Any], former: str, name: str) -> dict[str, Any]:
    names = {
        field: sorted(name if each == former else each for each in query[field])
        for field in NAMES
        if field in query
    }
    return {**query, **names}


def _forget_in_events(session: Session, account_id: int, name: str) -> int:
    """Take out of the record what tells of the person; return out of how many events."""
    held = col(Event.personal).is_not(None)
    own = update(Event).where(held, col(Event.account_id) == account_id)
    found = _count(session, own.values(personal=None))
    others = select(col(Event.id), col(Event.personal)).where(held, about(account_id))
    # Of what others did, an address is theirs: only a name is the erased person's.
    ids = {key for key, personal in session.execute(others) if set(personal) - {"address"}}
    ids |= set(session.scalars(_of_rounds(account_id)))
    naming = select(col(Event.id), col(Event.personal)).where(held, col(Event.kind).in_(_NAMING))
    ids |= {key for key, personal in session.execute(naming) if _names(personal, name)}
    wanted = sorted(ids)
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        session.execute(update(Event).where(col(Event.id).in_(part)).values(personal=None))
    return found + len(wanted)


def _names(said: Any, name: str) -> bool:
    """Say whether a name is in one of the texts of a JSON value."""
    if isinstance(said, dict):
        return any(_names(each, name) for each in said.values())
    if isinstance(said, list):
        return any(_names(each, name) for each in said)
    return isinstance(said, str) and name in said


def _of_rounds(account_id: int) -> Any:
    """Return the SELECT of the events that say who asked for a round of theirs."""
    number = col(Event.detail)["round"].as_integer()
    return (
        select(col(Event.id))
        .join(
            Round, (col(Round.project_id) == col(Event.project_id)) & (col(Round.number) == number)
        )
        .where(
            col(Event.kind) == "round.opened",
            col(Event.personal).is_not(None),
            col(Round.requested_by_id) == account_id,
        )
    )


def _nameless(session: Session, account_id: int) -> str:
    name = f"erased-{account_id}"
    while session.scalars(select(col(Account.id)).where(col(Account.name) == name)).first():
        name += "-"
    return name


def _judged(session: Session, account_id: int) -> int:
    counted = select(func.count()).where(col(Judgment.annotator_id) == account_id)
    return session.scalar(counted) or 0


def _count(session: Session, statement: Any) -> int:
    done: Any = session.execute(statement, execution_options={"synchronize_session": False})
    return int(done.rowcount)
