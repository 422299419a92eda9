"""Step 6: make the candidate the live policy, in the one transaction that also ends the round."""

from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.policies import live_policy
from reward.steps.outcome import StepContext, StepOutcome
from storage.blobs import verify
from storage.clock import now
from storage.errors import Conflict
from storage.tables import Policy, PolicyStatus, Round


def check_candidate(context: StepContext) -> StepOutcome:
    """Prove that the candidate's checkpoint is whole before anyone is pointed at it."""
    verify(context.runtime.home, context.round.artefacts["policy"])
    return StepOutcome()


def publish(session: Session, *, one: Round) -> Policy:
    """Store the round's policy as live and retire the one before; the caller holds the lease.

    Raises `Conflict` where another policy became live since the round began.
    """
    base = live_policy(session, project_id=one.project_id)
    if base.id != one.base_policy_id:
        raise Conflict(
            f"Policy version {base.version} became live while round {one.number} was training; "
            "the round's policy is not published."
        )
    newest = session.exec(
        select(func.max(col(Policy.version))).where(Policy.project_id == one.project_id)
    ).one()
    base.status = PolicyStatus.RETIRED
    session.add(base)
    # Retired first: a unique index allows one live policy a project at every moment.
    session.flush()
    policy = Policy(
        project_id=one.project_id,
        version=int(newest or 0) + 1,
        parent_id=base.id,
        round_id=one.id,
        name=base.name,
        checkpoint_uri=one.artefacts["policy"],
        status=PolicyStatus.LIVE,
        published_at=now(),
    )
    session.add(policy)
    session.flush()
    record(
        session,
        project_id=one.project_id,
        account_id=None,
        kind="policy.published",
        version=policy.version,
        round=one.number,
    )
    return policy
