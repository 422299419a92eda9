"""Create a project's first policy, and those of texts from elsewhere; find its policies.

The versions of the loop count up from 1. Policies that no round makes are 0 (tasks with known
answers) and, of imports and servers, -1, -2, …: none of them is ever newer than the live one.
"""

from sqlmodel import Session, col, func, select

from labeling.events import record
from storage.clock import now
from storage.errors import Conflict, NotFound
from storage.tables import Policy, PolicyKind, PolicyStatus, Project

IMPORTED = 0  # the version of the policy that the completions of known answers are under


def create_first_policy(
    session: Session, *, project_id: int, name: str, checkpoint_uri: str
) -> Policy:
    """Store version 1, live at once; raise `Conflict` where the project has a policy.

    `checkpoint_uri` is relative to home, absolute, or has a scheme.
    """
    if list_policies(session, project_id=project_id):
        raise Conflict("This project has a policy already; a round makes the next one.")
    policy = Policy(
        project_id=project_id,
        version=1,
        name=name,
        checkpoint_uri=checkpoint_uri,
        status=PolicyStatus.LIVE,
        published_at=now(),
    )
    session.add(policy)
    session.flush()
    record(session, project_id=project_id, account_id=None, kind="policy.created", version=1)
    return policy


def replace_live(
    session: Session,
    *,
    project_id: int,
    parent: Policy,
    checkpoint_uri: str,
    round_id: int | None,
) -> Policy:
    """Store the next version, live at once, and retire the one that was; the session is writing.

    `parent` is the version that it came from. The caller has looked at the live policy in this
    transaction, after `lock_policies`.
    """
    live = live_policy(session, project_id=project_id)
    newest = session.exec(
        select(func.max(col(Policy.version))).where(Policy.project_id == project_id)
    ).one()
    live.status = PolicyStatus.RETIRED
    session.add(live)
    # Retired first: a unique index allows one live policy a project at every moment.
    session.flush()
    policy = Policy(
        project_id=project_id,
        version=int(newest or 0) + 1,
        parent_id=parent.id,
        round_id=round_id,
        name=parent.name,
        checkpoint_uri=checkpoint_uri,
        kind=parent.kind,
        status=PolicyStatus.LIVE,
        published_at=now(),
    )
    session.add(policy)
    session.flush()
    return policy


def lock_policies(session: Session, *, project_id: int) -> None:
    """Let nobody else publish or roll back in this project until the transaction ends."""
    session.exec(
        select(Project.id).where(Project.id == project_id).with_for_update(key_share=True)
    ).one()


def live_policy(session: Session, *, project_id: int) -> Policy:
    """Return the one policy whose completions are being ranked; raise `NotFound` without one."""
    policy = session.exec(
        select(Policy)
        .where(Policy.project_id == project_id, Policy.status == PolicyStatus.LIVE)
        .execution_options(populate_existing=True)
    ).first()
    if policy is None:
        raise NotFound("This project has no live policy yet; run `rankloop init` to set it up.")
    return policy


def import_policy(session: Session, *, project_id: int) -> Policy:
    """Return the policy of completions with known answers; make it where there is none.

    It is version 0 and can never be live. The session must be writing.
    """
    found = session.exec(
        select(Policy).where(Policy.project_id == project_id, Policy.version == IMPORTED)
    ).first()
    if found is not None:
        return found
    policy = Policy(
        project_id=project_id,
        version=IMPORTED,
        name="imported",
        kind=PolicyKind.IMPORT,
        status=PolicyStatus.REJECTED,
    )
    session.add(policy)
    session.flush()
    return policy


def named_import_policy(session: Session, *, project_id: int, name: str) -> Policy:
    """Return the policy of a model whose completions were imported; make it where there is none.

    The session must be writing.
    """
    found = session.exec(
        select(Policy).where(
            Policy.project_id == project_id,
            Policy.kind == PolicyKind.IMPORT,
            Policy.version != IMPORTED,
            Policy.name == name,
        )
    ).first()
    return found or add_outside_policy(
        session, project_id=project_id, name=name, kind=PolicyKind.IMPORT
    )


def add_outside_policy(session: Session, *, project_id: int, name: str, kind: PolicyKind) -> Policy:
    """Store a policy that no round makes, with the next version below 0; it can never be live.

    The session must be writing.
    """
    lock_policies(session, project_id=project_id)
    lowest = session.exec(
        select(func.min(col(Policy.version))).where(Policy.project_id == project_id)
    ).one()
    policy = Policy(
        project_id=project_id,
        version=min(IMPORTED, lowest or 0) - 1,
        name=name,
        kind=kind,
        # Never a candidate, and never published: no other status is open to it.
        status=PolicyStatus.REJECTED,
    )
    session.add(policy)
    session.flush()
    return policy


def list_policies(session: Session, *, project_id: int) -> list[Policy]:
    """Return the policies of a project's loop, oldest version first: none from elsewhere."""
    statement = (
        select(Policy)
        .where(Policy.project_id == project_id, Policy.version > IMPORTED)
        .order_by(col(Policy.version))
    )
    return list(session.exec(statement))
