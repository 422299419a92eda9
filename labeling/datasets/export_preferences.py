"""Export preferences as a folder of files with a card, whole or not at all."""

from pathlib import Path

from sqlalchemy import Engine

from labeling.datasets.code_version import code_version
from labeling.datasets.export_folder import (
    Export,
    free_folder,
    nothing_to_export,
    write_folder,
)
from labeling.datasets.file_types import file_type_named
from labeling.datasets.freezing import Progress, no_progress
from labeling.datasets.project_judgments import count_judged_prompts
from labeling.datasets.pseudonyms import Pseudonyms
from labeling.datasets.snapshot_examples import SnapshotExamples
from labeling.datasets.snapshot_list import find_snapshot
from labeling.datasets.snapshot_query import SnapshotQuery
from labeling.datasets.snapshots import default_query, take_snapshot
from labeling.events import record
from labeling.formats.registry import FORMATS, format_named
from labeling.judging.demonstrations import count_demonstrations
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require
from storage import blobs
from storage.engine import reading, writing
from storage.errors import BadInput
from storage.tables import Account, Project, Snapshot

__all__ = ["FORMATS", "Export", "export_preferences"]


def export_preferences(
    engine: Engine,
    *,
    project: Project,
    account: Account | None,
    home: Path,
    out: Path,
    format: str = "trl_preference",
    file_type: str = "jsonl",
    snapshot: str | None = None,
    include_models: bool = False,
    validation_share: float | None = None,
    progress: Progress = no_progress,
) -> Export:
    """Write `train`, `validation` and `test` (held-out prompts) and `README.md` into `out`.

    The rows are those of a `snapshot` (id or name); without one, the current data is frozen first,
    as a round would freeze it. `include_models` then adds the tasks that model annotators took.
    `validation_share` of the training prompts are validation (None: the project's setting).
    `account` asks (None: the person at the server's shell). Memory does not grow with the rows,
    and no transaction is open while the files are written.

    Raises `BadInput` on an unknown format or file type, `Conflict` where `out` is a file or holds
    anything, `NotFound` where there is no row or no such snapshot, `NotAllowed`, `Unavailable`.
    """
    if account is not None:
        require(account, Action.EXPORT, project_id=key_of(project))
    shape, kind = format_named(format), file_type_named(file_type)
    settings = labeling_settings(project).export
    share = settings.validation_share if validation_share is None else validation_share
    if not 0 <= share <= 0.5:
        raise BadInput(f"The validation share {share} is not between 0 and 0.5; choose another.")
    folder = free_folder(out)
    found = _snapshot(engine, project, account, home, snapshot, include_models, progress)
    blobs.checked_path(home, found.uri)
    examples = SnapshotExamples(found, home, Pseudonyms(project), share)
    done = write_folder(folder, examples, shape, kind, settings, project, progress)
    _record(engine, project, account, done)
    return done


def _snapshot(
    engine: Engine,
    project: Project,
    account: Account | None,
    home: Path,
    which: str | None,
    include_models: bool,
    progress: Progress,
) -> Snapshot:
    """Return the snapshot that is named, or one of the current data."""
    project_id = key_of(project)
    with reading(engine) as session:
        if which is not None:
            return find_snapshot(session, project_id=project_id, which=which)
        judged = count_judged_prompts(session, project_id=project_id)
        if not judged and not count_demonstrations(session, project_id=project_id):
            raise nothing_to_export()
    return take_snapshot(
        engine,
        project=project,
        folder=home / "snapshots",
        code_version=code_version(),
        account=account,
        query=SnapshotQuery(models="taken") if include_models else default_query(project),
        progress=progress,
    )


def _record(engine: Engine, project: Project, account: Account | None, done: Export) -> None:
    with writing(engine) as session:
        record(
            session,
            project_id=project.id,
            account_id=account.id if account else None,
            kind="preferences.exported",
            format=done.format,
            file_type=done.file_type,
            snapshot_id=done.snapshot_id,
            folder=str(done.folder),
            **done.rows,
        )
