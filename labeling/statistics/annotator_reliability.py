"""All that is known of how far each annotator can be relied on, in one table, and what it is of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sqlmodel import Session

from labeling.permissions import Action, require
from labeling.reliability_models.rankings import Rankings, as_rankings
from labeling.statistics.clustered_shares import clustered_shares
from labeling.statistics.drift import by_week, drift
from labeling.statistics.judgment_columns import JudgmentColumns, judgment_columns
from labeling.statistics.label_errors import agreement_with_reward_model, unseen_pairs_of
from labeling.statistics.leave_one_out import leave_one_out
from labeling.statistics.length_bias import completion_lengths, length_bias
from labeling.statistics.measured_times import seconds_of
from labeling.statistics.position_bias import position_bias
from labeling.statistics.reliability import annotator_evidence, reliability
from storage.tables import Account

#: Shares with their interval: each has NAME, NAME_low, NAME_high (None where nothing) and NAME_n.
SHARES = ("with_others", "with_reward_model", "first_shown_wins", "longer_wins", "tie_share")


@dataclass(frozen=True)
class AnnotatorReliability:
    """Hold the figures of each annotator (models left out), and the same of all together.

    `annotators` has one row each, by name: annotator_id, name, judgments, weight (reliability, in
    [0, 1]), ability (share of right comparisons, with the prior) and comparisons; gold, gold_tasks,
    self_agreement, self_pairs, fast and qualification as in `labeling.statistics.reliability`; the
    `SHARES`: with_others (leave-one-out agreement), with_reward_model (out of fold),
    first_shown_wins (beside it first_shown_chance and position_biased), longer_wins, tie_share;
    median_seconds and judgments_an_hour (of the time spent on tasks, where it is known); drift,
    drift_low, drift_high (change of with_others in a week). `overall` has the `SHARES` of everyone.
    `places` is how often what is shown in each place wins, by k and place; `weeks` one row an
    annotator and week.
    """

    annotators: pd.DataFrame
    overall: Mapping[str, float | None]
    places: pd.DataFrame
    weeks: pd.DataFrame


def annotator_reliability(
    session: Session,
    *,
    project_id: int,
    account: Account | None,
    home: Path,
    evidence: pd.DataFrame | None = None,
) -> AnnotatorReliability:
    """Measure everyone who has judged; raise `NotAllowed` without the permission.

    `home` is where rounds keep what their reward models thought of the labels. `evidence` is
    `annotator_evidence`'s table where the caller has it: measuring it takes longer than all else.
    """
    if account is not None:
        require(account, Action.SEE_QUALITY, project_id=project_id)
    columns = judgment_columns(session, project_id=project_id).by_people()
    rankings = as_rankings(columns)
    agreed, of = leave_one_out(rankings, len(columns))
    ties, pairs = _ties(rankings, len(columns))
    lengths = completion_lengths(session, project_id=project_id, task_id=columns.task_id)
    unseen = unseen_pairs_of(session, project_id=project_id, home=home, columns=columns)
    bias, longer = position_bias(columns), length_bias(columns, lengths)
    shares = {
        "with_others": _both(agreed, of, columns.annotator_id),
        "with_reward_model": (
            agreement_with_reward_model(unseen.assign(annotator_id=0)),
            agreement_with_reward_model(unseen),
        ),
        "first_shown_wins": (bias.overall, bias.annotators),
        "longer_wins": longer,
        "tie_share": _both(ties, pairs, columns.annotator_id),
    }
    table = reliability(session, project_id=project_id, account=account).set_index("annotator_id")
    if evidence is None:
        evidence = annotator_evidence(session, project_id=project_id, columns=columns)
    table = table.join(evidence[["weight", "ability", "comparisons"]])
    for name, (_, of_each) in shares.items():
        table = table.join(_named(of_each, name))
    table = table.join(_pace(columns)).join(drift(columns, agreed, of))
    return AnnotatorReliability(
        annotators=_without_nan(table.reset_index()),
        overall=_overall({name: both[0] for name, both in shares.items()}),
        places=bias.places.reset_index(),
        weeks=_without_nan(by_week(columns, agreed, of, ties, pairs)),
    )


def _both(hits: np.ndarray, of: np.ndarray, who: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    return clustered_shares(hits, of, np.zeros(len(of), dtype=int)), clustered_shares(hits, of, who)


def _ties(rankings: Rankings, judgments: int) -> tuple[np.ndarray, np.ndarray]:
    ties, pairs = np.zeros(judgments), np.zeros(judgments)
    for block in rankings.blocks:
        ties[block.row] = (block.outcomes == 0).sum(axis=1)
        pairs[block.row] = block.outcomes.shape[1]
    return ties, pairs


def _named(found: pd.DataFrame, name: str) -> pd.DataFrame:
    names = {"value": name} | {part: f"{name}_{part}" for part in ("low", "high", "n")}
    return found.rename(
        columns=names | {"chance": "first_shown_chance", "biased": "position_biased"}
    )


def _overall(shares: Mapping[str, pd.DataFrame]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, table in shares.items():
        row = _named(table, name).iloc[0].to_dict() if len(table) else {name: None, f"{name}_n": 0}
        found |= {str(key): value for key, value in row.items()}
    return found


def _pace(columns: JudgmentColumns) -> pd.DataFrame:
    taken = pd.Series(seconds_of(columns.milliseconds, columns.fast))
    seconds = taken.groupby(columns.annotator_id)
    hours = seconds.sum() / 3600
    return pd.DataFrame(
        {
            "median_seconds": seconds.median(),
            "judgments_an_hour": seconds.count() / hours.where(hours > 0),
        }
    )


def _without_nan(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with None for what was not measured, and counts as whole numbers."""
    counts = [name for name in table.columns if str(name).endswith(("_n", "_tasks", "_pairs"))]
    table[counts] = table[counts].fillna(0).astype(int)
    empty = [name for name in table.columns if table[name].isna().any()]
    table[empty] = table[empty].astype(object).where(table[empty].notna(), None)
    return table
