"""Intransitive judgments: A above B, B above C, and yet C above A.

One ranking cannot contradict itself. Several can: those of one annotator on tasks that share
completions, and the majority of a task's annotators (Condorcet's paradox).
"""

import numpy as np
import pandas as pd
from sqlalchemy import func, select
from sqlmodel import Session, col

from labeling.reliability_models.rankings import RankingBlock, Rankings
from labeling.statistics.judgment_columns import JudgmentColumns
from storage.tables import Task, TaskCompletion

CIRCLE_COLUMNS = ("annotator_id", "first", "second", "third", "tasks")
CYCLE_COLUMNS = ("task_id", "judgments", "first", "second", "third")


def majority_circles(rankings: Rankings) -> pd.DataFrame:
    """Return the tasks whose majorities go round in a circle; one row a circle of three.

    Columns: task_id, judgments, and first, second and third: task positions of which most
    annotators put each before the next, and the third before the first (Condorcet 1785).
    """
    tables = [_circles_of(block) for block in rankings.blocks]
    found = pd.concat(tables) if tables else pd.DataFrame(columns=list(CYCLE_COLUMNS))
    return found.sort_values(list(CYCLE_COLUMNS)).reset_index(drop=True)


def own_circles(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the circles of three in one annotator's judgments of several tasks.

    `pairs` has annotator_id, task_id, better and worse (completion ids), one row for each strict
    pair that stands in more than one task with others (`shared_pairs`). Columns: annotator_id;
    first, second, third, completion ids of which each was put before the next and the third before
    the first, the smallest first; tasks, the list of tasks that say so. Circular triads as in
    Kendall and Babington Smith 1940, Biometrika 31, 324-345, §3. A circle within the judgments of
    one task is none of those: a ranking has none.
    """
    edges = pairs[["annotator_id", "better", "worse", "task_id"]]
    two = edges.merge(edges, left_on=["annotator_id", "worse"], right_on=["annotator_id", "better"],
                      suffixes=("_1", "_2"))  # fmt: skip
    three = two.merge(
        edges.rename(columns={"better": "better_3", "worse": "worse_3", "task_id": "task_id_3"}),
        left_on=["annotator_id", "worse_2", "better_1"],
        right_on=["annotator_id", "better_3", "worse_3"],
    )
    # Each circle is found from each of its three sides.
    smallest = (three["better_1"] < three["better_2"]) & (three["better_1"] < three["better_3"])
    three = three[smallest].drop_duplicates(["annotator_id", "better_1", "better_2", "better_3"])
    tasks = [sorted({int(task) for task in row})
             for row in three[["task_id_1", "task_id_2", "task_id_3"]].to_numpy()]  # fmt: skip
    return pd.DataFrame(
        {
            "annotator_id": three["annotator_id"],
            "first": three["better_1"],
            "second": three["better_2"],
            "third": three["better_3"],
            "tasks": pd.Series(tasks, index=three.index, dtype=object),
        }
    ).reset_index(drop=True)


def shared_pairs(session: Session, *, project_id: int, columns: JudgmentColumns) -> pd.DataFrame:
    """Return every strict pair of completions that stand in two tasks or more, as judged.

    Columns: annotator_id, task_id, better and worse (completion ids).
    """
    places = _shared_completions(session, project_id)
    empty = pd.DataFrame(columns=["annotator_id", "task_id", "better", "worse"], dtype="int64")
    if places.empty:
        return empty
    rows = np.flatnonzero(np.isin(columns.task_id, places["task_id"].unique()))
    judged = pd.DataFrame(
        {"row": rows, "task_id": columns.task_id[rows], "annotator_id": columns.annotator_id[rows]}
    ).merge(places, on="task_id")
    judged["rank"] = columns.ranks[judged["row"], judged["position"]]
    both = judged.merge(judged[["row", "completion_id", "rank"]], on="row", suffixes=("", "_2"))
    strict = both[both["rank"] < both["rank_2"]]
    return strict.rename(columns={"completion_id": "better", "completion_id_2": "worse"})[
        list(empty.columns)
    ].reset_index(drop=True)


def _shared_completions(session: Session, project_id: int) -> pd.DataFrame:
    several = (
        select(col(TaskCompletion.completion_id))
        .join(Task, col(Task.id) == col(TaskCompletion.task_id))
        .where(col(Task.project_id) == project_id)
        .group_by(col(TaskCompletion.completion_id))
        .having(func.count() > 1)
    )
    rows = session.connection().execute(
        select(
            col(TaskCompletion.task_id),
            col(TaskCompletion.position),
            col(TaskCompletion.completion_id),
        ).where(col(TaskCompletion.completion_id).in_(several))
    )
    table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 3)
    return pd.DataFrame(table, columns=["task_id", "position", "completion_id"])


def _circles_of(block: RankingBlock) -> pd.DataFrame:
    wins = block.wins()
    beats = wins > wins.transpose(0, 2, 1)
    size = np.arange(block.k)
    circle = beats[:, :, :, None] & beats[:, None, :, :] & beats.transpose(0, 2, 1)[:, :, None, :]
    # Told once, from its first position on.
    circle &= (size[:, None, None] < size[:, None]) & (size[:, None, None] < size)
    task, first, second, third = np.nonzero(circle)
    judgments = np.bincount(block.task, minlength=len(block.tasks))
    return pd.DataFrame(
        dict(
            zip(
                CYCLE_COLUMNS,
                (block.tasks[task], judgments[task], first, second, third),
                strict=True,
            )
        )
    )
