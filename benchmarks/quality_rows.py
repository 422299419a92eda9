"""A project with many judgments that disagree as people do, written into SQLite in bulk.

Each completion has a quality, each annotator a skill; a judgment orders the qualities plus noise,
and completions that come close are tied. There are twelve policy versions over thirty weeks, four
versions of the guidelines, tags, languages and one criterion of each kind.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, insert

from labeling.labeling_settings import change_labeling
from storage.engine import writing
from storage.tables import (
    Account,
    Assignment,
    AssignmentState,
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
    TaskStatus,
)

K = 4
OVERLAP = 3
WEEKS = 30
VERSIONS = 12
TAGS = ("code", "writing", "facts", "advice", "mathematics", "talk", "summary", "translation")
LANGUAGES = ("en", "de", "fr", "es", "hi", "")
_FIRST = datetime(2026, 1, 5, 8, tzinfo=UTC)
_AT_ONCE = 50_000

#: The newest judgments once more, as corrections that supersede them; its parameter is how many.
COPIES = """
INSERT INTO judgment (project_id, task_id, assignment_id, annotator_id, ranks, likert, checks,
  flags, rationale, milliseconds, marks, guideline_version, display_order, nonce, supersedes_id,
  created_at)
SELECT project_id, task_id, assignment_id, annotator_id, ranks, likert, checks, flags, rationale,
  milliseconds, marks, guideline_version, display_order, nonce || '+', id, created_at
FROM judgment ORDER BY id DESC LIMIT ?
"""


@dataclass(frozen=True)
class Size:
    """How many judgments, by how many; a third of the judgments is the number of tasks."""

    judgments: int = 100_000
    annotators: int = 40

    @property
    def tasks(self) -> int:
        """Return the number of tasks."""
        return self.judgments // OVERLAP


def fill(engine: Engine, size: Size, *, seed: int = 1) -> None:
    """Write the rows into a SQLite database that has the tables and nothing else."""
    random = np.random.default_rng(seed)
    with writing(engine) as session:
        project = Project(name="default", completions_per_task=K, overlap=OVERLAP)
        session.add(project)
        session.flush()
        criteria = [{"name": "truthful"}, {"name": "safe", "kind": "check"}]
        change_labeling(
            session, project=project, by=None, section="page", values={"criteria": criteria}
        )
        for number in range(size.annotators):
            session.add(Account(name=f"annotator-{number + 1}", role=Role.ANNOTATOR))
        session.add(Account(name="lead", role=Role.LEAD))
        for version in range(1, VERSIONS + 1):
            status = PolicyStatus.LIVE if version == VERSIONS else PolicyStatus.RETIRED
            session.add(Policy(project_id=1, version=version, status=status))
        session.flush()
        connection = session.connection()
        _fill_tasks(connection, size, random)
        _fill_judgments(connection, size, random)


def _fill_tasks(connection: Connection, size: Size, random: np.random.Generator) -> None:
    tags = random.integers(0, len(TAGS), (size.tasks, 2))
    languages = random.choice(len(LANGUAGES), size.tasks, p=[0.5, 0.15, 0.1, 0.1, 0.05, 0.1])
    version = _versions(size.tasks)
    _write(
        connection,
        Prompt,
        (
            {
                "id": task + 1,
                "project_id": 1,
                "messages": [{"role": "user", "content": f"What of question {task}?"}],
                "content_sha256": f"{task:064d}",
                "split": Split.TRAIN,
                "tags": sorted({TAGS[tag] for tag in tags[task]}),
                "language": LANGUAGES[languages[task]],
                "created_at": _FIRST,
            }
            for task in range(size.tasks)
        ),
    )
    _write(
        connection,
        Completion,
        (
            {
                "id": task * K + place + 1,
                "prompt_id": task + 1,
                "policy_id": int(version[task]),
                "text": f"Answer {place} to question {task}." + " And so on." * (task % 7 + place),
                "created_at": _FIRST,
            }
            for task in range(size.tasks)
            for place in range(K)
        ),
    )
    _write(
        connection,
        Task,
        (
            {
                "id": task + 1,
                "project_id": 1,
                "prompt_id": task + 1,
                "policy_id": int(version[task]),
                "overlap": OVERLAP,
                "status": TaskStatus.DONE,
                "judged": OVERLAP,
                "created_at": _FIRST,
            }
            for task in range(size.tasks)
        ),
    )
    _write(
        connection,
        TaskCompletion,
        (
            {"task_id": task + 1, "position": place, "completion_id": task * K + place + 1}
            for task in range(size.tasks)
            for place in range(K)
        ),
    )


def _versions(tasks: int) -> Any:
    return 1 + np.arange(tasks) * VERSIONS // tasks


def _fill_judgments(connection: Connection, size: Size, random: np.random.Generator) -> None:
    numbers = count(1)
    skill = random.uniform(0.3, 2.5, size.annotators)
    step = timedelta(weeks=WEEKS) / size.judgments
    at_once = _AT_ONCE // OVERLAP
    for first in range(0, size.tasks, at_once):
        tasks = range(first, min(first + at_once, size.tasks))
        quality = np.repeat(random.normal(0, 1, (len(tasks), K)), OVERLAP, axis=0)
        judges = random.random((len(tasks), size.annotators)).argsort(axis=1)[:, :OVERLAP].ravel()
        seen = quality + random.normal(0, 1, quality.shape) / skill[judges, None]
        ranks = _ranks(seen)
        orders = random.random(seen.shape).argsort(axis=1)
        likert = np.clip(np.round(4 + 1.3 * seen), 1, 7).astype(int)
        milliseconds = random.lognormal(10.5, 0.6, len(judges)).astype(int)
        judgments = []
        for row, number in zip(range(len(judges)), numbers, strict=False):
            judgments.append(
                {
                    "id": number,
                    "project_id": 1,
                    "task_id": tasks[row // OVERLAP] + 1,
                    "assignment_id": number,
                    "annotator_id": int(judges[row]) + 1,
                    "ranks": ranks[row].tolist(),
                    "likert": {"truthful": likert[row].tolist()},
                    "checks": {"safe": (likert[row] > 1).tolist()},
                    "milliseconds": int(milliseconds[row]),
                    "guideline_version": 1 + 4 * number // (size.judgments + 1),
                    "display_order": orders[row].tolist(),
                    "nonce": f"n{number}",
                    "created_at": _FIRST + number * step,
                }
            )
        _write_judgments(connection, judgments)


def _write_judgments(connection: Connection, judgments: list[dict[str, Any]]) -> None:
    assignments = [
        {
            "id": one["id"],
            "task_id": one["task_id"],
            "annotator_id": one["annotator_id"],
            "state": AssignmentState.SUBMITTED,
            "leased_at": one["created_at"],
            "expires_at": one["created_at"],
            "order_seed": 0,
            "display_order": one["display_order"],
        }
        for one in judgments
    ]
    _write(connection, Assignment, assignments)
    _write(connection, Judgment, judgments)


def _ranks(seen: np.ndarray) -> np.ndarray:
    """Return dense ranks (1, 2, 2, 3) of the rounded qualities: what comes close is tied."""
    rounded = np.round(seen * 2.5)
    falling = -np.sort(-rounded, axis=1)
    new = np.diff(falling, axis=1, prepend=np.inf) < 0
    place = (rounded[:, :, None] == falling[:, None, :]).argmax(axis=2)
    return np.take_along_axis(new.cumsum(axis=1), place, axis=1)


def _write(connection: Connection, table: Any, rows: Any) -> None:
    left = iter(rows)
    while some := list(islice(left, _AT_ONCE)):
        connection.execute(insert(table), some)
