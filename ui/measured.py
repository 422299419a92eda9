"""The figures of the leads' pages, each measured once for each state of the data."""

import pandas

from labeling.keys import key_of
from labeling.loop_state import LoopState, loop_state
from labeling.permissions import Action
from labeling.review.reviews import review_queue
from labeling.statistics.judgment_columns import JudgmentColumns, judgment_columns
from labeling.statistics.quality import Quality
from labeling.statistics.quality import quality as measure_quality
from labeling.statistics.reliability import reliability as measure_reliability
from labeling.statistics.throughput import WorkByHour, work_by_hour
from storage.clock import now
from storage.engine import reading
from storage.tables import Account, WorkerLease
from ui import process
from ui.kept_figures import kept


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
    )


def reliability(account: Account) -> pandas.DataFrame:
    """Return how far each annotator's judgments can be relied on."""
    here = key_of(process.project())
    return kept(
        "reliability",
        lambda rows, _: measure_reliability(rows, project_id=here, account=account),
        account=account,
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
        lambda rows, before: work_by_hour(rows, project_id=here, account=account, before=before),
        account=account,
    )


def waiting(account: Account) -> int:
    """Return how many tasks wait for a lead."""
    here, home = key_of(process.project()), process.settings().home
    return kept(
        "waiting",
        lambda rows, _: len(review_queue(rows, project_id=here, account=account, home=home)),
        account=account,
        action=Action.REVIEW,
    )


def worker() -> WorkerLease | None:
    """Return the lease of the worker that is at the project now; None without one."""
    with reading(process.engine()) as rows:
        lease = rows.get(WorkerLease, key_of(process.project()))
    return lease if lease is not None and lease.expires_at > now() else None
