"""Rows that tests of rounds start from: a live policy, annotators, judgments at given times."""

from datetime import datetime
from uuid import uuid4

from sqlalchemy import Engine

from storage.clock import now
from storage.engine import writing
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    Judgment,
    Policy,
    PolicyStatus,
    Project,
    Prompt,
    Role,
    Split,
    Task,
)


def add_account(
    engine: Engine,
    name: str = "ann",
    *,
    role: Role = Role.ANNOTATOR,
    kind: AccountKind = AccountKind.PERSON,
    active: bool = True,
) -> Account:
    """Store an account."""
    with writing(engine) as session:
        account = Account(name=name, role=role, kind=kind, active=active)
        session.add(account)
    return account


def add_policy(
    engine: Engine,
    project: Project,
    *,
    version: int = 1,
    status: PolicyStatus = PolicyStatus.LIVE,
    round_id: int | None = None,
) -> Policy:
    """Store a policy of the project."""
    with writing(engine) as session:
        policy = Policy(
            project_id=project.id or 0, version=version, status=status, round_id=round_id
        )
        session.add(policy)
    return policy


def add_judgments(
    engine: Engine,
    project: Project,
    policy: Policy,
    annotator: Account,
    *,
    count: int,
    at: datetime | None = None,
) -> list[Judgment]:
    """Store `count` judgments, each of its own task and prompt, made at `at` (default: now)."""
    with writing(engine) as session:
        prompts = [
            Prompt(
                project_id=project.id or 0,
                messages=[{"role": "user", "content": "What is a prime?"}],
                content_sha256=uuid4().hex,
                split=Split.TRAIN,
            )
            for _ in range(count)
        ]
        session.add_all(prompts)
        session.flush()
        tasks = [
            Task(project_id=project.id or 0, prompt_id=prompt.id or 0, policy_id=policy.id or 0)
            for prompt in prompts
        ]
        session.add_all(tasks)
        session.flush()
        assignments = [
            Assignment(
                task_id=task.id or 0,
                annotator_id=annotator.id or 0,
                state=AssignmentState.SUBMITTED,
                expires_at=now(),
                order_seed=0,
                display_order=[0, 1, 2, 3],
            )
            for task in tasks
        ]
        session.add_all(assignments)
        session.flush()
        judgments = [
            Judgment(
                project_id=project.id or 0,
                task_id=assignment.task_id,
                assignment_id=assignment.id or 0,
                annotator_id=annotator.id or 0,
                ranks=[1, 2, 3, 4],
                display_order=[0, 1, 2, 3],
                nonce=uuid4().hex,
                created_at=at or now(),
            )
            for assignment in assignments
        ]
        session.add_all(judgments)
    return judgments
