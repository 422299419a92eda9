"""Judgment columns made of lists, for figures that need no database."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labeling.statistics.judgment_columns import JudgmentColumns


def columns_of(
    task_id: Sequence[int],
    annotator_id: Sequence[int],
    ranks: Sequence[Sequence[int]],
    *,
    shown: Sequence[Sequence[int]] | None = None,
    milliseconds: Sequence[int] | None = None,
    days: Sequence[int] | None = None,
) -> JudgmentColumns:
    """Return judgments 1, 2, …, shown in task position order and from Monday 2026-01-05 on."""
    count = len(task_id)
    k = np.array([len(one) for one in ranks], dtype=np.int8)
    zeros = np.zeros(count, dtype=np.int64)
    start = np.datetime64("2026-01-05T12:00", "us")
    orders = shown or [list(range(len(one))) for one in ranks]
    return JudgmentColumns(
        project_id=1,
        version=(1, id(ranks)),
        judgment_id=np.arange(1, count + 1),
        task_id=np.array(task_id, dtype=np.int64),
        prompt_id=zeros,
        annotator_id=np.array(annotator_id, dtype=np.int64),
        import_id=zeros,
        kind=zeros.astype(np.int8),
        active=np.ones(count, dtype=bool),
        imported=np.zeros(count, dtype=bool),
        k=k,
        ranks=_padded(ranks, 0),
        display_order=_padded(orders, -1),
        milliseconds=np.array(milliseconds or [1000] * count, dtype=np.int64),
        created_at=start + np.array(days or [0] * count, dtype="timedelta64[D]"),
        policy_version=zeros.astype(np.int32),
        guideline_version=zeros.astype(np.int32),
        strength=zeros.astype(np.int8),
        fast=np.zeros(count, dtype=bool),
        arena=np.zeros(count, dtype=bool),
        confidence=np.full(count, np.nan, dtype=np.float32),
        language=zeros.astype(np.int32),
        languages=("",),
        likert={},
        checks={},
        tags=pd.DataFrame({"prompt_id": [], "tag": []}),
        annotators=pd.DataFrame({"name": [], "kind": [], "active": []}),
    )


def _padded(lists: Sequence[Sequence[int]], fill: int) -> np.ndarray:
    table = np.full((len(lists), 9), fill, dtype=np.int8)
    for row, values in enumerate(lists):
        table[row, : len(values)] = values
    return table
