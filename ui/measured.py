"""The figures of the leads' pages, each measured once for each state of the data."""

import numpy
import pandas
from sqlmodel import Session

from labeling.datasets.project_judgments import count_judged_prompts
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.loop_state import LoopState, loop_state
from labeling.model_annotators.model_quality import ModelFigures, model_figures
from labeling.permissions import Action
from labeling.review.reviews import review_queue
from labeling.statistics.annotator_reliability import (
    AnnotatorReliability,
    annotator_reliability,
)
from labeling.statistics.between_raters import agreement_matrix, rater_tables
from labeling.statistics.breakdowns import Dimension, breakdown
from labeling.statistics.breakdowns import imported_policies as names_of_imported
from labeling.statistics.judgment_columns import (
    KINDS,
    JudgmentColumns,
    judgment_columns,
)
from labeling.statistics.quality import Quality
from labeling.statistics.quality import quality as measure_quality
from labeling.statistics.rankings import rankings_of_columns
from labeling.statistics.reliability import annotator_evidence
from labeling.statistics.reliability import reliability as measure_reliability
from labeling.statistics.throughput import WorkByHour, work_by_hour
from labeling.statistics.where_it_hurts import WhereItHurts, where_it_hurts
from storage.clock import now
from storage.tables import Account, AccountKind, WorkerLease
from ui import process
from ui.kept_figures import kept

#: the measures that groups of judgments are compared by
DIVIDED = ("krippendorff_alpha", "pairwise_agreement", "kendall_w", "gwet_ac1", "top_one")
#: what the page Agreement divides it by before anything is chosen
USUAL: Dimension = "policy"
_NO_WEIGHTS = pandas.DataFrame(
    {name: pandas.Series(dtype=float) for name in ("weight", "ability", "comparisons")}
)


def loop(account: Account) -> LoopState:
    """Return policies, rounds, the pool, and how far the next round is; who ranks may ask too."""
    here, wanted = key_of(process.project()), process.settings().judgments_per_round
    return kept(
        "loop",
        lambda rows, _: loop_state(rows, project_id=here, judgments_per_round=wanted),
        account=account,
        action=None,
    )


def quality(account: Account) -> Quality:
    """Return how well annotators agree, and what each has done."""
    here = key_of(process.project())
    return kept(
        "quality",
        lambda rows, _: measure_quality(rows, project_id=here, account=account),
        account=account,
        on_disk={},
    )


def reliability(account: Account) -> pandas.DataFrame:
    """Return how far each annotator's judgments can be relied on."""
    here = key_of(process.project())
    return kept(
        "reliability",
        lambda rows, _: measure_reliability(rows, project_id=here, account=account),
        account=account,
        on_disk={},
    )


def annotators(account: Account) -> AnnotatorReliability:
    """Return what is known of how far each annotator can be relied on, but for the weights."""
    here, home = key_of(process.project()), process.settings().home
    return kept(
        "annotators",
        lambda rows, _: annotator_reliability(
            rows, project_id=here, account=account, home=home, evidence=_NO_WEIGHTS
        ),
        account=account,
        on_disk={"home": str(home)},
    )


def weights(account: Account) -> pandas.DataFrame:
    """Return `annotator_evidence` of the newest judgments; empty while it is measured at first."""
    project = process.project()
    most = labeling_settings(project).reliability.newest_judgments

    def measure(rows: Session, _: object) -> pandas.DataFrame:
        found = judgment_columns(rows, project_id=key_of(project))
        newest = numpy.arange(len(found)) >= len(found) - most
        return annotator_evidence(rows, project_id=key_of(project), columns=found.where(newest))

    return kept("weights", measure, account=account, first=_NO_WEIGHTS, on_disk={})


def between(account: Account) -> pandas.DataFrame:
    """Return how every two annotators agree, as `agreement_matrix` does; models are left out."""
    here = key_of(process.project())

    def measure(rows: Session, _: object) -> pandas.DataFrame:
        people = judgment_columns(rows, project_id=here).by_people()
        return agreement_matrix(rater_tables(rankings_of_columns(people).pair_answers))

    return kept("between", measure, account=account, on_disk={})


def divided(account: Account, by: Dimension) -> pandas.DataFrame:
    """Return the agreement of each group of judgments, as `breakdown` does."""
    here = key_of(process.project())

    def measure(rows: Session, _: object) -> pandas.DataFrame:
        found = judgment_columns(rows, project_id=here)
        return breakdown(found, by, measures=DIVIDED)

    return kept(f"by {by}", measure, account=account, on_disk={})


def usual_groups(account: Account) -> pandas.DataFrame:
    """Return the agreement of the groups that the page Agreement begins with."""
    return divided(account, USUAL)


def imported_policies(account: Account) -> dict[int, str]:
    """Return the names of the policies of imported completions, by version (0 and below)."""
    here = key_of(process.project())

    return kept(
        "imported policies",
        lambda rows, _: names_of_imported(rows, project_id=here),
        account=account,
    )


def hurts(account: Account) -> WhereItHurts:
    """Return the tasks, pairs and annotators that disagreement comes from."""
    here, home = key_of(process.project()), process.settings().home
    return kept(
        "hurts",
        lambda rows, _: where_it_hurts(rows, project_id=here, account=account, home=home),
        account=account,
        on_disk={"home": str(home)},
    )


def models(account: Account) -> list[ModelFigures]:
    """Return what is known of models that judge."""
    here = key_of(process.project())

    def measure(rows: Session, _: object) -> list[ModelFigures]:
        found = judgment_columns(rows, project_id=here)
        if not (found.kind == KINDS.index(AccountKind.MODEL)).any():
            return []
        return model_figures(rows, project_id=here, account=account)

    return kept("models", measure, account=account, on_disk={})


def judged_prompts(account: Account) -> int:
    """Return how many prompts an export of the current data would look at."""
    here = key_of(process.project())
    return kept(
        "judged prompts",
        lambda rows, _: count_judged_prompts(rows, project_id=here),
        account=account,
        action=Action.EXPORT,
    )


def columns(account: Account) -> JudgmentColumns:
    """Return the judgments that figures are made of."""
    here = key_of(process.project())
    return kept("columns", lambda rows, _: judgment_columns(rows, project_id=here), account=account)


def work(account: Account) -> WorkByHour:
    """Return judgments and active time of each annotator in each hour."""
    here = key_of(process.project())
    return kept(
        "work",
        lambda rows, _: work_by_hour(rows, project_id=here, account=account),
        account=account,
        on_disk={},
    )


def waiting(account: Account) -> int:
    """Return how many tasks wait for a lead."""
    here, home = key_of(process.project()), process.settings().home
    return kept(
        "waiting",
        lambda rows, _: len(review_queue(rows, project_id=here, account=account, home=home)),
        account=account,
        action=Action.REVIEW,
        on_disk={"home": str(home)},
    )


def worker() -> WorkerLease | None:
    """Return the lease of the worker that is at the project now; None without one."""
    with process.reading() as rows:
        lease = rows.get(WorkerLease, key_of(process.project()))
    return lease if lease is not None and lease.expires_at > now() else None
