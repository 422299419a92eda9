"""People as an OpenID Connect provider knows them, and which account each of them is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from labeling.accounts import store_account
from labeling.events import record
from labeling.people.invitations import accept
from labeling.people.roles import give_role
from labeling.people.sign_ins import may_sign_in
from storage.account_settings import OidcSettings
from storage.errors import BadInput, Conflict, NotAllowed
from storage.tables import Account, Role

#: the strongest last
STRENGTH = (Role.ANNOTATOR, Role.ENGINEER, Role.LEAD, Role.ADMIN)


@dataclass(frozen=True)
class Identity:
    """What a provider says of somebody; `key` (issuer and subject) is all that tells people apart.

    An address of mail does not: it may pass to another person.
    """

    key: str
    name: str
    email: str
    email_verified: bool
    groups: tuple[str, ...]


def identity_of(claims: Mapping[str, Any], *, role_claim: str) -> Identity:
    """Read the claims of an ID token that was verified; raise `BadInput` without a subject."""
    issuer, subject = claims.get("iss"), claims.get("sub")
    if not isinstance(issuer, str) or not isinstance(subject, str) or not issuer or not subject:
        raise BadInput("The provider did not say who you are; tell whoever runs it.")
    email = claims.get("email")
    names = (claims.get("preferred_username"), claims.get("name"), email, subject)
    name = next((each for each in names if isinstance(each, str) and each.strip()), subject)
    return Identity(
        key=f"{issuer}#{subject}",
        name=name,
        email=email if isinstance(email, str) else "",
        # Only true counts: some providers send the word "false".
        email_verified=claims.get("email_verified") is True,
        groups=_groups(claims, role_claim),
    )


def _groups(claims: Mapping[str, Any], role_claim: str) -> tuple[str, ...]:
    found: Any = claims if role_claim else ()
    if role_claim in claims:
        found = claims[role_claim]
    elif role_claim:
        for part in role_claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return (found,)
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


def account_of_identity(
    session: Session, *, identity: Identity, settings: OidcSettings, invitation: str | None
) -> Account:
    """Return the account that this person signs in to, made now where they may have one.

    `invitation` is the code of a link with which they came. Raises `NotAllowed` where the domain of
    their address is not allowed, their account is off, or they have none and may not make one;
    `NotFound` for a link that is not open any more.
    """
    _require_domain(identity, settings)
    account = session.exec(select(Account).where(Account.oidc_subject == identity.key)).first()
    if account is not None:
        if not may_sign_in(account):
            raise NotAllowed("Your account here is switched off; ask an admin.")
        _follow_groups(session, account, identity, settings)
        return account
    name = _free_name(session, identity)
    if invitation:
        account = accept(session, code=invitation, name=name, password=None)
    elif settings.new_accounts:
        account = store_account(session, name=name, role=_role_of(identity, settings))
    else:
        raise NotAllowed(
            "No account here is yours yet; ask for an invitation, or sign in with your password "
            "and link it on the page Your account."
        )
    _link(session, account, identity)
    return account


def link_identity(
    session: Session, *, account: Account, identity: Identity, settings: OidcSettings
) -> None:
    """Let this person sign in to an account that they are signed in to; raise `Conflict` if taken.

    Raises `NotAllowed` where the domain of their address is not allowed.
    """
    _require_domain(identity, settings)
    other = session.exec(select(Account).where(Account.oidc_subject == identity.key)).first()
    if other is not None and other.id != account.id:
        raise _taken()
    _link(session, session.get_one(Account, account.id), identity)


def _taken() -> Conflict:
    return Conflict("This sign-in belongs to another account here; ask an admin.")


def unlink_identity(session: Session, *, account: Account) -> None:
    """Let nobody sign in through the provider any more; raise `BadInput` without a password."""
    stored = session.get_one(Account, account.id)
    if stored.password_hash is None:
        raise BadInput("Without a password you could not sign in again; ask an admin for a link.")
    if stored.oidc_subject is None:
        return
    stored.oidc_subject = None
    session.add(stored)
    record(session, project_id=None, account_id=stored.id, kind="account.unlinked")


def _link(session: Session, account: Account, identity: Identity) -> None:
    if account.oidc_subject == identity.key:
        return
    account.oidc_subject = identity.key
    session.add(account)
    try:
        session.flush()
    except IntegrityError as error:
        raise _taken() from error
    issuer = identity.key.partition("#")[0]
    record(session, project_id=None, account_id=account.id, kind="account.linked", issuer=issuer)


def _require_domain(identity: Identity, settings: OidcSettings) -> None:
    if not settings.email_domains:
        return
    domain = identity.email.rpartition("@")[2].casefold()
    allowed = {each.casefold().lstrip("@") for each in settings.email_domains}
    if not identity.email_verified or "@" not in identity.email or domain not in allowed:
        raise NotAllowed(
            "Only verified addresses of certain domains may come in, and yours is none; ask an "
            "admin."
        )


def _role_of(identity: Identity, settings: OidcSettings) -> Role:
    roles = [Role(settings.roles[each]) for each in identity.groups if each in settings.roles]
    return max(roles, key=STRENGTH.index, default=Role(settings.new_role))


def _follow_groups(
    session: Session, account: Account, identity: Identity, settings: OidcSettings
) -> None:
    """Give the role that the provider's groups say, where they are to say it."""
    if not settings.role_claim or not settings.roles:
        return
    role = _role_of(identity, settings)
    if account.role is role:
        return
    try:
        give_role(session, account=account, role=role, by=None)
    except Conflict:
        # The last admin stays one, or nobody could mend the settings.
        record(
            session, project_id=None, account_id=account.id, kind="account.role_kept",
            wanted=str(role),
        )  # fmt: skip


def _free_name(session: Session, identity: Identity) -> str:
    """Return a name for a new account: the provider's, with a number where it is taken."""
    wanted = "".join(each for each in identity.name if each.isprintable()).strip()[:90] or "someone"
    begins = col(Account.name).startswith(wanted, autoescape=True)
    taken = set(session.exec(select(Account.name).where(begins)))
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted} {number}"
    return name
