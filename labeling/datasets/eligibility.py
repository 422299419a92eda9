"""Which judgments count: in figures, in training, and why each other one is left out.

Nothing else says so. A filter, a count and a snapshot's table of reasons are made of the same
conditions, so they cannot disagree.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlmodel import col

from labeling.judging.judgments import not_superseded
from labeling.review.decisions import REAL_WORK, not_discarded
from labeling.withdrawals import not_withdrawn
from storage.tables import Account, AccountKind, Task


@dataclass(frozen=True)
class Reason:
    """Say why a judgment is left out, and under which condition this reason is not there.

    `absent` is of a statement on Judgment, joined with its Task and Account.
    """

    name: str
    words: str
    absent: Callable[[], ColumnElement[bool]]


SUPERSEDED = Reason("current", "corrected later", not_superseded)
NO_REAL_WORK = Reason(
    "real_work",
    "tests annotators (known answer, qualification or repeat)",
    lambda: col(Task.kind).in_(REAL_WORK),
)
DISCARDED = Reason("kept", "discarded by a lead", not_discarded)
WITHDRAWN = Reason("stands", "withdrawn", not_withdrawn)
SWITCHED_OFF = Reason("active", "account is switched off", lambda: col(Account.active).is_(True))
MODEL = Reason("no_model", "by a model annotator", lambda: col(Account.kind) != AccountKind.MODEL)
#: Why a usable judgment is not trained on: its task has a label already.
DECIDED = "a lead decided the task instead"

#: What keeps a judgment out of figures; the first that is there is its reason.
OUT_OF_FIGURES = (SUPERSEDED, NO_REAL_WORK, DISCARDED, WITHDRAWN)
#: What keeps it out of training whatever is asked for; by models are those that nobody asked for.
OUT_OF_TRAINING = (*OUT_OF_FIGURES, SWITCHED_OFF)


def counted() -> list[ColumnElement[bool]]:
    """Return the conditions under which a Judgment, joined with its Task, enters figures.

    It is the annotator's current one, of a task that is real work, no lead has discarded it, and no
    withdrawal covers it.
    """
    return [reason.absent() for reason in OUT_OF_FIGURES]


def usable() -> list[ColumnElement[bool]]:
    """Return the conditions under which a Judgment, joined with its Task and Account, is trained.

    Besides `counted`, its account is active and no model. Where a lead has decided its task, the
    decision is trained on in its place.
    """
    return [reason.absent() for reason in (*OUT_OF_TRAINING, MODEL)]
