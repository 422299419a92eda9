"""Language and tags of a project's prompts as arrays, read without an object a prompt."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sqlalchemy import String, cast, func, select
from sqlmodel import Session, col

from storage.tables import Judgment, Prompt, Task

Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class StoredPrompts:
    """Hold P prompts that have a language or tags, by ascending id.

    - prompt_id: (P,) int64
    - kind: (P,) int32, place in `kinds`
    - kinds: each language ("" for none) with each list of tags that it comes with
    """

    prompt_id: Ints
    kind: Ints
    kinds: tuple[tuple[str, tuple[str, ...]], ...]

    def joined(self, more: "StoredPrompts") -> "StoredPrompts":
        """Return these prompts and those of `more` that are not among them."""
        new = ~np.isin(more.prompt_id, self.prompt_id)
        ids = np.concatenate([self.prompt_id, more.prompt_id[new]])
        kind = np.concatenate([self.kind, more.kind[new] + len(self.kinds)])
        order = np.argsort(ids)
        return StoredPrompts(ids[order], kind[order].astype(np.int32), (*self.kinds, *more.kinds))

    def languages(self, prompt_id: Ints) -> tuple[Ints, tuple[str, ...]]:
        """Return the language of each prompt asked for, as a place in the names, and the names."""
        names = ("", *sorted({language for language, _ in self.kinds if language}))
        # The last entry is for a prompt that has no row: -1 leads there.
        of_kind = np.array([*(names.index(each[0]) for each in self.kinds), 0], dtype=np.int32)
        return of_kind[np.append(self.kind, -1)[self._places(prompt_id)]], names

    def tags(self) -> pd.DataFrame:
        """Return one row a prompt and tag: prompt_id and tag."""
        sizes = np.array([len(tags) for _, tags in self.kinds], dtype=np.int64)
        every = np.array([tag for _, tags in self.kinds for tag in tags], dtype=object)
        begins = np.cumsum(sizes) - sizes
        repeats = sizes[self.kind]
        within = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        tags = every[np.repeat(begins[self.kind], repeats) + within]
        return pd.DataFrame({"prompt_id": np.repeat(self.prompt_id, repeats), "tag": tags})

    def _places(self, prompt_id: Ints) -> Ints:
        """Return the place of each prompt asked for; -1 where it has no row."""
        return pd.Index(self.prompt_id).get_indexer(pd.Index(prompt_id))


def read_prompts(session: Session, *, project_id: int, after: int = 0) -> StoredPrompts:
    """Return the project's prompts; with `after`, those judged in judgments with an id above it.

    A prompt that has neither language nor tags has no entry.
    """
    tags = func.nullif(cast(col(Prompt.tags), String), "[]")
    # One row for all prompts that have the same: there are few kinds, and many prompts.
    statement = select(
        col(Prompt.language), tags, func.aggregate_strings(cast(col(Prompt.id), String), ",")
    ).where(col(Prompt.project_id) == project_id, (col(Prompt.language) != "") | tags.is_not(None))
    if after > 0:
        judged = (
            select(col(Task.prompt_id))
            .join(Judgment, col(Judgment.task_id) == col(Task.id))
            .where(col(Judgment.project_id) == project_id, col(Judgment.id) > after)
        )
        statement = statement.where(col(Prompt.id).in_(judged))
    rows = session.execute(statement.group_by(col(Prompt.language), tags)).all()
    ids = [np.array(text.split(","), dtype=np.int64) for _, _, text in rows]
    every = np.concatenate(ids) if ids else np.zeros(0, dtype=np.int64)
    kind = np.repeat(np.arange(len(rows), dtype=np.int32), [len(each) for each in ids])
    order = np.argsort(every)
    kinds = tuple((language, tuple(json.loads(text or "[]"))) for language, text, _ in rows)
    return StoredPrompts(every[order], kind[order], kinds)
