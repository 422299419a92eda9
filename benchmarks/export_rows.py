"""A project with many judged tasks, written past the queue: what an export is measured on."""

import random
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Engine, Table

from storage.clock import now
from storage.engine import writing
from storage.tables import (
    Account,
    Assignment,
    Completion,
    Judgment,
    Policy,
    PolicyStatus,
    Project,
    Prompt,
    Role,
    Split,
    Task,
    TaskCompletion,
)

PROJECT = "export-benchmark"
COMPLETIONS = 4
PAIRS = COMPLETIONS * (COMPLETIONS - 1) // 2
_ANNOTATORS = 20
_WORDS_OF_PROMPT, _WORDS_OF_COMPLETION = 20, 60
_AT_ONCE = 5000
_WORDS = ("the", "of", "and", "rank", "answer", "prompt", "people", "better", "worse", "because")


def fill(engine: Engine, tasks: int, seed: int = 0) -> None:
    """Write `tasks` tasks of four completions, each ranked once without ties."""
    with writing(engine) as session:
        project = Project(name=PROJECT, completions_per_task=COMPLETIONS)
        session.add(project)
        session.flush()
        session.add(Policy(project_id=project.id or 0, version=1, status=PolicyStatus.LIVE))
        session.add_all(
            Account(name=f"export-{number}", role=Role.ANNOTATOR) for number in range(_ANNOTATORS)
        )
    chance = random.Random(seed)
    for start in range(1, tasks + 1, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, tasks + 1))
        with engine.connect().execution_options(rankloop_write=True) as connection:
            _insert(connection, numbers, chance)
            connection.commit()


def _insert(connection: Connection, numbers: range, chance: random.Random) -> None:
    at = now() - timedelta(days=1)
    for table, rows in (
        (Prompt, (_prompt(number, chance) for number in numbers)),
        (Completion, (row for number in numbers for row in _completions(number, chance))),
        (Task, (_task(number) for number in numbers)),
        (TaskCompletion, (row for number in numbers for row in _places(number))),
        (Assignment, (_assignment(number, at) for number in numbers)),
        (Judgment, (_judgment(number, at, chance) for number in numbers)),
    ):
        described: Table = table.__table__  # type: ignore[attr-defined]
        connection.execute(described.insert(), list(rows))


def _text(words: int, chance: random.Random) -> str:
    return " ".join(chance.choices(_WORDS, k=words))


def _prompt(number: int, chance: random.Random) -> dict[str, Any]:
    content = f"{number}: {_text(_WORDS_OF_PROMPT, chance)}?"
    return {
        "id": number,
        "project_id": 1,
        "messages": [{"role": "user", "content": content}],
        "content_sha256": sha256(content.encode()).hexdigest(),
        "source": "made for a benchmark",
        "license": "CC0-1.0",
        "split": Split.HELDOUT if number % 10 == 0 else Split.TRAIN,
        "tags": [],
        "language": "en",
    }


def _completions(number: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    for place in range(COMPLETIONS):
        yield {
            "id": COMPLETIONS * (number - 1) + place + 1,
            "prompt_id": number,
            "policy_id": 1,
            "text": _text(_WORDS_OF_COMPLETION, chance),
            "sampling": {},
            "token_count": _WORDS_OF_COMPLETION,
        }


def _task(number: int) -> dict[str, Any]:
    return {"id": number, "project_id": 1, "prompt_id": number, "policy_id": 1, "status": "done"}


def _places(number: int) -> Iterator[dict[str, Any]]:
    for place in range(COMPLETIONS):
        completion_id = COMPLETIONS * (number - 1) + place + 1
        yield {"task_id": number, "position": place, "completion_id": completion_id}


def _assignment(number: int, at: Any) -> dict[str, Any]:
    return {
        "id": number,
        "task_id": number,
        "annotator_id": 1 + number % _ANNOTATORS,
        "state": "submitted",
        "expires_at": at,
        "order_seed": number,
        "display_order": list(range(COMPLETIONS)),
    }


def _judgment(number: int, at: Any, chance: random.Random) -> dict[str, Any]:
    ranks = chance.sample(range(1, COMPLETIONS + 1), COMPLETIONS)
    return {
        "id": number,
        "project_id": 1,
        "task_id": number,
        "assignment_id": number,
        "annotator_id": 1 + number % _ANNOTATORS,
        "ranks": ranks,
        "likert": {},
        "checks": {},
        "flags": [],
        "marks": [],
        "milliseconds": 9000,
        "display_order": list(range(COMPLETIONS)),
        "nonce": f"export-{number}",
        "created_at": at,
    }
