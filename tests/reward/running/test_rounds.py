"""The round's state machine: legal steps only, fenced, idempotent where a resume repeats."""

from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.rounds import round_curves
from reward.running.lease import Lease, LeaseLost, acquire
from reward.running.rounds import (
    ORDER,
    advance,
    count_attempt,
    may_advance,
    next_state,
    open_round,
    record_point,
    seed_of_round,
)
from storage.engine import reading, writing
from storage.errors import Conflict, NotFound
from storage.tables import Event, Policy, Project, Round, RoundState
from tests.sample_rows import add_account, add_judgments, add_policy


@pytest.fixture
def policy(engine: Engine, project: Project) -> Policy:
    return add_policy(engine, project)


@pytest.fixture
def lease(engine: Engine, project: Project) -> Lease:
    return _acquire(engine, project)


def _acquire(engine: Engine, project: Project) -> Lease:
    with writing(engine) as session:
        lease = acquire(
            session,
            project_id=project.id or 0,
            owner="w",
            seconds=60,
            host="",
            pid=1,
            device="cpu",
        )
    assert lease is not None
    return lease


def _open(engine: Engine, lease: Lease, wanted: int = 2, seed: int = 7) -> Round | None:
    with writing(engine) as session:
        return open_round(
            session, lease=lease, judgments_per_round=wanted, round_hours=24, seed=seed
        )


def _advance(engine: Engine, lease: Lease, one: Round, to: RoundState, **values: Any) -> Round:
    with writing(engine) as session:
        return advance(session, lease=lease, round_id=one.id or 0, to=to, **values)


@pytest.fixture
def opened(engine: Engine, project: Project, policy: Policy, lease: Lease) -> Round:
    add_judgments(engine, project, policy, add_account(engine), count=2)
    one = _open(engine, lease)
    assert one is not None
    return one


def _stored(engine: Engine, one: Round) -> Round:
    with reading(engine) as session:
        found = session.get(Round, one.id)
    assert found is not None
    return found


def test_no_round_before_it_is_due(
    engine: Engine, project: Project, policy: Policy, lease: Lease
) -> None:
    add_judgments(engine, project, policy, add_account(engine), count=1)
    assert _open(engine, lease) is None


def test_a_due_round_names_its_base_and_seed(engine: Engine, policy: Policy, opened: Round) -> None:
    assert (opened.number, opened.state, opened.reason) == (1, "queued", "2 new judgments")
    assert opened.base_policy_id == policy.id
    assert opened.seed == seed_of_round(7, 1)
    assert opened.started_at is None


def test_the_unended_round_is_resumed(engine: Engine, lease: Lease, opened: Round) -> None:
    _advance(engine, lease, opened, RoundState.SNAPSHOT)
    again = _open(engine, lease, wanted=1, seed=8)
    assert again is not None
    assert (again.id, again.state, again.seed) == (opened.id, "snapshot", opened.seed)


def test_a_requested_round_gets_base_and_seed_when_its_work_begins(
    engine: Engine, project: Project, policy: Policy, lease: Lease
) -> None:
    with writing(engine) as session:
        asked = Round(project_id=project.id or 0, number=4, reason="requested by lea")
        session.add(asked)
    resumed = _open(engine, lease)
    assert resumed is not None
    assert (resumed.id, resumed.base_policy_id) == (asked.id, policy.id)
    assert resumed.seed == seed_of_round(7, 4)


def test_the_next_round_follows_a_finished_one(
    engine: Engine, project: Project, policy: Policy, lease: Lease, opened: Round
) -> None:
    _advance(engine, lease, opened, RoundState.FAILED, reason="disk full")
    assert _open(engine, lease) is None
    add_judgments(engine, project, policy, add_account(engine, "bob"), count=2)
    second = _open(engine, lease)
    assert second is not None
    assert second.number == 2
    assert second.seed != opened.seed


def test_seeds_differ_by_round_and_fit_31_bits() -> None:
    seeds = {seed_of_round(seed, number) for seed in range(20) for number in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_good_round_takes_every_step_once(engine: Engine, lease: Lease, opened: Round) -> None:
    for to in ORDER[1:]:
        _advance(engine, lease, opened, to)
    ended = _stored(engine, opened)
    assert ended.state is RoundState.DONE
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert ended.started_at <= ended.finished_at
    with reading(engine) as session:
        events = session.exec(
            select(Event).where(Event.kind == "round.advanced").order_by("id")
        ).all()
    assert [(event.detail["came_from"], event.detail["state"]) for event in events] == [
        (before.value, after.value) for before, after in pairwise(ORDER)
    ]


@pytest.mark.parametrize("state", list(RoundState))
def test_legal_steps_are_exactly_these(state: RoundState) -> None:
    legal = {to for to in RoundState if may_advance(state, to)}
    expected: set[RoundState] = set()
    if state not in ("done", "rejected", "failed"):
        expected = {ORDER[ORDER.index(state) + 1], RoundState.FAILED}
    if state in ("reward", "evaluate"):
        expected |= {RoundState.REJECTED}
    assert legal == expected


def test_an_illegal_step_changes_nothing(engine: Engine, lease: Lease, opened: Round) -> None:
    with pytest.raises(Conflict, match="is queued and cannot become ppo"):
        _advance(engine, lease, opened, RoundState.PPO, metrics={"loss": 1.0})
    kept = _stored(engine, opened)
    assert (kept.state, kept.metrics) == ("queued", {})


def test_an_ended_round_has_no_next_step() -> None:
    with pytest.raises(Conflict):
        next_state(RoundState.REJECTED)
    assert next_state(RoundState.PPO) is RoundState.EVALUATE


def test_artefacts_and_metrics_are_merged(engine: Engine, lease: Lease, opened: Round) -> None:
    _advance(engine, lease, opened, RoundState.SNAPSHOT, metrics={"a": 1})
    _advance(
        engine,
        lease,
        opened,
        RoundState.SFT,
        artefacts={"snapshot": "snapshots/1"},
        metrics={"b": 2},
        judgments=2,
    )
    _advance(engine, lease, opened, RoundState.REWARD, metrics={"b": 3})
    kept = _stored(engine, opened)
    assert kept.artefacts == {"snapshot": "snapshots/1"}
    assert kept.metrics == {"a": 1, "b": 3}
    assert kept.reason == "2 new judgments"


def test_a_failure_keeps_its_reason(engine: Engine, lease: Lease, opened: Round) -> None:
    _advance(engine, lease, opened, RoundState.FAILED, reason="disk full")
    kept = _stored(engine, opened)
    assert (kept.state, kept.reason) == ("failed", "disk full")
    assert kept.finished_at is not None


def test_a_round_of_another_project_is_not_found(
    engine: Engine, project: Project, lease: Lease
) -> None:
    with writing(engine) as session:
        other = Project(name="other")
        session.add(other)
        session.flush()
        foreign = Round(project_id=other.id or 0, number=1)
        session.add(foreign)
    with pytest.raises(NotFound):
        _advance(engine, lease, foreign, RoundState.SNAPSHOT)


def test_attempts_are_of_one_step(engine: Engine, lease: Lease, opened: Round) -> None:
    def attempt() -> int:
        with writing(engine) as session:
            return count_attempt(session, lease=lease, round_id=opened.id or 0)

    assert [attempt(), attempt()] == [1, 2]
    _advance(engine, lease, opened, RoundState.SNAPSHOT)
    assert attempt() == 1


def test_a_point_recorded_again_is_replaced(engine: Engine, lease: Lease, opened: Round) -> None:
    for step, loss in ((0, 0.7), (1, 0.6), (1, 0.5)):
        with writing(engine) as session:
            record_point(
                session,
                lease=lease,
                round_id=opened.id or 0,
                state=RoundState.REWARD,
                step_index=step,
                steps=2,
                metrics={"loss": loss},
            )
    with reading(engine) as session:
        frame = round_curves(session, round_id=opened.id or 0)
    assert frame["step_index"].tolist() == [0, 1]
    assert frame["value"].tolist() == [0.7, 0.5]


def test_what_is_not_finite_is_stored_as_nothing_however_deep(
    engine: Engine, lease: Lease, opened: Round
) -> None:
    metrics = {
        "loss": float("nan"),
        "gate": [{"name": "kl", "figure": float("inf"), "bound": 1.0}],
        "policies": ({"rewards": {"value": float("nan"), "texts": ["a"]}},),
    }
    with writing(engine) as session:
        advance(
            session,
            lease=lease,
            round_id=opened.id or 0,
            to=RoundState.SNAPSHOT,
            metrics=metrics,
        )
    with reading(engine) as session:
        assert session.get_one(Round, opened.id).metrics == {
            "loss": None,
            "gate": [{"name": "kl", "figure": None, "bound": 1.0}],
            "policies": [{"rewards": {"value": None, "texts": ["a"]}}],
        }


@pytest.mark.parametrize(("progress", "kept"), [({"progress": "somewhere"}, 1), ({}, 0)])
def test_a_step_that_goes_on_keeps_the_points_it_drew(
    engine: Engine, lease: Lease, opened: Round, progress: dict[str, str], kept: int
) -> None:
    with writing(engine) as session:
        advance(
            session,
            lease=lease,
            round_id=opened.id or 0,
            to=RoundState.SNAPSHOT,
            artefacts=progress,
        )
    for state in (RoundState.SFT, RoundState.REWARD):
        _advance(engine, lease, opened, state)
    with writing(engine) as session:
        record_point(
            session,
            lease=lease,
            round_id=opened.id or 0,
            state=RoundState.REWARD,
            step_index=0,
            steps=2,
            metrics={"loss": 0.7},
        )
        count_attempt(session, lease=lease, round_id=opened.id or 0)
    with reading(engine) as session:
        assert len(round_curves(session, round_id=opened.id or 0)) == kept


def test_an_old_lease_writes_nothing(
    engine: Engine, project: Project, lease: Lease, opened: Round
) -> None:
    newer = _acquire(engine, project)
    for attempt in (
        lambda session: open_round(
            session, lease=lease, judgments_per_round=1, round_hours=0, seed=0
        ),
        lambda session: advance(
            session, lease=lease, round_id=opened.id or 0, to=RoundState.SNAPSHOT
        ),
        lambda session: count_attempt(session, lease=lease, round_id=opened.id or 0),
        lambda session: record_point(
            session,
            lease=lease,
            round_id=opened.id or 0,
            state=RoundState.REWARD,
            step_index=0,
            steps=1,
            metrics={},
        ),
    ):
        with pytest.raises(LeaseLost), writing(engine) as session:
            attempt(session)
    kept = _stored(engine, opened)
    assert (kept.state, kept.attempts) == ("queued", 0)
    _advance(engine, newer, opened, RoundState.SNAPSHOT)
