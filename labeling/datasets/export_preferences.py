"""Export preferences as a folder of JSON lines with a card, whole or not at all."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
from sqlalchemy import Engine

from labeling.datasets.comparisons import comparisons
from labeling.events import record
from labeling.formats import trl
from labeling.keys import key_of
from labeling.permissions import Action, require
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotFound, Unavailable
from storage.tables import Account, Project, Split

FORMATS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {trl.NAME: trl.row_of}
_FILES = {Split.TRAIN: "train.jsonl", Split.HELDOUT: "test.jsonl"}
_CARD = "README.md"


@dataclass(frozen=True)
class Export:
    """Say what was exported where: rows (chosen/rejected pairs) of each file, and of what."""

    folder: Path
    format: str
    train: int
    test: int
    judgments: int
    prompts: int


def export_preferences(
    engine: Engine,
    *,
    project: Project,
    account: Account | None,
    out: Path,
    format: str = "trl",
    include_models: bool = False,
) -> Export:
    """Write `train.jsonl`, `test.jsonl` (held-out prompts) and `README.md` into the folder `out`.

    One row a strict pair of a current ranking; ties make none. `include_models` adds the tasks that
    model annotators took, each row marked with the annotator's kind. `account` asks (None: the
    person at the server's shell). No transaction is open while the files are written: the export is
    recorded in a short one of its own, once they are there. Raises `BadInput` on an unknown format,
    `Conflict` where `out` is a file or holds anything, `NotFound` where there is no pair,
    `NotAllowed`, `Unavailable`.
    """
    if account is not None:
        require(account, Action.EXPORT)
    if format not in FORMATS:
        raise BadInput(f"There is no format {format}; use {', '.join(FORMATS)}.")
    folder = _free_folder(out)
    with reading(engine) as session:
        pairs = comparisons(session, project_id=key_of(project), include_models=include_models)
    if pairs.empty:
        raise NotFound("There are no preferences to export yet; rank some tasks first.")
    pairs["annotator"] = _pseudonyms(pairs["annotator_id"], project)
    done = Export(
        folder=folder,
        format=format,
        train=int((pairs["split"] == Split.TRAIN.value).sum()),
        test=int((pairs["split"] == Split.HELDOUT.value).sum()),
        judgments=len(pairs[["judgment_id", "task_id"]].drop_duplicates()),
        prompts=int(pairs["prompt_id"].nunique()),
    )
    _write_folder(pairs, done, project)
    with writing(engine) as session:
        record(
            session,
            project_id=project.id,
            account_id=account.id if account else None,
            kind="preferences.exported",
            format=format,
            train=done.train,
            test=done.test,
        )
    return done


def _free_folder(out: Path) -> Path:
    """Return the absolute path of `out`, which is not there or holds nothing."""
    try:
        # `.` and `..` have no name that a folder beside them could be called after.
        folder = Path(os.path.realpath(out))
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise _cannot_be_written(out, error) from error
    if taken:
        raise Conflict(f"{out} is not an empty folder; name a new one, nothing was written.")
    return folder


def _pseudonyms(annotators: "pd.Series[int]", project: Project) -> "pd.Series[str]":
    """Name annotators alike in every export of the project, and by nothing that tells who it is."""
    # The creation time, to the microsecond, leaves the database in no export: it keys the hash.
    secret = f"{project.id}:{project.created_at.isoformat()}"
    names = {
        annotator: "annotator-" + sha256(f"{secret}:{annotator}".encode()).hexdigest()[:12]
        for annotator in annotators.unique()
    }
    return annotators.map(names)


def _write_folder(pairs: pd.DataFrame, done: Export, project: Project) -> None:
    folder = done.folder
    # An empty folder that is there stays the same one: a shell may stand in it, a disk be mounted.
    here = folder.is_dir()
    part = f"{uuid4().hex}.part"
    unfinished = folder / f".{part}" if here else folder.with_name(f".{folder.name}.{part}")
    try:
        unfinished.mkdir(parents=True)
        for split, name in _FILES.items():
            some = pairs[pairs["split"] == split.value]
            _write_rows(some, unfinished / name, FORMATS[done.format])
        (unfinished / _CARD).write_text(_card(done, project), encoding="utf-8")
        if not here:
            os.replace(unfinished, folder)
            return
        for name in (*_FILES.values(), _CARD):
            os.replace(unfinished / name, folder / name)
    except OSError as error:
        raise _cannot_be_written(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _cannot_be_written(folder: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"{folder} cannot be written ({error.strerror}); name a folder that you can write to."
    )


def _write_rows(
    pairs: pd.DataFrame, path: Path, row_of: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for comparison in pairs.to_dict("records"):
            file.write(json.dumps(row_of(comparison), ensure_ascii=False) + "\n")


def _card(done: Export, project: Project) -> str:
    return f"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: {_FILES[Split.TRAIN]}
  - split: test
    path: {_FILES[Split.HELDOUT]}
---

# Preferences of the project {project.name}

Exported by Rankloop on {now():%Y-%m-%d}, format `{done.format}`: {done.train} train and
{done.test} test comparisons from {done.judgments} rankings of completions of {done.prompts}
prompts. No prompt is in both files: test holds the prompts that training never sees.

Each line is one comparison. A ranking of K completions gives up to K·(K−1)/2 of them, tied
completions none; superseded and discarded judgments are left out, and where a lead decided on a
task, the decision stands instead of its judgments.

| field | meaning |
|---|---|
| `prompt` | the conversation, as messages; a project's system prompt is not in it |
| `chosen`, `rejected` | the answer that was ranked better, and the one that was ranked worse |
| `prompt_id`, `task_id` | what was judged |
| `judgment_id` | the ranking of one annotator; 0 is a lead's decision on the task |
| `chosen_id`, `rejected_id` | the completions |
| `policy_version` | the version of the model that wrote the completions; the newer of two |
| `round` | the training round that made that version; 0 for the model at the start |
| `annotator` | a pseudonym, the same in every export of this project |
| `annotator_kind` | `person`, `simulated`, or `model` for a task that no person judged |
"""
