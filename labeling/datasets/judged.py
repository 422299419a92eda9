"""Rankings with what they rank, one row each: what training and figures start from.

What counts is decided here: `counted` for figures, `usable` for training and export.
"""

from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, Select, select, union
from sqlmodel import Session, col

from labeling.judging.judgments import not_superseded
from labeling.review.decisions import REAL_WORK, decided_labels, not_discarded
from labeling.withdrawals import not_withdrawn
from storage.tables import (
    Account,
    AccountKind,
    Completion,
    Judgment,
    Policy,
    Prompt,
    Review,
    ReviewDecision,
    Round,
    Task,
    TaskCompletion,
)

_OF_TASK = ("prompt_id", "split", "messages", "policy_version", "round")
_OF_RANKING = (
    *("judgment_id", "task_id", "ranks", "annotator_id", "annotator_kind", "created_at"),
)
#: The mark of a model's judgment that stands instead of people's (`model_judgments.py`).
TAKEN = "taken"
JUDGED_COLUMNS = (*_OF_RANKING, *_OF_TASK)


def counted() -> list[ColumnElement[bool]]:
    """Return the conditions under which a Judgment, joined with its Task, enters figures.

    It is the annotator's current one, of a task that is real work, no lead has discarded it, and no
    withdrawal covers it.
    """
    return [
        *(not_superseded(), not_discarded(), not_withdrawn()),
        col(Task.kind).in_(REAL_WORK),
    ]


def usable() -> list[ColumnElement[bool]]:
    """Return the conditions under which a Judgment, joined with its Task and Account, is trained.

    Besides `counted`, its account is active and no model.
    """
    return [*counted(), col(Account.active).is_(True), col(Account.kind) != AccountKind.MODEL]


def judged_tasks(
    session: Session, *, project_id: int, include_models: bool = False
) -> pd.DataFrame:
    """Return one row a ranking that training and export may use, oldest first.

    Those are the `usable` judgments; but where a lead has decided a task, the decision is its only
    row, instead of the judgments, which stay as they are in the database and in every figure of
    agreement. A decision has judgment_id 0, annotator_id of the lead, and created_at of its own.
    With `include_models`, the tasks that models took without people have their judgments too.

    Columns: judgment_id, task_id, ranks (list by task position), annotator_id, annotator_kind
    (person, simulated or model), created_at, prompt_id, split (text), messages (list),
    policy_version, round (number of the round that made the policy; 0 for one that no round made),
    and completion_ids, completions and finish_reasons (lists by position).
    """
    decided = decided_labels(session, project_id=project_id)
    rankings = _usable_judgments(session, project_id)
    if include_models:
        rankings = _with_taken(rankings, _model_judgments(session, project_id))
    rankings = rankings[~rankings["task_id"].isin(decided["task_id"])]
    if not decided.empty:
        rankings = pd.concat([rankings, _as_rankings(decided)], ignore_index=True)
        rankings = rankings.sort_values("created_at", kind="stable")
    found = rankings.join(_tasks(session, project_id), on="task_id")
    found = found.join(_task_completions(session, project_id), on="task_id")
    return found.reset_index(drop=True)


def _usable_judgments(session: Session, project_id: int) -> pd.DataFrame:
    rows = session.execute(_rankings(project_id).where(*usable())).all()
    return _with_kind(pd.DataFrame(rows, columns=[*_OF_RANKING, "marks"]))


def _model_judgments(session: Session, project_id: int) -> pd.DataFrame:
    conditions = [*counted(), col(Account.active), col(Account.kind) == AccountKind.MODEL]
    rows = session.execute(_rankings(project_id).where(*conditions)).all()
    found = pd.DataFrame(rows, columns=[*_OF_RANKING, "marks"])
    taken = [TAKEN in marks for marks in found["marks"]]
    return _with_kind(found[pd.Series(taken, index=found.index, dtype=bool)])


def _with_kind(found: pd.DataFrame) -> pd.DataFrame:
    kinds = [str(kind) for kind in found["annotator_kind"]]
    return found.assign(annotator_kind=kinds)[list(_OF_RANKING)]


def _rankings(project_id: int) -> Any:
    return (
        select(
            col(Judgment.id),
            col(Judgment.task_id),
            col(Judgment.ranks),
            col(Judgment.annotator_id),
            col(Account.kind),
            col(Judgment.created_at),
            col(Judgment.marks),
        )
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .where(col(Judgment.project_id) == project_id)
        .order_by(col(Judgment.id))
    )


def _with_taken(rankings: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return the rankings and those of models, oldest first; where people judged, theirs alone."""
    added = models[~models["task_id"].isin(rankings["task_id"])]
    both = pd.concat([rankings, added], ignore_index=True) if len(added) else rankings
    return both.sort_values("created_at", kind="stable")


def _as_rankings(decided: pd.DataFrame) -> pd.DataFrame:
    renamed = decided.rename(columns={"by_id": "annotator_id", "decided_at": "created_at"})
    # Only people lead.
    kind = AccountKind.PERSON.value
    return renamed.assign(judgment_id=0, annotator_kind=kind)[list(_OF_RANKING)]


def _judged_ids(project_id: int) -> Select[Any]:
    """Select the ids of the tasks that have a judgment, or a lead's decision."""
    both = union(
        select(col(Judgment.task_id)).where(col(Judgment.project_id) == project_id),
        select(col(Review.task_id)).where(
            col(Review.project_id) == project_id,
            col(Review.decision) == ReviewDecision.DECIDED,
        ),
    ).subquery()
    return select(both.c.task_id)


def _tasks(session: Session, project_id: int) -> pd.DataFrame:
    """Return the columns `_OF_TASK`, indexed by task."""
    statement = (
        select(
            col(Task.id),
            col(Task.prompt_id),
            col(Prompt.split),
            col(Prompt.messages),
            col(Policy.version),
            col(Round.number),
        )
        .join(Prompt, col(Prompt.id) == col(Task.prompt_id))
        .join(Policy, col(Policy.id) == col(Task.policy_id))
        .join(Round, col(Round.id) == col(Policy.round_id), isouter=True)
        .where(col(Task.id).in_(_judged_ids(project_id)))
    )
    rows = pd.DataFrame(session.execute(statement).all(), columns=["task_id", *_OF_TASK])
    rows["split"] = [str(split) for split in rows["split"]]
    rows["round"] = rows["round"].fillna(0).astype(int)
    return rows.set_index("task_id")


def _task_completions(session: Session, project_id: int) -> pd.DataFrame:
    """Return completion_ids, completions and finish_reasons (by position), indexed by task."""
    statement = (
        select(
            col(TaskCompletion.task_id),
            col(Completion.id),
            col(Completion.text),
            col(Completion.finish_reason),
        )
        .join(Completion, col(Completion.id) == col(TaskCompletion.completion_id))
        .where(col(TaskCompletion.task_id).in_(_judged_ids(project_id)))
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
