"""Import completions of other models, as tasks that wait for people to rank them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlmodel import Session

from labeling.events import record
from labeling.imports.bad_rows import BadRows
from labeling.imports.batches import batches
from labeling.imports.imported_accounts import ImportedAccounts, valid_source
from labeling.imports.one_at_a_time import wait_for_other_imports
from labeling.imports.preference_files import (
    PromptDefaults,
    files_of,
    files_sha256,
    stage_rows,
)
from labeling.imports.preference_rows import completions as completion_rows
from labeling.imports.preference_rows.imported import ImportedAnswer, ImportedCompletion
from labeling.imports.preference_rows.registry import Reader
from labeling.imports.preferences import (
    StagedFile,
    add_import,
    default_source,
    refuse_second_import,
)
from labeling.imports.staging import Staging
from labeling.imports.stored_tasks import AT_ONCE, TaskStore
from labeling.keys import key_of
from labeling.permissions import Action, require
from storage.errors import BadInput
from storage.tables import Account, Import, Project, Task

Progress = Callable[[str, float], None]
LONGEST_MODEL = 200
_READER = Reader("completions", completion_rows.SHAPE, completion_rows.read)


def stage_completions(
    staging: Staging,
    path: Path,
    *,
    bad: BadRows | None = None,
    defaults: PromptDefaults | None = None,
    progress: Progress = lambda what, share: None,
) -> StagedFile:
    """Read a file (or folder) of completions; raise `BadInput` naming file, line and field."""
    files, bad = files_of(path), bad or BadRows()
    kept = defaults or PromptDefaults()
    rows = sum(stage_rows(staging, one, _READER, bad, kept, progress) for one in files)
    if rows == 0:
        raise BadInput(f"{path}: the file holds no completions. Nothing was imported.")
    return StagedFile(staging, path, files_sha256(files), _READER.name, rows)


def import_completions(
    session: Session,
    *,
    project: Project,
    staged: StagedFile,
    by: Account | None,
    heldout_share: float,
    source: str = "",
    model: str = "",
    overlap: int | None = None,
    priority: int = 0,
    bad_rows: int = 0,
    progress: Progress = lambda what, share: None,
) -> Import:
    """Store the completions as ready tasks of at most the project's K, of one prompt each.

    A task has completions of different models where there are some. A text that a prompt has twice
    is kept once, and counts under `nothing_to_compare`, like a completion that is alone. `model`
    names the policy of those that name none. `by` asks (None: the person at the server's shell).
    Raises `Conflict` where the same file is in the project already, `BadInput` where `source` or
    `model` is no name or nothing is left to rank, `NotAllowed`. The session must be writing.
    """
    if by is not None:
        require(by, Action.IMPORT, project_id=key_of(project))
    wait_for_other_imports(session, project_id=key_of(project))
    refuse_second_import(session, project_id=key_of(project), sha256=staged.sha256)
    source, model = valid_source(source or default_source(staged.path)), valid_model(model)
    row = add_import(session, project=project, staged=staged, by=by)
    store = TaskStore(
        session,
        project=project,
        import_id=key_of(row),
        accounts=ImportedAccounts(session, source=source),
        source=source,
        heldout_share=heldout_share,
    )
    left_out = tasks = 0
    for prompts in batches(staged.staging.answers(), AT_ONCE):
        groups = []
        for answers in prompts:
            found = list(in_tasks(_named(answers, model), project.completions_per_task))
            left_out += len(answers) - sum(map(len, found))
            groups += [(answers[0], some) for some in found]
        tasks += _store(store, groups, overlap or project.overlap, priority)
        progress("Storing", min(1.0, store.stored.completions / max(1, staged.rows)))
    if not tasks:
        raise BadInput(
            f"{staged.path}: no prompt has two different completions, so there is nothing to rank. "
            "Nothing was imported."
        )
    row.counts = _counts(store, staged, tasks, left_out, bad_rows)
    session.add(row)
    record(
        session,
        project_id=row.project_id,
        account_id=row.by_id,
        kind="completions.imported",
        import_id=row.id,
        file=row.file_name,
        source=source,
        **row.counts,
    )
    session.flush()
    return row


def valid_model(model: str) -> str:
    """Return what completions' model may be called, or ""; raise `BadInput` otherwise."""
    found = " ".join(model.split())
    if len(found) > LONGEST_MODEL or not found.isprintable():
        raise BadInput(
            f"The name of the model must have at most {LONGEST_MODEL} printable characters."
        )
    return found


def in_tasks(
    completions: Sequence[ImportedCompletion], most: int
) -> Iterator[list[ImportedCompletion]]:
    """Yield the completions in tasks of 2 to `most`, sizes as even as can be; none of one alone.

    The models take turns, so that a task compares different ones.
    """
    distinct = list({one.text: one for one in reversed(completions)}.values())[::-1]
    if len(distinct) < 2:
        return
    turns: dict[str, int] = {}
    keyed = []
    for one in distinct:
        turns[one.model] = turns.get(one.model, 0) + 1
        keyed.append((turns[one.model], _hash(one), one))
    dealt = [one for _, _, one in sorted(keyed, key=lambda each: each[:2])]
    if most <= 2:
        # An odd one out would be alone in its task.
        dealt, most = dealt[: len(dealt) // 2 * 2], 2
    count = -(-len(dealt) // most)
    size, more = divmod(len(dealt), count)
    start = 0
    for number in range(count):
        end = start + size + (number < more)
        yield sorted(dealt[start:end], key=_hash)
        start = end


def _hash(one: ImportedCompletion) -> str:
    return hashlib.sha256(one.text.encode()).hexdigest()


def _named(answers: Sequence[ImportedAnswer], model: str) -> list[ImportedCompletion]:
    found = [one.completion for one in answers]
    return [one if one.model or not model else replace(one, model=model) for one in found]


def _store(
    store: TaskStore,
    groups: Sequence[tuple[ImportedAnswer, list[ImportedCompletion]]],
    overlap: int,
    priority: int,
) -> int:
    if not groups:
        return 0
    prompts = store.prompt_ids([first.prompt for first, _ in groups])
    ids = [prompts[first.prompt.sha256] for first, _ in groups]
    wanted = [(key, some) for key, (_, some) in zip(ids, groups, strict=True)]
    completions = store.completion_ids(wanted)
    rows = [
        store.task_values(key, some, overlap, priority=priority)
        for key, some in zip(ids, completions, strict=True)
    ]
    store.place(store.insert(Task, rows), completions)
    return len(rows)


def _counts(
    store: TaskStore, staged: StagedFile, tasks: int, left_out: int, bad_rows: int
) -> dict[str, Any]:
    return {
        "rows": staged.rows,
        "bad_rows": bad_rows,
        "nothing_to_compare": left_out,
        "tasks": tasks,
        "completions": store.stored.completions,
        "policies": len(store.stored.policies),
        "prompts": store.stored.prompts,
    }
