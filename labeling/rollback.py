"""Roll back: an older policy becomes live as a new version, so that no history is rewritten."""

from typing import Any

from sqlmodel import Session, select

from labeling.events import record
from labeling.permissions import Action, require
from labeling.policies import list_policies, live_policy, lock_policies, replace_live
from labeling.work_queue.arena import human_win_rates
from storage.errors import BadInput, NotFound
from storage.tables import Account, Policy, PolicyStatus

PUBLISHED = (PolicyStatus.LIVE, PolicyStatus.RETIRED)


def roll_back(session: Session, *, project_id: int, version: int, by: Account) -> Policy:
    """Make an older version live again, as a new version with its checkpoint and it as parent.

    A round that is training ends as failed at its next step, since what it started from is live no
    more. Raises `NotFound` where there is no such version, `BadInput` where it is live or was
    never published, `NotAllowed`. The session must be writing.
    """
    require(by, Action.ROLL_BACK, project_id=project_id)
    lock_policies(session, project_id=project_id)
    live = live_policy(session, project_id=project_id)
    older = session.exec(
        select(Policy).where(Policy.project_id == project_id, Policy.version == version)
    ).first()
    if older is None:
        raise NotFound(f"There is no policy version {version}; see `rankloop policies list`.")
    if older.id == live.id:
        raise BadInput(f"Policy version {version} is the live one; choose an older one.")
    if older.status not in PUBLISHED:
        raise BadInput(
            f"Policy version {version} was never published; choose one that was live before."
        )
    policy = replace_live(
        session,
        project_id=project_id,
        parent=older,
        checkpoint_uri=older.checkpoint_uri,
        round_id=None,
    )
    record(
        session,
        project_id=project_id,
        # An account that is stored nowhere is whoever sits at the server's shell.
        account_id=by.id,
        kind="policy.rolled_back",
        version=policy.version,
        to_version=older.version,
        from_version=live.version,
    )
    return policy


def policy_summaries(session: Session, *, project_id: int) -> list[dict[str, Any]]:
    """Return every policy of the loop, oldest first, as plain values that JSON can hold.

    `human_win_rate` is what people think of it beside the published version before it (None where
    nobody was asked); `again` is the version whose checkpoint it has, where it was rolled back to.
    """
    rates = human_win_rates(session, project_id=project_id)
    policies = list_policies(session, project_id=project_id)
    versions = {policy.id: policy for policy in policies}
    found = []
    for policy in policies:
        rate = rates.get(policy.version)
        parent = versions.get(policy.parent_id)
        again = parent is not None and parent.checkpoint_uri == policy.checkpoint_uri
        found.append(
            {
                "version": policy.version,
                "status": policy.status.value,
                "parent": parent.version if parent else None,
                "again": parent.version if parent and again else None,
                "checkpoint": policy.checkpoint_uri,
                "published_at": policy.published_at.isoformat() if policy.published_at else None,
                "human_win_rate": rate.as_dict() if rate else None,
            }
        )
    return found
