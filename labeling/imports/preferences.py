"""Import preferences, labels, demonstrations and prompts of a file: all of it, or nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.imports.bad_rows import BadRows
from labeling.imports.batches import batches
from labeling.imports.imported_accounts import LONGEST_SOURCE, ImportedAccounts, valid_source
from labeling.imports.one_at_a_time import wait_for_other_imports
from labeling.imports.preference_files import (
    PromptDefaults,
    files_of,
    files_sha256,
    stage_files,
)
from labeling.imports.staging import Staging
from labeling.imports.stored_tasks import AT_ONCE, TaskStore
from labeling.keys import key_of
from labeling.permissions import Action, require
from storage.clock import now
from storage.errors import Conflict
from storage.plurals import counted
from storage.tables import Account, Demonstration, Import, Project

__all__ = [
    "BadRows",
    "PromptDefaults",
    "StagedFile",
    "import_staged",
    "list_imports",
    "refuse_second_import",
    "staged_file",
]

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class StagedFile:
    """A file that was read and fits: what it is called, its hash, its format, what it holds."""

    staging: Staging
    path: Path
    sha256: str
    format: str
    rows: int

    @property
    def counts(self) -> dict[str, int]:
        """Return what would be imported."""
        return {
            "rows": self.rows,
            "judgments": self.staging.rankings,
            "demonstrations": self.staging.count_of("demonstration"),
            "prompts": self.staging.count_of("prompt"),
            "nothing_to_compare": self.staging.alone,
        }


@contextmanager
def staged_file(
    path: Path,
    *,
    format: str,
    bad: BadRows | None = None,
    texts: Path | None = None,
    defaults: PromptDefaults | None = None,
    progress: Progress = lambda what, share: None,
) -> Iterator[StagedFile]:
    """Yield a file (or a folder of files) of a format, or `auto`, read whole into temporary files.

    No database is needed, and nothing waits for it. Raises `BadInput` naming file, line and field.
    """
    files = files_of(path)
    with Staging() as staging:
        name, rows = stage_files(
            staging,
            files=files,
            format=format,
            bad=bad or BadRows(),
            texts=texts,
            defaults=defaults,
            progress=progress,
        )
        yield StagedFile(staging, path, files_sha256(files), name, rows)


def import_staged(
    session: Session,
    *,
    project: Project,
    staged: StagedFile,
    by: Account | None,
    heldout_share: float,
    source: str = "",
    pseudonymous: bool = False,
    bad_rows: int = 0,
    progress: Progress = lambda what, share: None,
) -> Import:
    """Store what was staged, as an import of its own; `counts` says what was added.

    Its tasks are done, its judgments count like any other, its annotators have accounts that
    nobody can sign in to, and the models that wrote the completions are policies of kind import.
    `source` keeps annotators of one name in two files apart (default: the file's name). `by` asks
    (None: the person at the server's shell). Raises `Conflict` where the same file is in the
    project already, `BadInput`, `NotAllowed`. The session must be writing.
    """
    if by is not None:
        require(by, Action.IMPORT, project_id=key_of(project))
    wait_for_other_imports(session, project_id=key_of(project))
    refuse_second_import(session, project_id=key_of(project), sha256=staged.sha256)
    source = valid_source(source or default_source(staged.path))
    row = add_import(session, project=project, staged=staged, by=by)
    accounts = ImportedAccounts(session, source=source, pseudonymous=pseudonymous)
    store = TaskStore(
        session,
        project=project,
        import_id=key_of(row),
        accounts=accounts,
        source=source,
        heldout_share=heldout_share,
    )
    for tasks in batches(staged.staging.staged_tasks(), AT_ONCE):
        store.add(tasks)
        progress("Storing", store.stored.judgments / max(1, staged.staging.rankings))
    _add_prompts(store, staged, progress)
    demonstrations = _add_demonstrations(session, store, staged, progress)
    stored = store.stored
    row.counts = {
        "rows": staged.rows,
        "bad_rows": bad_rows,
        "nothing_to_compare": staged.staging.alone,
        "tasks": stored.tasks,
        "judgments": stored.judgments,
        "completions": stored.completions,
        "policies": len(stored.policies),
        "prompts": stored.prompts,
        "annotators": accounts.count,
        "demonstrations": demonstrations,
    }
    session.add(row)
    _record(session, row, source)
    session.flush()
    return row


def refuse_second_import(session: Session, *, project_id: int, sha256: str) -> None:
    """Raise `Conflict`, saying when, where the same file was imported into the project before."""
    before = session.exec(
        select(Import)
        .where(Import.project_id == project_id, Import.file_sha256 == sha256)
        .order_by(col(Import.id))
    ).first()
    if before is not None:
        counts = ", ".join(
            count_in_words(count, name)
            for name, count in before.counts.items()
            if name in ("judgments", "tasks", "prompts", "demonstrations") and count
        )
        raise Conflict(
            f"This very file is in the project already, as import {before.id} of "
            f"{before.created_at:%Y-%m-%d} ({before.file_name}: {counts or 'nothing new'}); "
            "nothing was imported."
        )


def count_in_words(count: int, name: str) -> str:
    """Return a count of an import in words, by its name in `Import.counts` (`policies`)."""
    plural = name.replace("_", " ")
    one = f"{plural.removesuffix('ies')}y" if plural.endswith("ies") else plural.removesuffix("s")
    return counted(count, one, plural)


def default_source(path: Path) -> str:
    """Return the name of a file or folder without its endings, as short as a source must be."""
    return path.absolute().name.split(".")[0][:LONGEST_SOURCE].strip() or "file"


def list_imports(session: Session, *, project_id: int) -> list[dict[str, Any]]:
    """Return the imports of a project, oldest first, as plain values that JSON can hold."""
    rows = session.exec(
        select(Import, Account.name)
        .join(Account, col(Account.id) == col(Import.by_id), isouter=True)
        .where(Import.project_id == project_id)
        .order_by(col(Import.id))
    )
    return [
        {
            "id": row.id,
            "file": row.file_name,
            "sha256": row.file_sha256,
            "format": row.format,
            "counts": row.counts,
            "by": name,
            "created_at": row.created_at.isoformat(),
        }
        for row, name in rows
    ]


def add_import(
    session: Session, *, project: Project, staged: StagedFile, by: Account | None
) -> Import:
    """Store the row of an import, before what it adds."""
    row = Import(
        project_id=key_of(project),
        file_name=staged.path.name[:300],
        file_sha256=staged.sha256,
        format=staged.format,
        by_id=by.id if by else None,
    )
    session.add(row)
    session.flush()
    return row


def _add_prompts(store: TaskStore, staged: StagedFile, progress: Progress) -> None:
    added = 0
    for prompts in batches(staged.staging.others("prompt"), AT_ONCE):
        store.prompt_ids(prompts)
        added += len(prompts)
        progress("Storing prompts", added / staged.staging.count_of("prompt"))


def _add_demonstrations(
    session: Session, store: TaskStore, staged: StagedFile, progress: Progress
) -> int:
    added = 0
    for some in batches(staged.staging.others("demonstration"), AT_ONCE):
        prompts = store.prompt_ids([one.prompt for one in some])
        rows = [
            {
                "prompt_id": prompts[one.prompt.sha256],
                "annotator_id": store.accounts.id_of(one.annotator),
                "text": one.text,
                "import_id": store.import_id,
                "created_at": now(),
            }
            for one in some
        ]
        session.execute(insert(Demonstration), rows)
        added += len(rows)
        progress("Storing demonstrations", added / staged.staging.count_of("demonstration"))
    return added


def _record(session: Session, row: Import, source: str) -> None:
    record(
        session,
        project_id=row.project_id,
        account_id=row.by_id,
        kind="preferences.imported",
        import_id=row.id,
        file=row.file_name,
        format=row.format,
        source=source,
        **row.counts,
    )
