"""Step 6: make the candidate the live policy, in the one transaction that also ends the round."""

from sqlmodel import Session

from labeling.events import record
from labeling.policies import live_policy, lock_policies, replace_live
from reward.steps.outcome import StepContext, StepOutcome
from storage.blobs import verify
from storage.errors import Conflict
from storage.tables import Policy, Round


def check_candidate(context: StepContext) -> StepOutcome:
    """Prove that the candidate's checkpoint is whole before anyone is pointed at it."""
    verify(context.runtime.home, context.round.artefacts["policy"])
    return StepOutcome()


def publish(session: Session, *, one: Round) -> Policy:
    """Store the round's policy as live and retire the one before; the caller holds the lease.

    Raises `Conflict` where another policy became live since the round began.
    """
    lock_policies(session, project_id=one.project_id)
    base = check_base(session, one=one)
    policy = replace_live(
        session,
        project_id=one.project_id,
        parent=base,
        checkpoint_uri=one.artefacts["policy"],
        round_id=one.id,
    )
    record(
        session,
        project_id=one.project_id,
        account_id=None,
        kind="policy.published",
        version=policy.version,
        round=one.number,
    )
    return policy


def check_base(session: Session, *, one: Round) -> Policy:
    """Return the policy that the round began from; raise `Conflict` where it is live no more."""
    live = live_policy(session, project_id=one.project_id)
    if live.id != one.base_policy_id:
        raise Conflict(
            f"Policy version {live.version} became live while round {one.number} was training; "
            "the round's policy is not published."
        )
    return live
