"""Whatever figures are made of changes the fingerprint, in place too; nothing else does."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, Insert, Update, insert, update
from sqlmodel import Session, col, select

from labeling.review.adjudication import discard, restore
from labeling.statistics.data_fingerprint import data_fingerprint
from labeling.withdrawals.scope import Scope
from labeling.withdrawals.withdrawing import revert, withdraw
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import (
    Account,
    Assignment,
    AssignmentState,
    Judgment,
    Project,
    Role,
    Task,
    TaskStatus,
)
from storage.tables import KnownAnswer as Answer
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project, overlap=3)
    stage.account("lena", Role.LEAD)
    for text in ("s", "t"):
        stage.add_task(text, k=2)
        stage.judge("ann", [1, 2])
    return stage


def fingerprint(stage: Stage) -> str:
    with reading(stage.engine) as session:
        return data_fingerprint(session, project_id=stage.project_id)


def test_judgments_and_what_becomes_of_them_change_it(stage: Stage) -> None:
    seen = [fingerprint(stage)]
    by, ann = stage.accounts["lena"], stage.account("ann")

    def deed(do: Callable[[Session], object]) -> None:
        with writing(stage.engine) as session:
            do(session)
        seen.append(fingerprint(stage))

    def project(session: Session) -> Project:
        return session.get_one(Project, stage.project_id)

    with reading(stage.engine) as session:
        judgment_id = session.connection().exec_driver_sql("SELECT max(id) FROM judgment").scalar()
    assert isinstance(judgment_id, int)
    stage.judge("bob", [2, 1])
    seen.append(fingerprint(stage))
    deed(lambda rows: discard(rows, judgment_id=judgment_id, by=by, nonce="d", reason="spam"))
    deed(lambda rows: restore(rows, judgment_id=judgment_id, by=by, nonce="r"))
    scope = Scope(annotator_id=ann)
    deed(lambda rows: withdraw(rows, project=project(rows), by=None, scope=scope, reason="bot"))
    deed(lambda rows: revert(rows, project=project(rows), by=None, withdrawal_id=1, reason="no"))
    assert len(set(seen)) == 6


def test_what_is_changed_in_place_changes_it_and_nothing_else_does(stage: Stage) -> None:
    changes: list[Update | Insert] = [
        insert(Answer).values(task_id=1, ranks=[1, 2]),
        update(Answer).values(ranks=[2, 1]),
        update(Judgment).values(ranks=[1, 1]),
        update(Judgment).values(milliseconds=7),
        update(Judgment).values(likert={"truthful": [1, 2]}),
        # As after a restore: as many judgments, with the same ids, from another moment.
        update(Judgment).where(col(Judgment.id) == 1).values(created_at=now()),
        update(Account).where(col(Account.name) == "ann").values(name="erased-1"),
        update(Account).where(col(Account.name) == "erased-1").values(active=False),
        update(Assignment).values(state=AssignmentState.SKIPPED),
        update(Assignment).values(state=AssignmentState.FLAGGED),
        update(Task).values(status=TaskStatus.REVIEW),
        update(Project).values(labeling={"cost": {"hourly_rate": 5.0}}),
    ]
    seen = [fingerprint(stage)]
    for change in changes:
        with writing(stage.engine) as session:
            session.connection().execute(change)
        seen.append(fingerprint(stage))
    assert len(set(seen)) == len(changes) + 1
    with writing(stage.engine) as session:
        session.connection().execute(update(Account).values(password_hash="x"))
    assert fingerprint(stage) == seen[-1]


def test_who_is_in_the_figures_changes_it_and_who_only_looks_at_them_does_not(
    stage: Stage,
) -> None:
    seen = [fingerprint(stage)]
    stage.account("lea", Role.LEAD)
    stage.account("ada", Role.ADMIN)
    assert fingerprint(stage) == seen[-1]
    stage.account("nobody's judgments yet", Role.ANNOTATOR)
    seen.append(fingerprint(stage))
    roles = {str(stage.project_id): Role.ANNOTATOR.value}
    for values in ({"project_roles": roles}, {"name": "erased-9"}, {"active": False}):
        with writing(stage.engine) as session:
            lea = session.exec(select(Account).where(Account.name.in_(["lea", "erased-9"]))).one()
            for name, value in values.items():
                setattr(lea, name, value)
        seen.append(fingerprint(stage))
    assert len(set(seen)) == len(seen)


def test_a_lead_who_judged_is_in_the_figures(stage: Stage) -> None:
    stage.add_task("u", k=2)
    before = fingerprint(stage)
    stage.judge("lena", [1, 2])
    judged = fingerprint(stage)
    with writing(stage.engine) as session:
        session.get_one(Account, stage.account("lena")).name = "erased-1"
    assert len({before, judged, fingerprint(stage)}) == 3
