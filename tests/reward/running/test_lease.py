"""The lease: one owner at a time, takeover after expiry, and writes fenced by the epoch."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from reward.running import lease as lease_module
from reward.running.lease import (
    Lease,
    LeaseLost,
    acquire,
    read_lease,
    release,
    renew,
    report_progress,
    require,
)
from storage.clock import now
from storage.engine import build_engine, reading, writing
from storage.tables import Project, WorkerLease
from tests.forked import forked


def _acquire(
    engine: Engine, project: Project, owner: str = "a", seconds: float = 60.0
) -> Lease | None:
    with writing(engine) as session:
        return acquire(
            session,
            project_id=project.id or 0,
            owner=owner,
            seconds=seconds,
            host="host",
            pid=os.getpid(),
            device="cpu",
        )


def _taken(engine: Engine, project: Project, owner: str = "a", seconds: float = 60.0) -> Lease:
    lease = _acquire(engine, project, owner, seconds)
    assert lease is not None
    return lease


def _row(engine: Engine, project: Project) -> WorkerLease:
    with reading(engine) as session:
        row = read_lease(session, project_id=project.id or 0)
    assert row is not None
    return row


def _require(engine: Engine, lease: Lease) -> None:
    with writing(engine) as session:
        require(session, lease=lease)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the lease's clock on by seconds."""
    start = now()
    moved = timedelta()

    def clock() -> datetime:
        return start + moved

    def move(seconds: float) -> None:
        nonlocal moved
        moved += timedelta(seconds=seconds)

    monkeypatch.setattr(lease_module, "now", clock)
    return move


def test_first_owner_gets_epoch_one(engine: Engine, project: Project) -> None:
    assert _acquire(engine, project) == Lease(project_id=project.id or 0, owner="a", epoch=1)
    row = _row(engine, project)
    assert (row.host, row.pid, row.device) == ("host", os.getpid(), "cpu")


def test_second_owner_waits(engine: Engine, project: Project) -> None:
    first = _taken(engine, project)
    assert _acquire(engine, project, owner="b") is None
    _require(engine, first)


def test_same_owner_takes_it_again_and_fences_its_past(engine: Engine, project: Project) -> None:
    first = _taken(engine, project)
    second = _taken(engine, project)
    assert second.epoch == first.epoch + 1
    with pytest.raises(LeaseLost, match="nothing was written"):
        _require(engine, first)
    _require(engine, second)


def test_takeover_only_after_expiry(
    engine: Engine, project: Project, later: Callable[[float], None]
) -> None:
    _taken(engine, project, seconds=10)
    later(9.99)
    assert _acquire(engine, project, owner="b") is None
    later(0.01)
    taken = _taken(engine, project, owner="b")
    assert (taken.owner, taken.epoch) == ("b", 2)


def test_renewal_moves_the_end(
    engine: Engine, project: Project, later: Callable[[float], None]
) -> None:
    lease = _taken(engine, project, seconds=10)
    later(9)
    with writing(engine) as session:
        assert renew(session, lease=lease, seconds=10)
    later(9)
    _require(engine, lease)
    assert _acquire(engine, project, owner="b") is None


def test_owner_fenced_after_takeover(
    engine: Engine, project: Project, later: Callable[[float], None]
) -> None:
    old = _taken(engine, project, seconds=10)
    later(11)
    new = _taken(engine, project, owner="b")
    with writing(engine) as session:
        assert not renew(session, lease=old, seconds=10)
        release(session, lease=old)
    with pytest.raises(LeaseLost, match="worker b does"):
        _require(engine, old)
    with pytest.raises(LeaseLost), writing(engine) as session:
        report_progress(session, lease=old, doing="ppo step 3 of 8")
    _require(engine, new)
    assert _row(engine, project).doing == "starting"


def test_fenced_transaction_writes_nothing(
    engine: Engine, project: Project, later: Callable[[float], None]
) -> None:
    old = _taken(engine, project, seconds=10)
    later(11)
    _taken(engine, project, owner="b")
    with pytest.raises(LeaseLost), writing(engine) as session:
        changed = session.get(Project, project.id)
        assert changed is not None
        changed.system_prompt = "written by a worker that lost its lease"
        session.add(changed)
        session.flush()
        require(session, lease=old)
    with reading(engine) as session:
        kept = session.get(Project, project.id)
        assert kept is not None
        assert kept.system_prompt == project.system_prompt


def test_expired_owner_may_not_write_but_may_renew(
    engine: Engine, project: Project, later: Callable[[float], None]
) -> None:
    lease = _taken(engine, project, seconds=10)
    later(10)
    with pytest.raises(LeaseLost, match="ran out"):
        _require(engine, lease)
    with writing(engine) as session:
        assert renew(session, lease=lease, seconds=10)
    _require(engine, lease)


def test_release_lets_the_next_in_with_a_higher_epoch(engine: Engine, project: Project) -> None:
    first = _taken(engine, project)
    with writing(engine) as session:
        release(session, lease=first)
    assert _taken(engine, project, owner="b").epoch == 2
    with pytest.raises(LeaseLost):
        _require(engine, first)


def test_progress_is_stored_with_its_time(
    engine: Engine, project: Project, later: Callable[[float], None]
) -> None:
    lease = _taken(engine, project)
    before = _row(engine, project).progress_at
    later(5)
    with writing(engine) as session:
        report_progress(session, lease=lease, doing="reward model, step 3 of 40")
    row = _row(engine, project)
    assert row.doing == "reward model, step 3 of 40"
    assert (row.progress_at - before).total_seconds() == pytest.approx(5, abs=0.001)
    assert row.heartbeat_at < row.progress_at


def test_require_without_a_lease_row(engine: Engine, project: Project) -> None:
    with pytest.raises(LeaseLost, match="nobody"):
        _require(engine, Lease(project_id=project.id or 0, owner="a", epoch=1))


def _race(url: str, project_id: int, owner: str, rounds: int, start: object, out: object) -> None:
    """Fight for the lease `rounds` times, giving it back after each win; report the epochs won."""
    engine = build_engine(url)
    start.wait()  # type: ignore[attr-defined]
    won: list[int] = []
    while len(won) < rounds:
        with writing(engine) as session:
            lease = acquire(
                session,
                project_id=project_id,
                owner=owner,
                seconds=60,
                host="",
                pid=os.getpid(),
                device="cpu",
            )
        if lease is None:
            continue
        won.append(lease.epoch)
        with writing(engine) as session:
            require(session, lease=lease)
            release(session, lease=lease)
    out.put(won)  # type: ignore[attr-defined]


def test_three_processes_never_win_the_same_epoch(engine: Engine, project: Project) -> None:
    context = forked()
    start, out = context.Event(), context.Queue()
    url = engine.url.render_as_string(hide_password=False)
    racers = [
        context.Process(target=_race, args=(url, project.id, f"racer-{n}", 5, start, out))
        for n in range(3)
    ]
    for racer in racers:
        racer.start()
    start.set()
    won = [epoch for _ in racers for epoch in out.get(timeout=60)]
    for racer in racers:
        racer.join(timeout=30)
        assert racer.exitcode == 0
    assert sorted(won) == list(range(1, 16))
