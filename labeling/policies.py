"""Find a project's policies."""

from sqlmodel import Session, col, select

from storage.errors import NotFound
from storage.tables import Policy, PolicyStatus


def live_policy(session: Session, *, project_id: int) -> Policy:
    """Return the one policy whose completions are being ranked; raise `NotFound` without one."""
    policy = session.exec(
        select(Policy).where(Policy.project_id == project_id, Policy.status == PolicyStatus.LIVE)
    ).first()
    if policy is None:
        raise NotFound("This project has no live policy yet; run `rankloop init` to set it up.")
    return policy


def list_policies(session: Session, *, project_id: int) -> list[Policy]:
    """Return all policies of a project, oldest version first."""
    statement = select(Policy).where(Policy.project_id == project_id).order_by(col(Policy.version))
    return list(session.exec(statement))
