"""Roll back: an older policy is live again as a new version."""

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.policies import live_policy, replace_live
from labeling.rollback import policy_summaries, roll_back
from storage.engine import reading, writing
from storage.errors import BadInput, NotAllowed, NotFound
from storage.tables import Account, Event, Policy, PolicyStatus, Project, Role
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    """Versions 1 and 2 were published, 2 is live, and 3 was rejected."""
    stage = set_stage(engine, project)
    stage.account("lena", Role.LEAD)
    stage.account("ann")
    with writing(engine) as session:
        replace_live(
            session,
            project_id=stage.project_id,
            parent=live_policy(session, project_id=stage.project_id),
            checkpoint_uri="checkpoints/two",
            round_id=None,
        )
        session.add(Policy(project_id=stage.project_id, version=3, status=PolicyStatus.REJECTED))
    return stage


def back(stage: Stage, version: int, by: str = "lena") -> Policy:
    with writing(stage.engine) as session:
        return roll_back(
            session, project_id=stage.project_id, version=version, by=stage.accounts[by]
        )


def test_the_older_policy_is_live_as_a_new_version(stage: Stage) -> None:
    first = stage.policy
    policy = back(stage, 1)
    assert (policy.version, policy.parent_id, policy.round_id) == (4, first.id, None)
    assert (policy.checkpoint_uri, policy.status) == (first.checkpoint_uri, PolicyStatus.LIVE)
    with reading(stage.engine) as session:
        assert live_policy(session, project_id=stage.project_id).version == 4
        found = {one["version"]: one for one in policy_summaries(session, project_id=1)}
        event = session.exec(select(Event).where(Event.kind == "policy.rolled_back")).one()
    assert [found[version]["status"] for version in (1, 2, 3, 4)] == [
        "retired", "retired", "rejected", "live",
    ]  # fmt: skip
    assert (found[2]["again"], found[4]["again"]) == (None, 1)
    assert event.account_id == stage.account("lena")
    assert event.detail == {"version": 4, "to_version": 1, "from_version": 2}


def test_and_forward_again(stage: Stage) -> None:
    back(stage, 1)
    assert back(stage, 2).checkpoint_uri == "checkpoints/two"


@pytest.mark.parametrize(
    ("version", "by", "error", "words"),
    [
        (2, "lena", BadInput, "is the live one"),
        (3, "lena", BadInput, "never published"),
        (9, "lena", NotFound, "no policy version 9"),
        (1, "ann", NotAllowed, "may not roll back"),
    ],
)
def test_what_cannot_be_rolled_back_to(
    stage: Stage, version: int, by: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        back(stage, version, by)
    with reading(stage.engine) as session:
        assert live_policy(session, project_id=stage.project_id).version == 2


def test_the_shell_may_roll_back(stage: Stage) -> None:
    with writing(stage.engine) as session:
        shell = Account(name="the server's shell", role=Role.ADMIN)
        assert roll_back(session, project_id=stage.project_id, version=1, by=shell).version == 4
