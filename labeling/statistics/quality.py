"""How well annotators agree, and what each has done, from the current judgments of a project."""

from dataclasses import dataclass

import pandas as pd
from sqlalchemy import select
from sqlmodel import Session, col

from labeling.datasets.judged import counted, pair_rows
from labeling.permissions import Action, require
from labeling.statistics.agreement import (
    Figure,
    agreement_by_annotator,
    krippendorff_alpha,
    pairwise_agreement,
)
from storage.tables import Account, AccountKind, Assignment, AssignmentState, Judgment, Task

_COLUMNS = ("judgment_id", "task_id", "annotator_id", "ranks", "milliseconds", "created_at", "kind")


@dataclass(frozen=True)
class Quality:
    """Hold a project's quality figures, each with its n.

    Overall figures are of people and simulated annotators; `annotators` has everyone, one row
    each: annotator_id, name, kind, judgments, skipped, tie_share (of the pairs they ranked),
    median_seconds, agreement (with all other people, on pairs; None without any), agreement_n,
    last_at.
    """

    judgments: int
    tasks: int
    tasks_judged_twice: int
    pairwise_agreement: Figure
    pairwise_without_ties: Figure
    krippendorff_alpha: Figure
    krippendorff_alpha_of_ranks: Figure
    tie_share: Figure
    annotators: pd.DataFrame


def quality(session: Session, *, project_id: int, account: Account) -> Quality:
    """Measure the project's current judgments; raise `NotAllowed` without the permission.

    Pair figures rate each pair of completions of a task as better, worse or tied; alpha on pairs
    is nominal, alpha on ranks ordinal over completions.
    """
    require(account, Action.SEE_QUALITY)
    judgments = _judgments(session, project_id)
    judged = judgments[judgments["kind"] != AccountKind.MODEL].reset_index(drop=True)
    pairs = pair_ratings(judged)
    of_task = judged["task_id"].value_counts()
    return Quality(
        judgments=len(judged),
        tasks=len(of_task),
        tasks_judged_twice=int((of_task > 1).sum()),
        pairwise_agreement=pairwise_agreement(pairs),
        pairwise_without_ties=pairwise_agreement(pairs[pairs["value"] != 0]),
        krippendorff_alpha=krippendorff_alpha(pairs, "nominal"),
        krippendorff_alpha_of_ranks=krippendorff_alpha(rank_ratings(judged), "ordinal"),
        tie_share=_share(pairs["value"] == 0, "ranked pairs"),
        annotators=_annotators(session, project_id, judgments),
    )


def pair_ratings(judged: pd.DataFrame) -> pd.DataFrame:
    """Return ratings of completion pairs: value 1, -1 or 0 where the first is better, worse, tied.

    `judged` has task_id, annotator_id and ranks, one row a judgment.
    """
    pairs = pair_rows(judged)
    task = judged["task_id"].to_numpy()[pairs["row"]].astype(int)
    # K is at most 9, so that i and j are one digit each.
    return pd.DataFrame(
        {
            "task_id": task,
            "unit": task * 100 + pairs["i"].to_numpy() * 10 + pairs["j"].to_numpy(),
            "annotator_id": judged["annotator_id"].to_numpy()[pairs["row"]],
            "value": pairs["outcome"],
        }
    )


def rank_ratings(judged: pd.DataFrame) -> pd.DataFrame:
    """Return ratings of completions: value is the rank, averaged over a tie (1, 2.5, 2.5, 4)."""
    long = judged[["task_id", "annotator_id", "ranks"]].explode("ranks")
    # Dense ranks of rankings with more and fewer ties would not be on one scale.
    place = long.groupby(level=0)["ranks"].rank(method="average") if len(long) else long["ranks"]
    position = long.groupby(level=0).cumcount()
    return pd.DataFrame(
        {
            "unit": long["task_id"].astype(int) * 10 + position,
            "annotator_id": long["annotator_id"],
            "value": place.astype(float),
        }
    )


def _share(holds: "pd.Series[bool]", of: str) -> Figure:
    return Figure(float(holds.mean()) if len(holds) else None, len(holds), of)


def _judgments(session: Session, project_id: int) -> pd.DataFrame:
    statement = (
        select(
            col(Judgment.id),
            col(Judgment.task_id),
            col(Judgment.annotator_id),
            col(Judgment.ranks),
            col(Judgment.milliseconds),
            col(Judgment.created_at),
            col(Account.kind),
        )
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .where(col(Judgment.project_id) == project_id, *counted())
        .order_by(col(Judgment.id))
    )
    return pd.DataFrame(session.execute(statement).all(), columns=list(_COLUMNS))


def _annotators(session: Session, project_id: int, judgments: pd.DataFrame) -> pd.DataFrame:
    skipped = _skipped(session, project_id)
    ids = sorted({*judgments["annotator_id"], *skipped.index})
    accounts = session.execute(
        select(col(Account.id), col(Account.name), col(Account.kind)).where(
            col(Account.id).in_(ids)
        )
    ).all()
    table = pd.DataFrame(accounts, columns=["annotator_id", "name", "kind"])
    table["kind"] = [str(kind) for kind in table["kind"]]
    table = table.set_index("annotator_id").sort_index()
    group = judgments.groupby("annotator_id")
    pairs = pair_ratings(judgments)
    agreement = _agreement(pairs, table)
    table["judgments"] = group.size().reindex(table.index, fill_value=0).astype(int)
    table["skipped"] = skipped.reindex(table.index, fill_value=0).astype(int)
    table["tie_share"] = (pairs["value"] == 0).groupby(pairs["annotator_id"]).mean()
    table["median_seconds"] = group["milliseconds"].median() / 1000
    table["agreement"] = agreement["agreement"]
    table["agreement_n"] = agreement["n"].reindex(table.index, fill_value=0).astype(int)
    table["last_at"] = group["created_at"].max()
    measured = ["tie_share", "median_seconds", "agreement", "last_at"]
    table[measured] = table[measured].astype(object).where(table[measured].notna(), None)
    return table.reset_index()


def _agreement(pairs: pd.DataFrame, accounts: pd.DataFrame) -> pd.DataFrame:
    """Return each annotator's agreement with people; a model's changes nobody else's."""
    models = accounts.index[accounts["kind"] == AccountKind.MODEL.value]
    by_people = pairs[~pairs["annotator_id"].isin(models)]
    found = [agreement_by_annotator(by_people)]
    for model in models:
        theirs = pd.concat([by_people, pairs[pairs["annotator_id"] == model]])
        measured = agreement_by_annotator(theirs)
        found.append(measured[measured.index == model])
    return pd.concat(found)


def _skipped(session: Session, project_id: int) -> "pd.Series[int]":
    rows = session.execute(
        select(col(Assignment.annotator_id))
        .join(Task, col(Task.id) == col(Assignment.task_id))
        .where(
            col(Task.project_id) == project_id,
            col(Assignment.state) == AssignmentState.SKIPPED,
        )
    ).all()
    return pd.Series([row[0] for row in rows], dtype="int64").value_counts()
