"""The figures of the leads' pages, each measured once for each state of the data."""

import pandas

from labeling.datasets.project_judgments import count_judged_prompts
from labeling.keys import key_of
from labeling.loop_state import LoopState, loop_state
from labeling.model_annotators.model_quality import ModelFigures
from labeling.permissions import Action
from labeling.statistics.annotator_reliability import AnnotatorReliability
from labeling.statistics.breakdowns import Dimension
from labeling.statistics.breakdowns import imported_policies as names_of_imported
from labeling.statistics.judgment_columns import JudgmentColumns, judgment_columns
from labeling.statistics.quality import Quality
from labeling.statistics.throughput import WorkByHour
from labeling.statistics.where_it_hurts import WhereItHurts
from storage.clock import now
from storage.tables import Account, WorkerLease
from ui import process
from ui.figures.kept_figures import kept, kept_in_file
from ui.figures.measures import NO_WEIGHTS, named_by

#: what the page Agreement divides it by before anything is chosen
USUAL: Dimension = "policy"


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
    found: Quality = kept_in_file("quality", account=account)
    return found


def reliability(account: Account) -> pandas.DataFrame:
    """Return how far each annotator's judgments can be relied on."""
    found: pandas.DataFrame = kept_in_file("reliability", account=account)
    return found


def annotators(account: Account) -> AnnotatorReliability:
    """Return what is known of how far each annotator can be relied on, but for the weights."""
    given = {"home": str(process.settings().home)}
    found: AnnotatorReliability = kept_in_file("annotators", account=account, given=given)
    return found


def weights(account: Account) -> pandas.DataFrame:
    """Return `annotator_evidence` of the newest judgments; empty while it is measured at first."""
    found: pandas.DataFrame = kept_in_file("weights", account=account, first=NO_WEIGHTS)
    return found


def between(account: Account) -> pandas.DataFrame:
    """Return how every two annotators agree, as `agreement_matrix` does; models are left out."""
    found: pandas.DataFrame = kept_in_file("between", account=account)
    return found


def divided(account: Account, by: Dimension) -> pandas.DataFrame:
    """Return the agreement of each group of judgments, as `breakdown` does."""
    found: pandas.DataFrame = kept_in_file(named_by(by), account=account)
    return found


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
    given = {"home": str(process.settings().home)}
    found: WhereItHurts = kept_in_file("hurts", account=account, given=given)
    return found


def models(account: Account) -> list[ModelFigures]:
    """Return what is known of models that judge."""
    found: list[ModelFigures] = kept_in_file("models", account=account)
    return found


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
    found: WorkByHour = kept_in_file("work", account=account)
    return found


def waiting(account: Account) -> int:
    """Return how many tasks wait for a lead."""
    given = {"home": str(process.settings().home)}
    found: int = kept_in_file("waiting", account=account, action=Action.REVIEW, given=given)
    return found


def worker() -> WorkerLease | None:
    """Return the lease of the worker that is at the project now; None without one."""
    with process.reading() as rows:
        lease = rows.get(WorkerLease, key_of(process.project()))
    return lease if lease is not None and lease.expires_at > now() else None
