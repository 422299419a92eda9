"""The judgments that count, as columns: what every quality figure of a project starts from.

`judgment_columns` is the way in. Its arrays are kept in the process and brought up to date with
what is new in the database, so that a page costs what changed, and not what there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import count
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pandas as pd
from sqlalchemy import Engine
from sqlmodel import Session

from labeling.review.decisions import REAL_WORK
from labeling.statistics.known_judgments import KnownJudgments, is_writing, known_judgments
from labeling.statistics.stored_judgments import TASK_KINDS, StoredJudgments, discarded_ids
from storage.tables import AccountKind, TaskKind

#: What `JudgmentColumns.kind` holds the position in.
KINDS = tuple(AccountKind)

Ints = npt.NDArray[np.integer[Any]]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class JudgmentColumns:
    """Hold the `counted()` judgments of a project, one entry a judgment, by ascending judgment_id.

    N judgments; completions are in task position order, in 9 columns of which the first `k` hold.

    - version: hashable; two columns with the same one hold the same, so figures can be kept by it
    - judgment_id, task_id, prompt_id, annotator_id: (N,) int64
    - import_id: (N,) int64, of the task; 0 where no import brought it
    - kind: (N,) int8, position in `KINDS`; active, imported: (N,) bool; all of the annotator's
      account, which is imported where it only came with a file of judgments
    - k: (N,) int8; ranks: (N, 9) int8, 1 is best, equal is a tie, 0 after K
    - display_order: (N, 9) int8, entry j the task position shown in place j, -1 after K
    - milliseconds: (N,) int64; created_at: (N,) datetime64[us] in UTC
    - policy_version: (N,) int32, of the task: the newest among its completions
    - guideline_version: (N,) int32, 0 for none; strength: (N,) int8, 0 for none
    - fast, arena: (N,) bool, marked as too fast; of an arena task; confidence: (N,) float32 or NaN
    - language: (N,) int32, position in `languages` ("" where the prompt has none)
    - likert, checks: by criterion, (N, 9) int8; likert 1–7, 0 for none; checks 0, 1, -1 for none
    - tags: one row a prompt and tag, columns prompt_id and tag
    - annotators: indexed by annotator_id: name, kind (text), active; everyone who has judged

    The arrays are shared with every other reader: never write into them.
    """

    project_id: int
    version: tuple[Any, ...]
    judgment_id: Ints
    task_id: Ints
    prompt_id: Ints
    annotator_id: Ints
    import_id: Ints
    kind: Ints
    active: Flags
    imported: Flags
    k: Ints
    ranks: Ints
    display_order: Ints
    milliseconds: Ints
    created_at: npt.NDArray[np.datetime64]
    policy_version: Ints
    guideline_version: Ints
    strength: Ints
    fast: Flags
    arena: Flags
    confidence: npt.NDArray[np.floating[Any]]
    language: Ints
    languages: tuple[str, ...]
    likert: Mapping[str, Ints]
    checks: Mapping[str, Ints]
    tags: pd.DataFrame
    annotators: pd.DataFrame

    def __len__(self) -> int:
        """Return how many judgments there are."""
        return len(self.judgment_id)

    def where(self, keep: Flags) -> "JudgmentColumns":
        """Return the judgments where `keep` (N,) holds; the version says that they are fewer."""
        if keep.all():
            return self
        cut: dict[str, Any] = {
            field.name: getattr(self, field.name)[keep]
            for field in fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        cut["likert"] = {name: answers[keep] for name, answers in self.likert.items()}
        cut["checks"] = {name: answers[keep] for name, answers in self.checks.items()}
        cut["version"] = (*self.version, hash(keep.tobytes()))
        return replace(self, **cut)

    def by_people(self) -> "JudgmentColumns":
        """Return the judgments of people and simulated annotators: models' left out."""
        return self.where(self.kind != KINDS.index(AccountKind.MODEL))

    def frame(self) -> pd.DataFrame:
        """Return what has one value a judgment as a table; ranks and answers stay in the arrays."""
        return pd.DataFrame(
            {
                field.name: getattr(self, field.name)
                for field in fields(self)
                if isinstance(getattr(self, field.name), np.ndarray)
                and getattr(self, field.name).ndim == 1
            }
        )


def judgment_columns(session: Session, *, project_id: int) -> JudgmentColumns:
    """Return the project's judgments that `eligibility.counted` lets into figures.

    The first call in a process reads them all, from the file of `kept_on_disk` where it fits; a
    later one reads the judgments that are new, and looks again at what leads' decisions and
    withdrawals leave out. Nothing changed: the very same object is returned. Tags and language are
    those that a prompt had when it was first read. It asks no permission: whoever shows figures to
    an account does.
    """
    return _kept(session, project_id).columns


def all_judgments(session: Session, *, project_id: int) -> StoredJudgments:
    """Return every judgment of the project, whatever became of it; kept as the columns are."""
    return _kept(session, project_id).judgments.stored


@dataclass(frozen=True, eq=False)
class _Kept:
    """What a process keeps of a project: all its judgments, and the columns of those that count."""

    judgments: KnownJudgments
    columns: JudgmentColumns


# One that is gone takes what was kept of its database with it.
_held: WeakKeyDictionary[Engine, dict[int, _Kept]] = WeakKeyDictionary()
_lock = Lock()
_versions = count(1)


def _kept(session: Session, project_id: int) -> _Kept:
    with _lock:
        held = _held.setdefault(session.get_bind().engine, {})
        before = held.get(project_id)
        known = before.judgments if before else None
        judgments = known_judgments(session, project_id=project_id, before=known)
        if before is not None and judgments is known:
            return before
        left_out = discarded_ids(session, project_id=project_id)
        fresh = _Kept(judgments, _columns(project_id, judgments, left_out))
        # What a transaction that writes has seen may never be committed.
        if not is_writing(session):
            held[project_id] = fresh
    return fresh


def _counts(stored: StoredJudgments, left_out: Ints) -> Flags:
    ids, kinds = stored.arrays["judgment_id"], stored.arrays["task_kind"]
    real = np.isin(kinds, [TASK_KINDS.index(kind) for kind in REAL_WORK])
    gone = np.union1d(left_out, stored.arrays["supersedes_id"])
    kept: Flags = real & ~np.isin(ids, gone)
    return kept


def _columns(project_id: int, known: KnownJudgments, discarded: Ints) -> JudgmentColumns:
    around, prompts = known.surroundings, known.prompts
    left_out = np.union1d(known.withdrawn, discarded)
    current = known.stored.taken(_counts(known.stored, left_out))
    arrays = dict(current.arrays)
    del arrays["supersedes_id"]
    kinds, policies = arrays.pop("task_kind"), arrays.pop("policy_id")
    names = ["annotator_id", "name", "kind", "active", "imported"]
    accounts = pd.DataFrame(around.accounts, columns=names).set_index("annotator_id")
    judges = accounts.loc[np.unique(arrays["annotator_id"])]
    place = judges.index.get_indexer(arrays["annotator_id"])
    versions = pd.Series(dict(around.policies), dtype=np.int32)
    language, languages = prompts.languages(arrays["prompt_id"])
    return JudgmentColumns(
        project_id=project_id,
        version=(project_id, next(_versions)),
        kind=np.array([KINDS.index(kind) for kind in judges["kind"]], dtype=np.int8)[place],
        active=judges["active"].to_numpy(dtype=bool)[place],
        imported=judges["imported"].to_numpy(dtype=bool)[place],
        policy_version=versions.to_numpy()[versions.index.get_indexer(policies)],
        arena=kinds == TASK_KINDS.index(TaskKind.ARENA),
        language=language,
        languages=languages,
        likert=current.likert,
        checks=current.checks,
        tags=prompts.tags(),
        annotators=judges.assign(kind=[str(kind) for kind in judges["kind"]]).drop(
            columns="imported"
        ),
        **arrays,
    )
