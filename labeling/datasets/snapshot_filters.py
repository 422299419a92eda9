"""A query's filters: which rows of a task stay, and for which reason each other one does not."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from labeling.datasets.project_judgments import Candidate, Row
from labeling.datasets.snapshot_agreement import rank_agreement
from labeling.datasets.snapshot_query import SnapshotQuery
from storage.errors import BadInput
from storage.tables import Account, Policy, Round

NOT_ASKED_ANNOTATOR = "annotator was not asked for"
UNRELIABLE = "annotator's reliability is too low"
OUTSIDE_DATES = "outside the dates"
OTHER_POLICY = "policy was not asked for"
OTHER_ROUND = "round was not asked for"
UNANSWERED = "criteria are not all answered"
TIED = "ties are left out"
DISAGREEMENT = "the task's judgments agree too little"
TOO_FEW = "the task has too few judgments"


@dataclass(frozen=True)
class Filters:
    """A query with the accounts' ids in place of their names, and the reliability of each."""

    query: SnapshotQuery
    wanted: frozenset[int]
    unwanted: frozenset[int]
    reliability: dict[int, float] = field(default_factory=dict)

    def apply(self, candidates: list[Candidate]) -> list[Candidate]:
        """Return a task's candidates, each with the first reason that keeps it out."""
        checked = [each if each.excluded else self._checked(each) for each in candidates]
        reason = self._of_task([each.row for each in checked if each.excluded is None])
        if reason is None:
            return checked
        return [replace(each, excluded=each.excluded or reason) for each in checked]

    def _checked(self, candidate: Candidate) -> Candidate:
        reason = self._of_row(candidate.row)
        return candidate if reason is None else replace(candidate, excluded=reason)

    def _of_row(self, row: Row) -> str | None:
        return next((reason for reason, keeps in _ROW_CHECKS if not keeps(self, row)), None)

    def _of_task(self, rows: list[Row]) -> str | None:
        if not rows:
            return None
        # A lead's decision stands alone, whoever agreed.
        decided = rows[0]["judgment_id"] == 0
        least = self.query.min_agreement
        if least is not None and not decided and len(rows) > 1:
            agreement = rank_agreement([row["ranks"] for row in rows])
            if agreement < least:
                return DISAGREEMENT
        return TOO_FEW if not decided and len(rows) < self.query.min_judgments else None


def filters_of(
    session: Session, *, project_id: int, query: SnapshotQuery, reliability: dict[int, float]
) -> Filters:
    """Return the filters of a query; raise `BadInput` naming what the project does not have."""
    _check_numbers(session, project_id, query)
    return Filters(
        query=query,
        wanted=_account_ids(session, query.annotators),
        unwanted=_account_ids(session, query.not_annotators),
        reliability=reliability,
    )


def _annotator_wanted(filters: Filters, row: Row) -> bool:
    annotator = row["annotator_id"]
    asked = not filters.query.annotators or annotator in filters.wanted
    return asked and annotator not in filters.unwanted


def _reliable(filters: Filters, row: Row) -> bool:
    least = filters.query.min_reliability
    if least is None or row["judgment_id"] == 0:
        return True
    # Of whom nothing could be measured, nothing bad is known.
    return filters.reliability.get(row["annotator_id"], 1.0) >= least


def _within_dates(filters: Filters, row: Row) -> bool:
    since, until, at = filters.query.since, filters.query.until, row["created_at"]
    return (since is None or at >= since) and (until is None or at < until)


def _policies_wanted(filters: Filters, row: Row) -> bool:
    asked = filters.query.policies
    return not asked or all(version in asked for version in row["policy_versions"])


def _round_wanted(filters: Filters, row: Row) -> bool:
    return not filters.query.rounds or row["round"] in filters.query.rounds


def _answered(filters: Filters, row: Row) -> bool:
    if not filters.query.criteria:
        return True
    given: dict[str, list[Any]] = json.loads(row["likert"]) | json.loads(row["checks"])
    return all(
        name in given and None not in given[name] and len(given[name]) == len(row["ranks"])
        for name in filters.query.criteria
    )


def _ties_allowed(filters: Filters, row: Row) -> bool:
    rule, different = filters.query.ties, len(set(row["ranks"]))
    if rule == "drop-any-tied":
        return different == len(row["ranks"])
    return rule == "keep" or different > 1


_ROW_CHECKS: tuple[tuple[str, Callable[[Filters, Row], bool]], ...] = (
    (NOT_ASKED_ANNOTATOR, _annotator_wanted),
    (UNRELIABLE, _reliable),
    (OUTSIDE_DATES, _within_dates),
    (OTHER_POLICY, _policies_wanted),
    (OTHER_ROUND, _round_wanted),
    (UNANSWERED, _answered),
    (TIED, _ties_allowed),
)


def _account_ids(session: Session, names: tuple[str, ...]) -> frozenset[int]:
    statement = select(col(Account.name), col(Account.id)).where(col(Account.name).in_(names))
    found = {row[0]: row[1] for row in session.execute(statement)}
    missing = sorted(set(names) - set(found))
    if missing:
        raise BadInput(f"There is no account {missing[0]}; `rankloop stats` lists annotators.")
    return frozenset(found.values())


def _check_numbers(session: Session, project_id: int, query: SnapshotQuery) -> None:
    for what, asked, column, table in (
        ("policy version", query.policies, Policy.version, Policy),
        ("round", tuple(n for n in query.rounds if n), Round.number, Round),
    ):
        statement = select(col(column)).where(
            col(table.project_id) == project_id, col(column).in_(asked)
        )
        missing = sorted(set(asked) - {row[0] for row in session.execute(statement)})
        if missing:
            verb = "policies" if table is Policy else "rounds"
            raise BadInput(f"The project has no {what} {missing[0]}; see `rankloop {verb}`.")
