"""The round's state machine: every change is one transaction, fenced by the worker's lease."""

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.policies import live_policy
from labeling.rounds import add_round, current_round, round_due
from reward.running.lease import Lease, require
from reward.running.progress_folder import PROGRESS
from storage.clock import now
from storage.errors import Conflict, NotFound
from storage.finite_json import finite
from storage.tables import Round, RoundPoint, RoundState

ORDER = (
    RoundState.QUEUED,
    RoundState.SNAPSHOT,
    RoundState.SFT,
    RoundState.REWARD,
    RoundState.PPO,
    RoundState.EVALUATE,
    RoundState.PUBLISH,
    RoundState.DONE,
)
MAY_REJECT = (RoundState.REWARD, RoundState.EVALUATE)


def next_state(state: RoundState) -> RoundState:
    """Return the state after `state` in a round that goes well; raise `Conflict` at an end."""
    if state.ended:
        raise Conflict(f"A round that is {state} has no next step.")
    return ORDER[ORDER.index(state) + 1]


def may_advance(state: RoundState, to: RoundState) -> bool:
    """Say whether a round in `state` may go to `to`: the next step, or an end it may come to."""
    if state.ended:
        return False
    if to is RoundState.FAILED:
        return True
    if to is RoundState.REJECTED:
        return state in MAY_REJECT
    return to is next_state(state)


def open_round(
    session: Session,
    *,
    lease: Lease,
    judgments_per_round: int,
    round_hours: float,
    seed: int,
) -> Round | None:
    """Return the round to work on: the one that has not ended, else a new one if it is due.

    A round that someone requested gets its base policy and seed here, when its work begins.
    Raises `LeaseLost`.
    """
    require(session, lease=lease)
    project_id = lease.project_id
    opened = current_round(session, project_id=project_id)
    if opened is None:
        reason = round_due(
            session,
            project_id=project_id,
            judgments_per_round=judgments_per_round,
            round_hours=round_hours,
        )
        if reason is None:
            return None
        opened = add_round(session, project_id=project_id, reason=reason)
    if opened.base_policy_id is None:
        opened.base_policy_id = live_policy(session, project_id=project_id).id
        opened.seed = seed_of_round(seed, opened.number)
        session.add(opened)
        session.flush()
        _record(session, opened, kind="round.opened", personal={"reason": opened.reason})
    return opened


def seed_of_round(seed: int, number: int) -> int:
    """Derive a round's seed (31 bits, for PostgreSQL's integer) from the process's seed."""
    digest = hashlib.sha256(f"round {number} of seed {seed}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def advance(
    session: Session,
    *,
    lease: Lease,
    round_id: int,
    to: RoundState,
    artefacts: Mapping[str, str] | None = None,
    metrics: Mapping[str, Any] | None = None,
    reason: str = "",
    snapshot_id: int | None = None,
    judgments: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Round:
    """Commit the step that a round is in, with what it made, by going to `to`.

    `artefacts` (name → URI) and `metrics` are merged into the round's; `reason`, if given,
    replaces the round's. The count of attempts starts again, since it is of one step.
    Raises `LeaseLost`, and `Conflict` where the round cannot go from its state to `to`.
    """
    require(session, lease=lease)
    one = _locked_round(session, lease=lease, round_id=round_id)
    came_from = one.state
    if not may_advance(came_from, to):
        raise Conflict(f"Round {one.number} is {came_from} and cannot become {to}.")
    one.state = to
    one.attempts = 0
    one.artefacts = {**one.artefacts, **(artefacts or {})}
    one.metrics = {**one.metrics, **finite(metrics or {})}
    one.reason = reason or one.reason
    one.snapshot_id = one.snapshot_id if snapshot_id is None else snapshot_id
    one.judgments = one.judgments if judgments is None else judgments
    one.settings = one.settings if settings is None else finite(settings)
    if came_from is RoundState.QUEUED:
        one.started_at = now()
    if to.ended:
        one.finished_at = now()
    session.add(one)
    session.flush()
    _record(session, one, kind="round.advanced", came_from=came_from.value, reason=reason)
    return one


def fail_worn_out(session: Session, *, lease: Lease, tries: int, reason: str) -> Round | None:
    """Mark the running round failed if its step was tried `tries` times; return it, else None.

    Raises `LeaseLost`.
    """
    require(session, lease=lease)
    running = current_round(session, project_id=lease.project_id)
    if running is None or running.attempts < tries:
        return None
    text = f"Step {running.state} failed {running.attempts} times. {reason}"
    return advance(
        session, lease=lease, round_id=running.id or 0, to=RoundState.FAILED, reason=text
    )


def record_point(
    session: Session,
    *,
    lease: Lease,
    round_id: int,
    state: RoundState,
    step_index: int,
    steps: int,
    metrics: Mapping[str, Any],
) -> None:
    """Store one point of the round's curves; a step done again replaces its point.

    Raises `LeaseLost`.
    """
    require(session, lease=lease)
    session.merge(
        RoundPoint(
            round_id=round_id,
            state=state,
            step_index=step_index,
            steps=steps,
            metrics=finite(metrics),
        )
    )
    session.flush()


def count_attempt(session: Session, *, lease: Lease, round_id: int) -> int:
    """Count one more try of the step that the round is in; return how many that makes.

    Call it before the work, so that a crash is counted. Raises `LeaseLost`.
    """
    require(session, lease=lease)
    one = _locked_round(session, lease=lease, round_id=round_id)
    one.attempts += 1
    session.add(one)
    # A step that begins again draws its curves again; one that goes on keeps what was drawn.
    goes_on = one.state in (RoundState.SFT, RoundState.REWARD, RoundState.PPO)
    if not (goes_on and PROGRESS in one.artefacts):
        session.exec(
            delete(RoundPoint).where(
                col(RoundPoint.round_id) == round_id, col(RoundPoint.state) == one.state
            )
        )
    session.flush()
    return one.attempts


def _locked_round(session: Session, *, lease: Lease, round_id: int) -> Round:
    found = session.exec(
        select(Round)
        .where(Round.id == round_id, Round.project_id == lease.project_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFound(f"Round {round_id} does not exist in this project; see `rankloop rounds`.")
    return found


def _record(session: Session, one: Round, *, kind: str, **detail: Any) -> None:
    record(
        session,
        project_id=one.project_id,
        account_id=None,
        kind=kind,
        round=one.number,
        state=one.state.value,
        **detail,
    )
