"""Pools: groups of annotators to whom a share of the new tasks is kept.

A pool in which nobody works is kept no task, and its tasks count as ready for nobody.
"""

from collections.abc import Mapping
from hashlib import sha256
from math import ceil, floor

from sqlmodel import Session, col, select

from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require, role_in, roles_that_may
from storage.errors import BadInput
from storage.tables import Account, AccountKind, PoolMember, Project

LONGEST_NAME = 100
_NOTHING = 1e-9  # below it, what is left of shares is the rounding of their sum


def pool_of(project: Project, *, prompt_id: int, policy_id: int) -> str:
    """Return the pool that a new task is kept to, "" for everyone's, by the project's shares.

    The draw is from the prompt and the policy: a task that is made again is drawn the same.
    """
    digest = sha256(f"pool:{project.id}:{prompt_id}:{policy_id}".encode()).digest()
    drawn = int.from_bytes(digest[:6], "big") / 2**48
    reached = 0.0
    for pool, share in sorted(labeling_settings(project).assignment.pool_shares.items()):
        reached += share
        if drawn < reached:
            return pool
    return ""


def staffed_pools(session: Session, *, project_id: int) -> set[str]:
    """Return the pools that have a member who may judge."""
    return set(
        session.exec(
            select(PoolMember.pool)
            .join(Account, col(Account.id) == col(PoolMember.account_id))
            .where(
                PoolMember.project_id == project_id,
                col(Account.active),
                Account.kind != AccountKind.MODEL,
                role_in(project_id).in_(roles_that_may(Action.JUDGE)),
            )
        )
    )


def has_its_share(project: Project, pool: str, ready: Mapping[str, int]) -> bool:
    """Say whether a pool holds its share of the ready tasks (pool → count), rounded up, already."""
    share = labeling_settings(project).assignment.pool_shares.get(pool, 0.0)
    return ready.get(pool, 0) >= ceil(share * (sum(ready.values()) + 1))


def evenly_ready(project: Project, ready: Mapping[str, int]) -> int:
    """Return how many tasks are ready (pool → count), as far as everyone has their share of them.

    Members of pool p may be lent ready[p] + ready[""] tasks, which should be the share s_p + s of
    all, with s = 1 - Σ s_p; whoever is in no pool ready[""], which should be s. Where a pool's
    tasks pile up, the group that has least counts: min over groups of tasks / share, at most Σ.
    """
    shares = labeling_settings(project).assignment.pool_shares
    own = {pool: shares.get(pool, 0.0) for pool in ready if pool}
    free = max(0.0, 1.0 - sum(own.values()))
    whole, open_to_all = sum(ready.values()), ready.get("", 0)
    groups = [(open_to_all, free)]
    groups += [(open_to_all + ready[pool], free + share) for pool, share in own.items()]
    return min(whole, *(floor(has / due + _NOTHING) for has, due in groups if due > _NOTHING))


def set_pool(
    session: Session, *, project: Project, account: Account, pool: str, by: Account
) -> None:
    """Put an annotator into a pool of the project, out of any other; "" is out of all.

    Raises `BadInput`, `NotAllowed`. The session must be writing.
    """
    require(by, Action.CHANGE_LABELING, project_id=key_of(project))
    pool = pool.strip()
    if len(pool) > LONGEST_NAME:
        raise BadInput(f"The pool's name has over {LONGEST_NAME} characters; choose a shorter one.")
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
