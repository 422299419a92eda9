"""What an annotator is shown: texts in display order, and nothing of where they are from."""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from sqlalchemy import Engine, Text, bindparam, cast, literal, select
from sqlmodel import Session

from labeling.keys import key_of
from labeling.words import count_words
from storage.core import execute_core, table_of
from storage.tables import Assignment, Completion, Prompt, Task, TaskCompletion


@dataclass(frozen=True)
class AssignedTask:
    """Hold what an annotator is shown: texts in display order, and nothing of where they are from.

    `display_order[j]` is the task position shown in place j. `ranks`, in task position order, is
    set where an own judgment was reopened, `draft` where they have begun and not sent it.
    """

    assignment_id: int
    task_id: int
    messages: list[dict[str, str]]
    completions: list[str]
    display_order: list[int]
    expires_at: datetime
    ranks: list[int] | None = None
    draft: dict[str, Any] | None = None


def shown_to(
    session: Session, assignment: Assignment, ranks: list[int] | None = None
) -> AssignedTask:
    """Return what the assignment's annotator is shown."""
    messages, texts = texts_of(session, task_id=assignment.task_id)
    _keep_words(session, assignment.task_id, messages, texts)
    return AssignedTask(
        assignment_id=key_of(assignment),
        task_id=assignment.task_id,
        messages=messages,
        completions=[texts[position] for position in assignment.display_order],
        display_order=list(assignment.display_order),
        expires_at=assignment.expires_at,
        ranks=ranks,
        draft=dict(assignment.draft) if assignment.draft is not None else None,
    )


def texts_of(session: Session, *, task_id: int) -> tuple[list[dict[str, str]], list[str]]:
    """Return the messages of a task's prompt, and its completions in position order."""
    found = execute_core(session, _texts_statement(), task_id=task_id)
    texts = [str(row.text) for row in found]
    return json.loads(texts[0]), texts[1:]


def words_of(session: Session, *, task_id: int) -> int:
    """Return how many words there are to read in a task's prompt and completions."""
    found = _words_known(session).get(task_id)
    if found is None:
        found = _keep_words(session, task_id, *texts_of(session, task_id=task_id))
    return found


# Texts of a task never change, and who submits one was shown it: nearly always by this process.
_words: WeakKeyDictionary[Engine, dict[int, int]] = WeakKeyDictionary()
_MOST_KEPT = 50_000


def _words_known(session: Session) -> dict[int, int]:
    return _words.setdefault(session.get_bind().engine, {})


def _keep_words(
    session: Session, task_id: int, messages: list[dict[str, str]], texts: list[str]
) -> int:
    prompt = "\n".join(message["content"] for message in messages)
    words = sum(map(count_words, [prompt, *texts]))
    known = _words_known(session)
    if len(known) >= _MOST_KEPT:
        known.clear()
    known[task_id] = words
    return words


@cache
def _texts_statement() -> Any:
    """Return the question for the prompt's messages, as JSON, and then the completions."""
    prompt, task = table_of(Prompt), table_of(Task)
    completion, shown = table_of(Completion), table_of(TaskCompletion)
    asked = (
        select(literal(-1).label("position"), cast(prompt.c.messages, Text).label("text"))
        .join(task, task.c.prompt_id == prompt.c.id)
        .where(task.c.id == bindparam("task_id"))
    )
    answered = (
        select(shown.c.position, completion.c.text)
        .join(completion, shown.c.completion_id == completion.c.id)
        .where(shown.c.task_id == bindparam("task_id"))
    )
    return asked.union_all(answered).order_by("position")


def display_order(seed: int, k: int) -> list[int]:
    """Return the order in which `k` completions are shown, drawn from the assignment's seed."""
    return [int(position) for position in np.random.default_rng(seed).permutation(k)]
