"""When a round is due, who may ask for one, and what the Rounds page and the CLI are told."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.rounds import (
    add_round,
    current_round,
    judgments_until_round,
    request_round,
    round_curves,
    round_due,
    round_summaries,
)
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import Conflict, NotAllowed
from storage.tables import (
    Account,
    AccountKind,
    Event,
    Judgment,
    Policy,
    PolicyStatus,
    Project,
    Role,
    Round,
    RoundPoint,
    RoundState,
    Snapshot,
)
from tests.sample_rows import add_account, add_judgments, add_policy


@pytest.fixture
def policy(engine: Engine, project: Project) -> Policy:
    return add_policy(engine, project)


@pytest.fixture
def annotator(engine: Engine) -> Account:
    return add_account(engine)


def _due(engine: Engine, project: Project, wanted: int = 5, hours: float = 24.0) -> str | None:
    with reading(engine) as session:
        return round_due(
            session, project_id=project.id or 0, judgments_per_round=wanted, round_hours=hours
        )


def _until(engine: Engine, project: Project, wanted: int = 5) -> int:
    with reading(engine) as session:
        return judgments_until_round(
            session, project_id=project.id or 0, judgments_per_round=wanted
        )


def _request(engine: Engine, project: Project, account: Account) -> Round:
    with writing(engine) as session:
        return request_round(session, project_id=project.id or 0, account=account)


def _add(engine: Engine, project: Project, number: int, **values: Any) -> Round:
    with writing(engine) as session:
        one = Round(project_id=project.id or 0, number=number, **values)
        session.add(one)
    return one


def _add_snapshot(engine: Engine, project: Project, **manifest: Any) -> Snapshot:
    with writing(engine) as session:
        snapshot = Snapshot(
            project_id=project.id or 0,
            uri="snapshots/1",
            rows_sha256="0" * 64,
            manifest=manifest,
        )
        session.add(snapshot)
    return snapshot


def test_due_by_number(
    engine: Engine, project: Project, policy: Policy, annotator: Account
) -> None:
    add_judgments(engine, project, policy, annotator, count=4)
    assert _due(engine, project) is None
    assert _until(engine, project) == 1
    add_judgments(engine, project, policy, annotator, count=1)
    assert _due(engine, project) == "5 new judgments"
    assert _until(engine, project) == 0


def test_due_by_hours(engine: Engine, project: Project, policy: Policy, annotator: Account) -> None:
    assert _due(engine, project, hours=0.001) is None
    add_judgments(engine, project, policy, annotator, count=1, at=now() - timedelta(hours=25))
    assert _due(engine, project, hours=24) == "1 new judgment, the oldest 24 hours old"
    assert _due(engine, project, hours=26) is None
    assert _due(engine, project, hours=0) is None


def test_only_what_training_reads_counts(
    engine: Engine, project: Project, policy: Policy, annotator: Account
) -> None:
    model = add_account(engine, "judge", kind=AccountKind.MODEL)
    gone = add_account(engine, "gone", active=False)
    simulated = add_account(engine, "sim-1", kind=AccountKind.SIMULATED)
    add_judgments(engine, project, policy, model, count=5)
    add_judgments(engine, project, policy, gone, count=5)
    assert _until(engine, project) == 5
    add_judgments(engine, project, policy, simulated, count=1)
    assert _until(engine, project) == 4


def test_a_correction_counts_once(
    engine: Engine, project: Project, policy: Policy, annotator: Account
) -> None:
    first = add_judgments(engine, project, policy, annotator, count=2)[0]
    with writing(engine) as session:
        session.add(
            Judgment(
                **first.model_dump(exclude={"id", "nonce", "ranks", "supersedes_id"}),
                nonce="correction",
                ranks=[4, 3, 2, 1],
                supersedes_id=first.id,
            )
        )
    assert _until(engine, project) == 3


def test_judgments_of_another_project_do_not_count(
    engine: Engine, project: Project, annotator: Account
) -> None:
    with writing(engine) as session:
        other = Project(name="other")
        session.add(other)
    add_judgments(engine, other, add_policy(engine, other), annotator, count=5)
    assert _due(engine, project) is None
    assert _due(engine, other) is not None


def test_new_counts_from_the_last_snapshot(
    engine: Engine, project: Project, policy: Policy, annotator: Account
) -> None:
    one = _add(engine, project, 1, state=RoundState.DONE)
    add_judgments(engine, project, policy, annotator, count=3)
    snapshot = _add_snapshot(engine, project)
    add_judgments(engine, project, policy, annotator, count=2)
    assert _until(engine, project) == 0
    with writing(engine) as session:
        one.snapshot_id = snapshot.id
        session.add(one)
    assert _until(engine, project) == 3


def test_a_failed_round_is_not_tried_again_on_the_same_judgments(
    engine: Engine, project: Project, policy: Policy, annotator: Account
) -> None:
    add_judgments(engine, project, policy, annotator, count=5)
    _add(engine, project, 1, state=RoundState.FAILED)
    assert _due(engine, project) is None
    add_judgments(engine, project, policy, annotator, count=5)
    assert _due(engine, project) == "5 new judgments"


def test_nothing_is_due_while_a_round_runs(
    engine: Engine, project: Project, policy: Policy, annotator: Account
) -> None:
    running = _add(engine, project, 1, state=RoundState.PPO)
    add_judgments(engine, project, policy, annotator, count=5)
    assert _due(engine, project) is None
    with reading(engine) as session:
        found = current_round(session, project_id=project.id or 0)
    assert found is not None
    assert found.id == running.id


def test_a_lead_requests_a_round(
    engine: Engine, project: Project, policy: Policy, annotator: Account
) -> None:
    lead = add_account(engine, "lea", role=Role.LEAD)
    add_judgments(engine, project, policy, annotator, count=2)
    asked = _request(engine, project, lead)
    assert (asked.number, asked.state, asked.reason) == (1, "queued", "requested by lea")
    assert asked.judgments == 2
    with reading(engine) as session:
        event = session.exec(select(Event)).one()
    assert (event.kind, event.account_id, event.detail) == (
        "round.requested",
        lead.id,
        {"round": 1},
    )


def test_an_annotator_may_not_request_a_round(
    engine: Engine, project: Project, policy: Policy, annotator: Account
) -> None:
    add_judgments(engine, project, policy, annotator, count=1)
    with pytest.raises(NotAllowed):
        _request(engine, project, annotator)
    with reading(engine) as session:
        assert current_round(session, project_id=project.id or 0) is None


def test_a_request_needs_judgments(engine: Engine, project: Project) -> None:
    lead = add_account(engine, "lea", role=Role.LEAD)
    with pytest.raises(Conflict, match="no judgment"):
        _request(engine, project, lead)


def test_a_second_request_is_refused(
    engine: Engine, project: Project, policy: Policy, annotator: Account
) -> None:
    lead = add_account(engine, "lea", role=Role.LEAD)
    add_judgments(engine, project, policy, annotator, count=1)
    _request(engine, project, lead)
    with pytest.raises(Conflict, match="Round 1 has not ended yet"):
        _request(engine, project, lead)


def test_two_transactions_cannot_both_add_a_round(
    postgres_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(postgres_engine) as session:
        raced = Project(name="raced")
        session.add(raced)
    with writing(postgres_engine) as late:
        # The late one has looked before the early one committed.
        monkeypatch.setattr("labeling.rounds.latest_round", lambda *_, **__: None)
        with writing(postgres_engine) as early:
            add_round(early, project_id=raced.id or 0, reason="5 new judgments")
        with pytest.raises(Conflict, match="at this moment"):
            add_round(late, project_id=raced.id or 0, reason="5 new judgments")
        late.rollback()
    with reading(postgres_engine) as session:
        assert len(session.exec(select(Round)).all()) == 1


def test_summaries_tell_what_was_published(engine: Engine, project: Project) -> None:
    base = add_policy(engine, project, version=1, status=PolicyStatus.RETIRED)
    start = now() - timedelta(minutes=10)
    published = _add(
        engine,
        project,
        1,
        state=RoundState.DONE,
        judgments=50,
        base_policy_id=base.id,
        metrics={"reward_accuracy": 0.7},
        started_at=start,
        finished_at=start + timedelta(seconds=90),
    )
    live = add_policy(engine, project, version=2, round_id=published.id)
    refused = _add(engine, project, 2, state=RoundState.REJECTED, base_policy_id=live.id)
    add_policy(engine, project, version=3, status=PolicyStatus.REJECTED, round_id=refused.id)
    _add(engine, project, 3, state=RoundState.QUEUED)
    with reading(engine) as session:
        rows = round_summaries(session, project_id=project.id or 0)
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert [row["policy_version"] for row in rows] == [2, None, None]
    assert [row["base_policy_version"] for row in rows] == [1, 2, None]
    assert [row["seconds"] for row in rows] == [90.0, None, None]
    assert rows[0]["metrics"] == {"reward_accuracy": 0.7}
    assert json.loads(json.dumps(rows)) == rows


def test_seconds_of_a_running_round_go_up_to_now(engine: Engine, project: Project) -> None:
    _add(engine, project, 1, state=RoundState.PPO, started_at=now() - timedelta(seconds=60))
    with reading(engine) as session:
        seconds = round_summaries(session, project_id=project.id or 0)[0]["seconds"]
    assert 60 <= seconds < 120


def test_curves_are_long_and_in_the_order_of_the_states(engine: Engine, project: Project) -> None:
    one = _add(engine, project, 1, state=RoundState.PPO)
    with writing(engine) as session:
        for state, step, metrics in (
            (RoundState.PPO, 0, {"objective/kl": 0.5, "note": "warm", "stopped": True}),
            (RoundState.REWARD, 1, {"loss": 0.6}),
            (RoundState.REWARD, 0, {"loss": 0.7}),
        ):
            session.add(
                RoundPoint(
                    round_id=one.id or 0, state=state, step_index=step, steps=2, metrics=metrics
                )
            )
    with reading(engine) as session:
        frame = round_curves(session, round_id=one.id or 0)
        empty = round_curves(session, round_id=-1)
    assert frame.to_dict("split")["data"] == [
        ["reward", 0, 2, "loss", 0.7],
        ["reward", 1, 2, "loss", 0.6],
        ["ppo", 0, 2, "objective/kl", 0.5],
    ]
    assert list(empty.columns) == list(frame.columns)
    assert empty.empty


def test_judgments_of_a_clock_that_was_set_back_are_new_once(
    engine: Engine, project: Project, policy: Policy, annotator: Account
) -> None:
    seen = add_judgments(engine, project, policy, annotator, count=5)
    snapshot = _add_snapshot(engine, project, newest_judgment=seen[-1].id)
    _add(engine, project, 1, state=RoundState.DONE, snapshot_id=snapshot.id)
    assert _until(engine, project) == 5
    add_judgments(engine, project, policy, annotator, count=4, at=now() - timedelta(hours=3))
    assert _until(engine, project) == 1
    add_judgments(engine, project, policy, annotator, count=1, at=now() - timedelta(hours=3))
    assert _due(engine, project) == "5 new judgments"
