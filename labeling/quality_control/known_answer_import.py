"""Import tasks with known answers: all of a file, or none."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, col, select

from labeling.events import record
from labeling.imports.one_at_a_time import wait_for_other_imports
from labeling.imports.prompt_files import NewPrompt
from labeling.imports.prompts import content_sha256, prompt_row
from labeling.imports.row_files import Progress
from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.policies import import_policy
from labeling.quality_control.known_answer_files import NewKnownAnswer, read_known_answers
from labeling.quality_control.known_answers import keep_known_answer
from labeling.work_queue.task_copies import WITHOUT_LIMIT
from labeling.work_queue.tasks import NewCompletion, add_task
from storage.tables import (
    Account,
    Completion,
    KnownAnswer,
    Project,
    Prompt,
    Task,
    TaskCompletion,
    TaskKind,
    TaskStatus,
)

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
    path: Path,
    by: Account | None,
    heldout_share: float,
    kind: TaskKind = TaskKind.GOLD,
    progress: Progress = lambda what, share: None,
) -> KnownAnswerImport:
    """Add the tasks of a JSONL(.gz), CSV or Parquet file; rows that name no set go to `kind`.

    Their prompts join the project's, each in the split of its hash. `by` asks (None: the person at
    the server's shell). `progress` is told what is done and the share of it (0 … 1). Raises
    `BadInput` naming file, line and field, with nothing added; `NotAllowed`. The session must be
    writing.
    """
    if by is not None:
        require(by, Action.CHANGE_LABELING, project_id=key_of(project))
    found = read_known_answers(path, progress)
    wait_for_other_imports(session, project_id=key_of(project))
    policy_id = key_of(import_policy(session, project_id=key_of(project)))
    there = _contents(session, key_of(project))
    counts = {TaskKind.GOLD: 0, TaskKind.QUALIFICATION: 0}
    for number, one in enumerate(found, start=1):
        progress("Storing", number / len(found))
        wanted = one.kind or kind
        prompt_id = _prompt_id(session, project, one, heldout_share)
        content = (prompt_id, wanted, tuple(one.completions))
        if content in there:
            continue
        there.add(content)
        counts[wanted] += 1
        _add(session, project, one, by, prompt_id=prompt_id, policy_id=policy_id, kind=wanted)
    done = KnownAnswerImport(
        gold=counts[TaskKind.GOLD],
        qualification=counts[TaskKind.QUALIFICATION],
        duplicates=len(found) - sum(counts.values()),
    )
    record(
        session,
        project_id=project.id,
        account_id=by.id if by else None,
        kind="known_answers.imported",
        file=path.name,
        gold=done.gold,
        qualification=done.qualification,
    )
    return done


def _add(
    session: Session,
    project: Project,
    one: NewKnownAnswer,
    by: Account | None,
    *,
    prompt_id: int,
    policy_id: int,
    kind: TaskKind,
) -> None:
    completions = [
        NewCompletion(text, sampling={}, seed=0, finish_reason="stop", token_count=0)
        for text in one.completions
    ]
    task = add_task(
        session,
        project=project,
        prompt_id=prompt_id,
        policy_id=policy_id,
        completions=completions,
    )
    task.kind, task.overlap = kind, WITHOUT_LIMIT
    keep_known_answer(session, task=task, ranks=one.ranks, explanation=one.explanation, by=by)


def _prompt_id(
    session: Session, project: Project, one: NewKnownAnswer, heldout_share: float
) -> int:
    digest = content_sha256(one.messages)
    known = session.exec(
        select(Prompt.id).where(Prompt.project_id == project.id, Prompt.content_sha256 == digest)
    ).first()
    if known is not None:
        return known
    new = NewPrompt(one.messages, source="known answers", license="")
    row = prompt_row(new, digest, key_of(project), heldout_share)
    session.add(row)
    session.flush()
    return key_of(row)


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
