"""Who has which role, in general and by project, and which accounts are switched on."""

from typing import Any

from sqlmodel import Session, col, select

from labeling.events import record
from labeling.keys import key_of
from labeling.people.invitations import revoke_open_of
from labeling.people.sign_ins import close_all
from labeling.permissions import ELSEWHERE, Action, require
from storage.errors import BadInput, Conflict
from storage.tables import Account, AccountKind, Project, Role


def change_role(session: Session, *, account: Account, role: Role, by: Account | None) -> None:
    """Give an account its role in every project that has no other for it.

    Raises `NotAllowed` unless `by` is an admin or None, `Conflict` for the last active admin.
    """
    _require(by)
    give_role(session, account=account, role=role, by=by)


def give_role(session: Session, *, account: Account, role: Role, by: Account | None) -> None:
    """Change a role as `change_role` does, for one whose right was looked at."""
    stored = _changeable(session, account)
    if stored.role is role and ELSEWHERE not in stored.project_roles:
        return
    if role is not Role.ADMIN:
        keep_an_admin(session, stored)
    _lock_project_roles(session, stored)
    before, stored.role = stored.role, role
    roles = stored.project_roles
    stored.project_roles = {name: roles[name] for name in roles if name != ELSEWHERE}
    session.add(stored)
    _record(session, by, stored, "account.role_changed", before=str(before), after=str(role))
    # A link may only give what whoever made it may still give.
    revoke_open_of(session, account=stored, by=by)


def change_project_role(
    session: Session,
    *,
    account: Account,
    project: Project,
    role: Role | None,
    by: Account | None,
    follow: bool = False,
) -> None:
    """Give an account its role in one project; None: no business there; `follow`: as elsewhere.

    Raises `NotAllowed` unless `by` is an admin or None.
    """
    _require(by)
    stored = _changeable(session, account)
    _lock_project_roles(session, stored)
    key = str(key_of(project))
    before = stored.project_roles.get(key)
    after = None if follow else str(role or "")
    if before == after:
        return
    others = {name: each for name, each in stored.project_roles.items() if name != key}
    stored.project_roles = others if after is None else {**others, key: after}
    session.add(stored)
    _record(
        session, by, stored, "account.role_changed", project=project, before=before, after=after
    )
    revoke_open_of(session, account=stored, by=by)


def switch_off(session: Session, *, account: Account, by: Account | None) -> None:
    """Let nobody sign in to an account any more, and close its sign-ins and its open invitations.

    Its judgments stay; its tokens are refused while it is off. Raises `NotAllowed` unless `by` is
    an admin or None, `Conflict` for the last active admin.
    """
    _require(by)
    stored = _changeable(session, account)
    if not stored.active:
        return
    keep_an_admin(session, stored)
    stored.active = False
    session.add(stored)
    _record(session, by, stored, "account.switched_off")
    close_all(session, account=stored, by=by)
    revoke_open_of(session, account=stored, by=by)


def switch_on(session: Session, *, account: Account, by: Account | None) -> None:
    """Let an account be signed in to again; raise `NotAllowed` unless `by` is an admin or None."""
    _require(by)
    stored = _changeable(session, account)
    if stored.active:
        return
    stored.active = True
    session.add(stored)
    _record(session, by, stored, "account.switched_on")


def _require(by: Account | None) -> None:
    if by is not None:
        require(by, Action.MANAGE_ACCOUNTS, project_id=None)


def _changeable(session: Session, account: Account) -> Account:
    stored = session.exec(
        select(Account)
        .where(col(Account.id) == key_of(account))
        .execution_options(populate_existing=True)
    ).one()
    if stored.imported_from or stored.erased_at is not None:
        raise BadInput(f"Nobody signs in to {stored.name}; there is nothing to change.")
    return stored


def _lock_project_roles(session: Session, stored: Account) -> None:
    # The roles of all projects are one value: who changes another's at this moment waits.
    session.refresh(stored, ["project_roles"], with_for_update={"key_share": True})


def keep_an_admin(session: Session, account: Account) -> None:
    """Raise `Conflict` where `account` is the last admin who can act."""
    if account.role is not Role.ADMIN or not account.active:
        return
    admins = session.exec(
        select(Account)
        .where(
            Account.role == Role.ADMIN,
            Account.kind == AccountKind.PERSON,
            col(Account.active),
            col(Account.erased_at).is_(None),
            Account.imported_from == "",
        )
        .order_by(col(Account.id))
        # Two admins who take the role from each other at once: one of them waits, then is refused.
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    if all(each.id == account.id for each in admins):
        raise Conflict(f"{account.name} is the last admin; make somebody else an admin first.")


def _record(
    session: Session,
    by: Account | None,
    account: Account,
    kind: str,
    *,
    project: Project | None = None,
    **detail: Any,
) -> None:
    record(
        session,
        project_id=project.id if project else None,
        account_id=by.id if by else None,
        kind=kind,
        whose_id=account.id,
        **detail,
    )
