"""What leads' figures are, by name: each measured by one function of the database, anywhere.

The web server measures them, or a process that it keeps for that (`ui.figures.measuring_process`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy
import pandas
from sqlmodel import Session

from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.model_annotators.model_quality import ModelFigures, model_figures
from labeling.review.reviews import review_queue
from labeling.statistics.annotator_reliability import (
    AnnotatorReliability,
    annotator_reliability,
)
from labeling.statistics.between_raters import agreement_matrix, rater_tables
from labeling.statistics.breakdowns import DIMENSIONS, Dimension, breakdown
from labeling.statistics.judgment_columns import KINDS, judgment_columns
from labeling.statistics.quality import Quality
from labeling.statistics.quality import quality as measure_quality
from labeling.statistics.rankings import rankings_of_columns
from labeling.statistics.reliability import annotator_evidence
from labeling.statistics.reliability import reliability as measure_reliability
from labeling.statistics.throughput import WorkByHour, work_by_hour
from labeling.statistics.where_it_hurts import WhereItHurts, where_it_hurts
from storage.tables import Account, AccountKind, Role
from ui import process

#: the measures that groups of judgments are compared by
DIVIDED = ("krippendorff_alpha", "pairwise_agreement", "kendall_w", "gwet_ac1", "top_one")
NO_WEIGHTS = pandas.DataFrame(
    {name: pandas.Series(dtype=float) for name in ("weight", "ability", "comparisons")}
)
# Nobody sees what is measured here but those who may: `kept_figures.kept` asks for the permission.
_SERVER = Account(name="the server", role=Role.ADMIN)


def _quality(rows: Session) -> Quality:
    return measure_quality(rows, project_id=process.project_id(), account=_SERVER)


def _reliability(rows: Session) -> pandas.DataFrame:
    return measure_reliability(rows, project_id=process.project_id(), account=_SERVER)


def _annotators(rows: Session) -> AnnotatorReliability:
    here, home = process.project_id(), process.settings().home
    return annotator_reliability(
        rows, project_id=here, account=_SERVER, home=home, evidence=NO_WEIGHTS
    )


def _weights(rows: Session) -> pandas.DataFrame:
    project = process.project()
    most = labeling_settings(project).reliability.newest_judgments
    found = judgment_columns(rows, project_id=key_of(project))
    newest = numpy.arange(len(found)) >= len(found) - most
    return annotator_evidence(rows, project_id=key_of(project), columns=found.where(newest))


def _between(rows: Session) -> pandas.DataFrame:
    people = judgment_columns(rows, project_id=process.project_id()).by_people()
    return agreement_matrix(rater_tables(rankings_of_columns(people).pair_answers))


def _divided(rows: Session, *, by: Dimension) -> pandas.DataFrame:
    found = judgment_columns(rows, project_id=process.project_id())
    return breakdown(found, by, measures=DIVIDED)


def _hurts(rows: Session) -> WhereItHurts:
    here, home = process.project_id(), process.settings().home
    return where_it_hurts(rows, project_id=here, account=_SERVER, home=home)


def _models(rows: Session) -> list[ModelFigures]:
    here = process.project_id()
    found = judgment_columns(rows, project_id=here)
    if not (found.kind == KINDS.index(AccountKind.MODEL)).any():
        return []
    return model_figures(rows, project_id=here, account=_SERVER)


def _work(rows: Session) -> WorkByHour:
    return work_by_hour(rows, project_id=process.project_id(), account=_SERVER)


def _waiting(rows: Session) -> int:
    here, home = process.project_id(), process.settings().home
    return len(review_queue(rows, project_id=here, account=_SERVER, home=home))


def named_by(dimension: Dimension) -> str:
    """Return the name of the figures that are divided by this."""
    return f"by {dimension}"


#: by the name that the figures are kept under
MEASURES: dict[str, Callable[[Session], Any]] = {
    "quality": _quality,
    "reliability": _reliability,
    "annotators": _annotators,
    "weights": _weights,
    "between": _between,
    "hurts": _hurts,
    "models": _models,
    "work": _work,
    "waiting": _waiting,
    **{named_by(one): partial(_divided, by=one) for one in DIMENSIONS},
}
