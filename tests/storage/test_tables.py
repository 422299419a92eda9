"""The rules that the tables themselves hold, on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from storage.engine import reading, writing
from storage.tables import Account, Event, Policy, PolicyStatus, Project, Role, Round, RoundState


def _policy(project: Project, version: int, status: PolicyStatus) -> Policy:
    assert project.id is not None
    return Policy(project_id=project.id, version=version, status=status)


def test_a_project_has_one_live_policy(engine: Engine, project: Project) -> None:
    with writing(engine) as session:
        session.add(_policy(project, 1, PolicyStatus.LIVE))
        session.add(_policy(project, 2, PolicyStatus.CANDIDATE))
        session.add(_policy(project, 3, PolicyStatus.RETIRED))
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.add(_policy(project, 4, PolicyStatus.LIVE))


def test_a_project_has_one_round_that_has_not_ended(engine: Engine, project: Project) -> None:
    assert project.id is not None
    with writing(engine) as session:
        session.add(Round(project_id=project.id, number=1, state=RoundState.DONE))
        session.add(Round(project_id=project.id, number=2, state=RoundState.FAILED))
        session.add(Round(project_id=project.id, number=3, state=RoundState.PPO))
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.add(Round(project_id=project.id, number=4, state=RoundState.QUEUED))


def test_times_come_back_in_utc(engine: Engine) -> None:
    two_hours_ahead = datetime(2026, 7, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    with writing(engine) as session:
        event = Event(kind="noon", created_at=two_hours_ahead)
        session.add(event)
        session.flush()
        key = event.id
    with reading(engine) as session:
        stored = session.get(Event, key)
        assert stored is not None
        assert stored.created_at == datetime(2026, 7, 1, 10, 30, tzinfo=UTC)
        assert stored.created_at.tzinfo == UTC


def test_a_naive_time_is_refused(engine: Engine) -> None:
    with pytest.raises(StatementError, match="naive"), writing(engine) as session:
        session.add(Event(kind="noon", created_at=datetime(2026, 7, 1)))


def test_an_unknown_role_is_refused_by_the_database(engine: Engine) -> None:
    with pytest.raises(DBAPIError), writing(engine) as session:
        session.connection().exec_driver_sql(
            "INSERT INTO account (name, role, kind, active, created_at) "
            "VALUES ('eve', 'owner', 'person', true, '2026-01-01 00:00:00')"
        )


def test_a_row_cannot_point_at_nothing(engine: Engine) -> None:
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.add(Policy(project_id=999, version=1))


def test_account_names_are_unique(engine: Engine) -> None:
    with writing(engine) as session:
        session.add(Account(name="ada", role=Role.ADMIN))
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.add(Account(name="ada", role=Role.ANNOTATOR))
