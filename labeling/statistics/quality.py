"""How well annotators agree, and what each has done, from the current judgments of a project."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sqlalchemy import select
from sqlmodel import Session, col

from labeling.permissions import Action, require
from labeling.statistics.between_raters import agreement_with, agreement_with_others
from labeling.statistics.figure import Figure
from labeling.statistics.judgment_columns import KINDS, JudgmentColumns, judgment_columns
from labeling.statistics.measured_times import seconds_of
from labeling.statistics.measures import ranking_figures
from labeling.statistics.pair_rows import pair_rows
from labeling.statistics.rankings import Rankings, rankings_of_columns
from storage.tables import Account, AccountKind, Assignment, AssignmentState, Task


@dataclass(frozen=True)
class Quality:
    """Hold a project's quality figures, each with its n and interval.

    Overall figures are of people and simulated annotators; what each means is said where it is
    measured (`agreement`, `kappa`, `between_raters`, `rank_correlation`). `annotators` has
    everyone, one row each: annotator_id, name, kind, judgments, skipped, tie_share (of the pairs
    they ranked), median_seconds, agreement (with all other people, on pairs; None without any),
    agreement_n, last_at.
    """

    judgments: int
    tasks: int
    tasks_judged_twice: int
    pairwise_agreement: Figure
    pairwise_without_ties: Figure
    krippendorff_alpha: Figure
    krippendorff_alpha_of_ranks: Figure
    fleiss_kappa: Figure
    cohen_kappa: Figure
    cohen_kappa_linear: Figure
    cohen_kappa_quadratic: Figure
    gwet_ac1: Figure
    gwet_ac2: Figure
    kendall_tau_b: Figure
    kendall_w: Figure
    exact_order: Figure
    top_one: Figure
    tie_share: Figure
    annotators: pd.DataFrame


def quality(session: Session, *, project_id: int, account: Account) -> Quality:
    """Measure the project's current judgments; raise `NotAllowed` without the permission.

    Pair figures rate each pair of completions of a task as better, worse or tied; alpha on pairs
    is nominal, alpha on ranks ordinal over completions.
    """
    require(account, Action.SEE_QUALITY, project_id=project_id)
    columns = judgment_columns(session, project_id=project_id)
    judged = columns.by_people()
    rankings = rankings_of_columns(judged)
    _, of_task = np.unique(judged.task_id, return_counts=True)
    return Quality(
        judgments=len(judged),
        tasks=len(of_task),
        tasks_judged_twice=int((of_task > 1).sum()),
        annotators=_annotators(session, project_id, columns, rankings),
        **ranking_figures(rankings),
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


def _annotators(
    session: Session, project_id: int, columns: JudgmentColumns, people: Rankings
) -> pd.DataFrame:
    skipped = _skipped(session, project_id)
    ids = sorted({*columns.annotator_id.tolist(), *skipped.index})
    table = _accounts(session, ids)
    judged = pd.DataFrame(
        {
            "annotator_id": columns.annotator_id,
            "seconds": seconds_of(columns.milliseconds, columns.fast),
            "created_at": columns.created_at,
        }
    )
    group = judged.groupby("annotator_id")
    agreement = _agreement(columns, people)
    table["judgments"] = group.size().reindex(table.index, fill_value=0).astype(int)
    table["skipped"] = skipped.reindex(table.index, fill_value=0).astype(int)
    only_people = len(columns.by_people()) == len(columns)
    table["tie_share"] = _tie_shares(people if only_people else rankings_of_columns(columns))
    table["median_seconds"] = group["seconds"].median()
    table["agreement"] = agreement["agreement"]
    table["agreement_n"] = agreement["n"].reindex(table.index, fill_value=0).astype(int)
    table["last_at"] = group["created_at"].max().dt.tz_localize("UTC")
    measured = ["tie_share", "median_seconds", "agreement", "last_at"]
    table[measured] = table[measured].astype(object).where(table[measured].notna(), None)
    return table.reset_index()


def _accounts(session: Session, ids: list[int]) -> pd.DataFrame:
    """Return name and kind, indexed by annotator_id."""
    accounts = session.execute(
        select(col(Account.id), col(Account.name), col(Account.kind)).where(
            col(Account.id).in_(ids)
        )
    ).all()
    table = pd.DataFrame(accounts, columns=["annotator_id", "name", "kind"])
    table["kind"] = [str(kind) for kind in table["kind"]]
    return table.set_index("annotator_id").sort_index()


def _tie_shares(rankings: Rankings) -> "pd.Series[float]":
    """Return the share of the pairs that each annotator ranked equal."""
    parts = [
        pd.DataFrame(
            {
                "annotator_id": part.rater,
                "tied": (part.outcomes == 0).sum(axis=1),
                "pairs": part.outcomes.shape[1],
            }
        )
        for part in rankings.parts
    ]
    empty = pd.DataFrame({"annotator_id": [], "tied": [], "pairs": []}, dtype=np.int64)
    found = pd.concat([empty, *parts]).groupby("annotator_id").sum()
    return found["tied"] / found["pairs"]


def _agreement(columns: JudgmentColumns, people: Rankings) -> pd.DataFrame:
    """Return each annotator's agreement with people; a model's changes nobody else's."""
    models = columns.where(columns.kind == KINDS.index(AccountKind.MODEL))
    answers = people.pair_answers
    theirs = rankings_of_columns(models).pair_answers if len(models) else []
    return pd.concat([agreement_with_others(answers), agreement_with(theirs, answers)])


def _skipped(session: Session, project_id: int) -> "pd.Series[int]":
    # From each account by an index: by the project, all its tasks would be gone through.
    rows = session.execute(
        select(col(Assignment.annotator_id))
        .join(Task, col(Task.id) == col(Assignment.task_id))
        .where(
            col(Task.project_id) + 0 == project_id,
            col(Assignment.annotator_id).in_(select(col(Account.id))),
            col(Assignment.state) == AssignmentState.SKIPPED,
        )
    ).all()
    return pd.Series([row[0] for row in rows], dtype="int64").value_counts()
