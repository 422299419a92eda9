"""A home in which everything that an annotator must not learn has a word or number of its own."""

import re
import shutil
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from sqlmodel import Session

from labeling.imports.prompts import content_sha256
from labeling.labeling_settings import change_labeling
from labeling.projects import create_project
from storage.clock import now
from storage.engine import build_engine, writing
from storage.settings import load_settings
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    AssignmentState,
    Completion,
    Judgment,
    KnownAnswer,
    Policy,
    PolicyStatus,
    Project,
    Prompt,
    Role,
    Round,
    RoundState,
    Split,
    Task,
    TaskCompletion,
    TaskKind,
)
from tests.ui.conftest import Home

# The first numbers of each table: no other number on the page looks like them.
PROMPTS, POLICIES, COMPLETIONS, TASKS, JUDGMENTS = 5510001, 4410001, 8810001, 6610001, 3310001
LETTERS = "abcdefghijkl"


def _number(digits: str) -> str:
    # Not within a name drawn by chance, which is in hexadecimal digits.
    return rf"(?<![0-9a-f]){digits}(?![0-9a-f])"


SECRETS: dict[str, str] = {
    "a prompt's number": _number(r"5510\d{3}"),
    "a policy's number": _number(r"4410\d{3}"),
    "a completion's number": _number(r"8810\d{3}"),
    "a task's number": _number(r"6610\d{3}"),
    "a judgment's number": _number(r"3310\d{3}"),
    "a policy's version": _number(r"77\d{2}0{3}"),
    "a policy's name or checkpoint": r"quokka",
    "sampling settings": r"0\.8124|wombat",
    "a sampling seed": _number(r"918273\d{3}"),
    "a token count": _number(r"6173\d"),
    "a finish reason": r"echidna",
    "a known answer": r"platypus",
    "another's name": r"bandicoot",
    "another's words": r"kookaburra",
    "a model's confidence": r"0\.91827",
    "a reward": r"0\.777123",
    "a task's kind as a value": r'"(?:ordinary|gold|qualification|repeat|arena)"',
    "a field that tells": r'"(?:kind|task_kind|task|task_id|policy|policy_id|policy_version|version'
    r"|completion_ids?|score|reward|seed|order_seed|display_order|sampling|finish_reason"
    r'|token_count|confidence|known|gold|selection|marks)"\s*:',
}


def found_in(frames: list[bytes]) -> dict[str, bytes]:
    """Return what of the secrets is in the frames, with the bytes around it."""
    found = {}
    for name, pattern in SECRETS.items():
        expression = re.compile(pattern.encode())
        for frame in frames:
            hit = expression.search(frame)
            if hit is not None:
                found[name] = frame[max(0, hit.start() - 60) : hit.end() + 60]
    return found


def make_secret_home(folder: Path, template: Path) -> Home:
    settings = load_settings(home=folder)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(template, folder / "rankloop.db")
    engine = build_engine(settings.url)
    with writing(engine) as session:
        project = create_project(session, name="default", settings=settings)
        project.overlap = 3
        # What is mixed into the queue is drawn from this time.
        project.created_at = datetime(2026, 1, 1, tzinfo=UTC)
        assert project.id is not None
        change_labeling(
            session, project=project, by=None, section="gold",
            values={"rate": 0.35, "repeat_rate": 0.35, "repeat_after": 1},
        )  # fmt: skip
        _fill(session, project)
        project_id = project.id
    return Home(settings, engine, project_id)


def _fill(session: Session, project: Project) -> None:
    old, live = (_policy(session, project, number) for number in (1, 2))
    other = Account(name="bandicoot", role=Role.ANNOTATOR)
    model = Account(name="bandicoot-model", role=Role.ANNOTATOR, kind=AccountKind.MODEL)
    session.add_all([other, model])
    session.flush()
    numbers = count()
    for _ in range(6):
        task = _task(session, project, next(numbers), [live.id] * 4, TaskKind.ORDINARY)
        _judged(session, task, other, counted=True)
        _judged(session, task, model, counted=False)
    for _ in range(2):
        arena = _task(session, project, next(numbers), [old.id, live.id], TaskKind.ARENA)
        arena.priority = 3
        gold = _task(session, project, next(numbers), [old.id] * 4, TaskKind.GOLD)
        gold.overlap = 1000
        session.add(
            KnownAnswer(task_id=gold.id or 0, ranks=[1, 2, 3, 4], explanation="platypus first")
        )


def _policy(session: Session, project: Project, number: int) -> Policy:
    status = PolicyStatus.LIVE if number == 2 else PolicyStatus.RETIRED
    session.add(
        Round(
            project_id=project.id or 0, number=number, state=RoundState.DONE,
            metrics={"objective/scores": 0.777123},
        )
    )  # fmt: skip
    policy = Policy(
        id=POLICIES + number, project_id=project.id or 0, version=7700000 + 10000 * number,
        name=f"quokka-{number}", checkpoint_uri=f"checkpoints/quokka-{number}", status=status,
        published_at=now(),
    )  # fmt: skip
    session.add(policy)
    session.flush()
    return policy


def _task(
    session: Session, project: Project, number: int, policies: list[Any], kind: TaskKind
) -> Task:
    messages = [{"role": "user", "content": f"Question {LETTERS[number]}?"}]
    prompt = Prompt(
        id=PROMPTS + number, project_id=project.id or 0, messages=messages, split=Split.TRAIN,
        content_sha256=content_sha256(messages), source="wombat",
    )  # fmt: skip
    task = Task(
        id=TASKS + number, project_id=project.id or 0, prompt_id=prompt.id or 0,
        policy_id=max(policies), overlap=3, kind=kind, selection="wombat",
    )  # fmt: skip
    session.add(prompt)
    session.flush()
    session.add(task)
    session.flush()
    for position, policy_id in enumerate(policies):
        completion = Completion(
            id=COMPLETIONS + 10 * number + position, prompt_id=prompt.id or 0, policy_id=policy_id,
            text=f"answer {'pqrs'[position]} to {LETTERS[number]}",
            sampling={"temperature": 0.8124, "hint": "wombat"}, seed=918273000 + position,
            finish_reason="echidna", token_count=61730 + position,
        )  # fmt: skip
        session.add(completion)
        session.flush()
        session.add(
            TaskCompletion(
                task_id=task.id or 0, position=position, completion_id=completion.id or 0
            )
        )
    session.flush()
    return task


def _judged(session: Session, task: Task, account: Account, *, counted: bool) -> None:
    assignment = Assignment(
        task_id=task.id or 0, annotator_id=account.id or 0, state=AssignmentState.SUBMITTED,
        expires_at=now(), order_seed=918273999, display_order=[3, 2, 1, 0], counted=counted,
    )  # fmt: skip
    session.add(assignment)
    session.flush()
    session.add(
        Judgment(
            id=JUDGMENTS + (assignment.id or 0), project_id=task.project_id, task_id=task.id or 0,
            assignment_id=assignment.id or 0, annotator_id=account.id or 0, ranks=[4, 3, 2, 1],
            display_order=[3, 2, 1, 0], nonce=f"kookaburra-{assignment.id}", flags=["kookaburra"],
            rationale="kookaburra", confidence=None if counted else 0.91827,
        )
    )  # fmt: skip
    task.judged += int(counted)
