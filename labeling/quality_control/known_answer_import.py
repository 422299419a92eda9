"""Import tasks with known answers: all of a file, or none."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from labeling.events import record
from labeling.imports.batches import batches
from labeling.imports.bulk_insert import insert_for_keys, insert_rows
from labeling.imports.one_at_a_time import wait_for_other_imports
from labeling.imports.prompt_files import NewPrompt
from labeling.imports.prompts import content_sha256, prompt_values
from labeling.imports.row_files import Progress
from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.policies import import_policy
from labeling.quality_control.known_answer_files import KnownAnswerFile, NewKnownAnswer
from labeling.quality_control.known_answers import record_known_answer
from labeling.work_queue.task_copies import WITHOUT_LIMIT
from storage.clock import now
from storage.core import table_of
from storage.tables import (
    Account,
    Completion,
    KnownAnswer,
    Policy,
    Project,
    Prompt,
    Task,
    TaskCompletion,
    TaskKind,
    TaskStatus,
)

_AT_ONCE = 500
_Content = tuple[int, TaskKind, tuple[str, ...]]


@dataclass(frozen=True)
class KnownAnswerImport:
    """Count what an import did: tasks added to each set, and those that were there already."""

    gold: int
    qualification: int
    duplicates: int


def import_known_answers(
    session: Session,
    *,
    project: Project,
    known: KnownAnswerFile,
    by: Account | None,
    heldout_share: float,
    kind: TaskKind = TaskKind.GOLD,
    progress: Progress = lambda what, share: None,
) -> KnownAnswerImport:
    """Add the tasks of a file that the project does not have yet; those of no set go to `kind`.

    Their prompts join the project's, each in the split of its hash. `by` asks (None: the person at
    the server's shell). `progress` is told what is done and the share of it (0 … 1). Raises
    `NotAllowed`. The session must be writing.
    """
    if by is not None:
        require(by, Action.CHANGE_LABELING, project_id=key_of(project))
    project_id = key_of(project)
    wait_for_other_imports(session, project_id=project_id)
    storing = _Storing(
        session=session,
        project_id=project_id,
        policy=import_policy(session, project_id=project_id),
        by_id=by.id if by else None,
        there=_contents(session, project_id),
    )
    read = 0
    for some in batches(known.tasks, _AT_ONCE):
        storing.add([(one, one.kind or kind) for one in some], heldout_share)
        read += len(some)
        progress("Storing", read / len(known.tasks))
    counts = storing.counts
    done = KnownAnswerImport(
        gold=counts[TaskKind.GOLD],
        qualification=counts[TaskKind.QUALIFICATION],
        duplicates=len(known.tasks) - counts.total(),
    )
    record(
        session,
        project_id=project.id,
        account_id=by.id if by else None,
        kind="known_answers.imported",
        file=known.name,
        gold=done.gold,
        qualification=done.qualification,
    )
    return done


@dataclass
class _Storing:
    """Stores tasks many at a time; `there` is what the project has already."""

    session: Session
    project_id: int
    policy: Policy
    by_id: int | None
    there: set[_Content]
    counts: Counter[TaskKind] = field(default_factory=Counter)

    def add(self, found: Sequence[tuple[NewKnownAnswer, TaskKind]], heldout_share: float) -> None:
        """Store those that are not there yet."""
        messages = [one.messages for one, _ in found]
        prompts = _prompt_ids(self.session, self.project_id, messages, heldout_share)
        fresh = []
        for prompt_id, (one, kind) in zip(prompts, found, strict=True):
            content = (prompt_id, kind, tuple(one.completions))
            if content not in self.there:
                self.there.add(content)
                fresh.append((prompt_id, one, kind))
        self.counts.update(kind for _, _, kind in fresh)
        self._store(fresh)

    def _store(self, fresh: Sequence[tuple[int, NewKnownAnswer, TaskKind]]) -> None:
        at = now()
        tasks = [self._task(prompt_id, kind, at) for prompt_id, _, kind in fresh]
        keys = insert_for_keys(self.session, Task, tasks)
        completions = [
            self._completion(prompt_id, text, at)
            for prompt_id, one, _ in fresh
            for text in one.completions
        ]
        placed = iter(insert_for_keys(self.session, Completion, completions))
        places = [
            {"task_id": key, "position": position, "completion_id": next(placed)}
            for key, (_, one, _) in zip(keys, fresh, strict=True)
            for position in range(len(one.completions))
        ]
        insert_rows(self.session, table_of(TaskCompletion), places)
        answers = [self._answer(key, one, at) for key, (_, one, _) in zip(keys, fresh, strict=True)]
        insert_rows(self.session, table_of(KnownAnswer), answers)
        for key, (_, one, kind) in zip(keys, fresh, strict=True):
            self._record(key, one, kind)

    def _task(self, prompt_id: int, kind: TaskKind, at: datetime) -> dict[str, Any]:
        return {
            "project_id": self.project_id,
            "prompt_id": prompt_id,
            "policy_id": key_of(self.policy),
            "overlap": WITHOUT_LIMIT,
            "priority": 0,
            "kind": kind,
            "status": TaskStatus.READY,
            "judged": 0,
            "selection": "random",
            "pool": "",
            "created_at": at,
        }

    def _completion(self, prompt_id: int, text: str, at: datetime) -> dict[str, Any]:
        return {
            "prompt_id": prompt_id,
            "policy_id": key_of(self.policy),
            "text": text,
            "sampling": {},
            "seed": 0,
            "finish_reason": "stop",
            "token_count": 0,
            "created_at": at,
        }

    def _answer(self, task_id: int, one: NewKnownAnswer, at: datetime) -> dict[str, Any]:
        return {
            "task_id": task_id,
            "ranks": one.ranks,
            "explanation": one.explanation,
            "by_id": self.by_id,
            "created_at": at,
        }

    def _record(self, task_id: int, one: NewKnownAnswer, kind: TaskKind) -> None:
        record(
            self.session,
            project_id=self.project_id,
            account_id=None,
            kind="task.added",
            task_id=task_id,
            policy_version=self.policy.version,
        )
        record_known_answer(
            self.session,
            project_id=self.project_id,
            task_id=task_id,
            kind=kind,
            ranks=one.ranks,
            by_id=self.by_id,
        )


def _prompt_ids(
    session: Session,
    project_id: int,
    found: Sequence[list[dict[str, str]]],
    heldout_share: float,
) -> list[int]:
    """Return the id of each prompt; those that the project has not are added."""
    digests = [content_sha256(messages) for messages in found]
    known: dict[str, int] = {
        digest: key
        for digest, key in session.exec(
            select(Prompt.content_sha256, Prompt.id).where(
                Prompt.project_id == project_id, col(Prompt.content_sha256).in_(set(digests))
            )
        )
        if key is not None
    }
    fresh = {
        digest: prompt_values(
            NewPrompt(messages, source="known answers", license=""),
            digest,
            project_id,
            heldout_share,
        )
        for digest, messages in zip(digests, found, strict=True)
        if digest not in known
    }
    keys = insert_for_keys(session, Prompt, list(fresh.values()))
    known |= dict(zip(fresh, keys, strict=True))
    return [known[digest] for digest in digests]


def _contents(session: Session, project_id: int) -> set[_Content]:
    """Return what the ready tasks with known answers hold: prompt, set, completions by position."""
    rows = session.exec(
        select(Task.id, Task.prompt_id, Task.kind, Completion.text)
        .join(KnownAnswer, col(KnownAnswer.task_id) == col(Task.id))
        .join(TaskCompletion, col(TaskCompletion.task_id) == col(Task.id))
        .join(Completion, col(Completion.id) == col(TaskCompletion.completion_id))
        .where(
            Task.project_id == project_id,
            Task.status == TaskStatus.READY,
            col(Task.for_annotator_id).is_(None),
        )
        .order_by(col(Task.id), col(TaskCompletion.position))
    )
    tasks: dict[int | None, _Content] = {}
    for task_id, prompt_id, kind, text in rows:
        texts = tasks[task_id][2] if task_id in tasks else ()
        tasks[task_id] = (prompt_id, TaskKind(kind), (*texts, text))
    return set(tasks.values())
