"""Current judgments with what they judged, one row each: what training and figures start from."""

import numpy as np
import pandas as pd
from sqlalchemy import select
from sqlmodel import Session, col

from labeling.judgments import not_superseded
from storage.tables import (
    Account,
    AccountKind,
    Completion,
    Judgment,
    Policy,
    Prompt,
    Round,
    Task,
    TaskCompletion,
)

JUDGED_COLUMNS = (
    "judgment_id",
    "task_id",
    "prompt_id",
    "split",
    "messages",
    "policy_version",
    "round",
    "ranks",
    "annotator_id",
    "created_at",
)


def judged_tasks(session: Session, *, project_id: int) -> pd.DataFrame:
    """Return one row a current judgment by an active account that is no model, oldest first.

    Columns: judgment_id, task_id, prompt_id, split (text), messages (list), policy_version, round
    (number of the round that made the policy; 0 for one that no round made), ranks (list by task
    position), annotator_id, created_at, and completion_ids, completions and finish_reasons (lists
    by position).
    """
    statement = (
        select(
            col(Judgment.id),
            col(Judgment.task_id),
            col(Task.prompt_id),
            col(Prompt.split),
            col(Prompt.messages),
            col(Policy.version),
            col(Round.number),
            col(Judgment.ranks),
            col(Judgment.annotator_id),
            col(Judgment.created_at),
        )
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .join(Prompt, col(Prompt.id) == col(Task.prompt_id))
        .join(Policy, col(Policy.id) == col(Task.policy_id))
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .join(Round, col(Round.id) == col(Policy.round_id), isouter=True)
        .where(
            col(Judgment.project_id) == project_id,
            not_superseded(),
            col(Account.active).is_(True),
            col(Account.kind) != AccountKind.MODEL,
        )
        .order_by(col(Judgment.id))
    )
    judged = pd.DataFrame(session.execute(statement).all(), columns=list(JUDGED_COLUMNS))
    judged["split"] = [str(split) for split in judged["split"]]
    judged["round"] = judged["round"].fillna(0).astype(int)
    return judged.join(_task_completions(session, project_id), on="task_id")


def _task_completions(session: Session, project_id: int) -> pd.DataFrame:
    """Return completion_ids, completions and finish_reasons (by position), indexed by task."""
    judged = select(col(Judgment.task_id)).where(col(Judgment.project_id) == project_id)
    statement = (
        select(
            col(TaskCompletion.task_id),
            col(Completion.id),
            col(Completion.text),
            col(Completion.finish_reason),
        )
        .join(Completion, col(Completion.id) == col(TaskCompletion.completion_id))
        .where(col(TaskCompletion.task_id).in_(judged))
        .order_by(col(TaskCompletion.task_id), col(TaskCompletion.position))
    )
    columns = ["task_id", "completion_ids", "completions", "finish_reasons"]
    rows = pd.DataFrame(session.execute(statement).all(), columns=columns)
    return rows.groupby("task_id").agg(list)


def pair_rows(judged: pd.DataFrame) -> pd.DataFrame:
    """Return one row a judgment and pair of positions i < j, vectorised over rankings of one K.

    Columns: row (position of the judgment in `judged`), i, j, and outcome: 1 where i is ranked
    better, -1 where j is, 0 where they are tied.
    """
    lengths = judged["ranks"].map(len).to_numpy(dtype=int)
    parts = []
    for k in np.unique(lengths):
        rows = np.flatnonzero(lengths == k)
        ranks = np.array(judged["ranks"].iloc[rows].tolist(), dtype=int).reshape(len(rows), k)
        i, j = np.triu_indices(k, 1)
        parts.append(
            pd.DataFrame(
                {
                    "row": np.repeat(rows, len(i)),
                    "i": np.tile(i, len(rows)),
                    "j": np.tile(j, len(rows)),
                    "outcome": np.sign(ranks[:, j] - ranks[:, i]).ravel(),
                }
            )
        )
    if not parts:
        return pd.DataFrame({name: np.array([], int) for name in ("row", "i", "j", "outcome")})
    return pd.concat(parts).sort_values(["row", "i", "j"], ignore_index=True)
