"""Pools: groups of annotators to whom a share of the new tasks is kept."""

from hashlib import sha256

from sqlmodel import Session

from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require
from storage.errors import BadInput
from storage.tables import Account, PoolMember, Project

LONGEST_NAME = 100


def pool_of(project: Project, *, prompt_id: int, policy_id: int) -> str:
    """Return the pool that a new task is kept to, "" for everyone's, by the project's shares.

    The draw is from the prompt and the policy: a task that is made again is in the same pool.
    """
    digest = sha256(f"pool:{project.id}:{prompt_id}:{policy_id}".encode()).digest()
    drawn = int.from_bytes(digest[:6], "big") / 2**48
    reached = 0.0
    for pool, share in sorted(labeling_settings(project).assignment.pool_shares.items()):
        reached += share
        if drawn < reached:
            return pool
    return ""


def set_pool(
    session: Session, *, project: Project, account: Account, pool: str, by: Account
) -> None:
    """Put an annotator into a pool of the project, out of any other; "" is out of all.

    Raises `BadInput`, `NotAllowed`. The session must be writing.
    """
    require(by, Action.CHANGE_LABELING)
    pool = pool.strip()
    if len(pool) > LONGEST_NAME:
        raise BadInput(
            f"The pool's name has over {LONGEST_NAME} characters; choose a shorter one."
        )
    member = session.get(PoolMember, (key_of(project), key_of(account)))
    if member is not None and not pool:
        session.delete(member)
    elif pool:
        member = member or PoolMember(
            project_id=key_of(project), account_id=key_of(account), pool=pool
        )
        member.pool = pool
        session.add(member)
    record(
        session,
        project_id=project.id,
        account_id=by.id,
        kind="pool.changed",
        annotator_id=account.id,
        pool=pool,
    )
