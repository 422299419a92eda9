"""All judgments of a project as arrays, read from few columns of the tables, without objects."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    String,
    cast,
    extract,
    literal,
    select,
)
from sqlmodel import Session, col

from labeling.judging.pace import FAST
from labeling.review.decisions import not_discarded
from labeling.statistics.driver_rows import driver_rows
from labeling.withdrawals import not_withdrawn
from storage.tables import Judgment, Task, TaskKind

#: The most completions of a task, and so the width of every array by task position.
MOST_COMPLETIONS = 9
#: What `task_kind` holds the position in.
TASK_KINDS = tuple(TaskKind)

_PLAIN = {
    "judgment_id": np.int64,
    "task_id": np.int64,
    "annotator_id": np.int64,
    "supersedes_id": np.int64,
    "strength": np.int8,
    "guideline_version": np.int32,
    "milliseconds": np.int64,
    "prompt_id": np.int64,
    "policy_id": np.int64,
    "import_id": np.int64,
}

Arrays = dict[str, npt.NDArray[Any]]

# What each of a judgment's `parts` holds where nothing was said; every judgment has `arrays`.
_NOTHING = (0, 0, -1)


@dataclass(frozen=True, eq=False)
class StoredJudgments:
    """Hold judgments as `arrays` by column, in the order of their ids, superseded ones too.

    `likert` and `checks` are (N, 9) int8 by criterion, 0 and -1 where nothing was answered. NULL is
    0 in every column of numbers but confidence, where it is NaN.
    """

    arrays: Arrays
    likert: Arrays
    checks: Arrays

    def __len__(self) -> int:
        """Return how many judgments there are."""
        return len(self.arrays["judgment_id"])

    def taken(self, rows: npt.NDArray[Any]) -> "StoredJudgments":
        """Return the judgments at `rows` (positions, or one truth value each); all: these."""
        if rows.dtype == np.bool_ and rows.all():
            return self
        return StoredJudgments(
            *({name: each[rows] for name, each in some.items()} for some in self.parts())
        )

    def joined(self, more: "StoredJudgments") -> "StoredJudgments":
        """Return these judgments and `more`, by ascending id."""
        if not len(more):
            return self
        both = _all_joined([self, more])
        ids = both.arrays["judgment_id"]
        return both if (np.diff(ids) > 0).all() else both.taken(np.argsort(ids))

    def parts(self) -> tuple[Arrays, Arrays, Arrays]:
        """Return `arrays`, `likert` and `checks`."""
        return self.arrays, self.likert, self.checks


def read_judgments(
    session: Session, *, project_id: int, after: int = 0, ids: Sequence[int] | None = None
) -> StoredJudgments:
    """Return the project's judgments with an id above `after`, whatever became of them since.

    With `ids`, of these alone.
    """
    dialect = session.get_bind().dialect.name
    # By `+ 0` no index on the project serves, and SQLite goes along the ids instead: it would sort
    # all that it finds by the index.
    statement = _statement(dialect).where(
        col(Judgment.project_id) + 0 == project_id, col(Judgment.id) > after
    )
    if ids is not None:
        statement = statement.where(col(Judgment.id).in_(ids))
    found = _GrowingJudgments(_batch_arrays([], dialect))
    for rows in driver_rows(session, statement):
        found.add(_batch_arrays(rows, dialect))
    return found.stored()


def discarded_ids(session: Session, *, project_id: int) -> npt.NDArray[np.int64]:
    """Return the ids of the judgments that leads have discarded."""
    return _ids(session, project_id, ~not_discarded())


def withdrawn_ids(session: Session, *, project_id: int, after: int) -> npt.NDArray[np.int64]:
    """Return the ids above `after` of the judgments that are withdrawn."""
    return _ids(session, project_id, col(Judgment.id) > after, ~not_withdrawn())


def _ids(
    session: Session, project_id: int, *conditions: ColumnElement[bool]
) -> npt.NDArray[np.int64]:
    statement = select(col(Judgment.id)).where(col(Judgment.project_id) == project_id, *conditions)
    return np.array(session.execute(statement).scalars().all(), dtype=np.int64)


def _statement(dialect: str) -> Any:
    """Select the columns in the order of `_batch_arrays`, JSON as text and times as they parse."""
    return (
        select(
            col(Judgment.id),
            col(Judgment.task_id),
            col(Judgment.annotator_id),
            col(Judgment.supersedes_id),
            col(Judgment.strength),
            col(Judgment.guideline_version),
            col(Judgment.milliseconds),
            col(Task.prompt_id),
            col(Task.policy_id),
            col(Task.import_id),
            cast(col(Task.kind), String),
            cast(col(Judgment.ranks), String),
            cast(col(Judgment.display_order), String),
            _time(dialect),
            cast(col(Judgment.likert), String),
            cast(col(Judgment.checks), String),
            cast(col(Judgment.marks), String),
            cast(col(Judgment.confidence), Float),
        )
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .order_by(col(Judgment.id))
    )


def _time(dialect: str) -> Any:
    if dialect == "sqlite":
        return cast(col(Judgment.created_at), String)
    return cast(extract("epoch", col(Judgment.created_at)) * literal(1_000_000), BigInteger)


def _batch_arrays(rows: Sequence[Any], dialect: str) -> StoredJudgments:
    columns = list(zip(*rows, strict=True)) if rows else [()] * (len(_PLAIN) + 8)
    arrays: Arrays = {
        name: _numbers(columns[place], kind) for place, (name, kind) in enumerate(_PLAIN.items())
    }
    kinds, ranks, orders, times, likert, checks, marks, confidence = columns[len(_PLAIN) :]
    arrays["task_kind"] = _by_text(kinds, lambda kind: TASK_KINDS.index(TaskKind(kind)), np.int8)
    arrays["fast"] = _by_text(marks, lambda text: FAST in json.loads(text), np.bool_)
    arrays["ranks"], arrays["k"] = _lists(ranks, 0)
    arrays["display_order"], _ = _lists(orders, -1)
    arrays["created_at"] = _moments(times, dialect)
    arrays["confidence"] = np.array(confidence, dtype=np.float32)
    return StoredJudgments(arrays, _answers(likert, 0), _answers(checks, -1))


def _numbers(values: Sequence[int | None], kind: Any) -> npt.NDArray[Any]:
    """Return whole numbers, NULL as 0."""
    if None in values:
        return np.nan_to_num(np.array(values, dtype=np.float64)).astype(kind)
    return np.array(values, dtype=kind)


def _by_text(
    texts: Sequence[str], meaning: Callable[[str], int | bool], kind: Any
) -> npt.NDArray[Any]:
    """Return what each text means; there are few different ones."""
    codes, unique = pd.factorize(np.array(texts, dtype=object))
    return np.array([meaning(text) for text in unique], dtype=kind)[codes]


def _moments(times: Sequence[Any], dialect: str) -> npt.NDArray[Any]:
    if dialect == "sqlite":
        return np.array(times, dtype="datetime64[us]")
    return np.array(times, dtype=np.int64).astype("datetime64[us]")


def _lists(texts: Sequence[str], fill: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return JSON lists of integers as (N, 9), filled up with `fill`, and their lengths (N,)."""
    # Four completions can be ranked in 75 ways: each text is parsed once.
    codes, unique = pd.factorize(np.array(texts, dtype=object))
    table = np.full((len(unique), MOST_COMPLETIONS), fill, dtype=np.int8)
    lengths = np.zeros(len(unique), dtype=np.int8)
    for row, text in enumerate(unique):
        values = json.loads(text)
        table[row, : len(values)] = values
        lengths[row] = len(values)
    return table[codes], lengths[codes]


def _answers(texts: Sequence[str], none: int) -> Arrays:
    """Return JSON objects of lists as (N, 9) by name; `none` where there is no answer."""
    codes, unique = pd.factorize(np.array(texts, dtype=object))
    parsed = [json.loads(text) for text in unique]
    answers: Arrays = {}
    for name in sorted({name for each in parsed for name in each}):
        table = np.full((len(unique), MOST_COMPLETIONS), none, dtype=np.int8)
        for row, each in enumerate(parsed):
            values = [none if value is None else int(value) for value in each.get(name, [])]
            table[row, : len(values)] = values
        answers[name] = table[codes]
    return answers


class _GrowingJudgments:
    """Judgments that batches are added to; all batches at once would be as much memory again."""

    def __init__(self, none: StoredJudgments) -> None:
        self._parts = tuple(
            {name: values.copy() for name, values in some.items()} for some in none.parts()
        )
        self._count = 0

    def add(self, more: StoredJudgments) -> None:
        """Add judgments with ids above those that there are."""
        count = self._count + len(more)
        for mine, theirs, none in zip(self._parts, more.parts(), _NOTHING, strict=True):
            for name in mine.keys() | theirs.keys():
                values = theirs.get(name, np.full((len(more), MOST_COMPLETIONS), none, np.int8))
                held = mine.setdefault(
                    name, np.full((self._count, MOST_COMPLETIONS), none, np.int8)
                )
                if len(held) < count:
                    # In place where there is room, and by moving pages where there is not.
                    held.resize((max(count, len(held) * 9 // 8), *held.shape[1:]), refcheck=False)
                held[self._count : count] = values
        self._count = count

    def stored(self) -> StoredJudgments:
        """Return what was added; nothing can be added after."""
        for some in self._parts:
            for held in some.values():
                held.resize((self._count, *held.shape[1:]), refcheck=False)
        return StoredJudgments(*self._parts)


def _all_joined(batches: list[StoredJudgments]) -> StoredJudgments:
    arrays = {
        name: np.concatenate([each.arrays[name] for each in batches]) for name in batches[0].arrays
    }
    sizes = [len(each) for each in batches]
    likert = _answers_of_all([each.likert for each in batches], sizes, 0)
    checks = _answers_of_all([each.checks for each in batches], sizes, -1)
    return StoredJudgments(arrays, likert, checks)


def _answers_of_all(parts: list[Arrays], sizes: list[int], none: int) -> Arrays:
    names = sorted({name for part in parts for name in part})
    return {
        name: np.concatenate(
            [
                part.get(name, np.full((size, MOST_COMPLETIONS), none, dtype=np.int8))
                for part, size in zip(parts, sizes, strict=True)
            ]
        )
        for name in names
    }
