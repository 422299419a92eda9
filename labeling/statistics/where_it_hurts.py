"""Where it hurts: the tasks, pairs and annotators that disagreement comes from."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sqlmodel import Session

from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require
from labeling.reliability_models.rankings import as_rankings
from labeling.statistics.disagreement import tasks_by_disagreement
from labeling.statistics.intransitivity import majority_circles, own_circles, shared_pairs
from labeling.statistics.judgment_columns import judgment_columns
from labeling.statistics.label_errors import label_errors, unseen_pairs_of
from storage.tables import Account, Project


@dataclass(frozen=True)
class WhereItHurts:
    """Hold what a lead looks at first; every row names the tasks, and so the judgments, behind it.

    `disputed` as `tasks_by_disagreement` says, `label_errors`, `majority_circles` and `own_circles`
    as the functions of these names say.
    """

    disputed: pd.DataFrame
    label_errors: pd.DataFrame
    majority_circles: pd.DataFrame
    own_circles: pd.DataFrame


def where_it_hurts(
    session: Session, *, project_id: int, account: Account | None, home: Path, most: int = 50
) -> WhereItHurts:
    """Find at most `most` rows of each; models' judgments are left out.

    `account` asks (None: the person at the server's shell); raises `NotAllowed`. `home` is where
    rounds keep what their reward models thought of the labels.
    """
    if account is not None:
        require(account, Action.SEE_QUALITY, project_id=project_id)
    settings = labeling_settings(session.get_one(Project, project_id)).reliability
    columns = judgment_columns(session, project_id=project_id).by_people()
    rankings = as_rankings(columns)
    unseen = unseen_pairs_of(session, project_id=project_id, home=home, columns=columns)
    shared = shared_pairs(session, project_id=project_id, columns=columns)
    return WhereItHurts(
        disputed=tasks_by_disagreement(rankings, most=most),
        label_errors=label_errors(unseen, columns, above=settings.label_error, most=most),
        majority_circles=majority_circles(rankings).head(most),
        own_circles=own_circles(shared).head(most),
    )
