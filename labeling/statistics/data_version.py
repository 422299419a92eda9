"""The state of what figures are made of, in one cheap look: whoever measured it need not again."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from storage.tables import (
    Account,
    Completion,
    Import,
    Judgment,
    Policy,
    Project,
    Review,
    Round,
    Task,
    Withdrawal,
)


@dataclass(frozen=True)
class DataVersion:
    """Tell two states of a project apart.

    `deeds` differs after what people or the worker decided: reviews, withdrawals, accounts,
    imports, policies, rounds, settings. `work` differs after what comes in all the time: judgments,
    completions and tasks.
    """

    deeds: tuple[object, ...]
    work: tuple[object, ...]


def data_version(session: Session, *, project_id: int, accounts: bool = True) -> DataVersion:
    """Return the state of the project's data; it reads the ends of indexes and small tables.

    Without `accounts` it makes no difference who is new, switched off or erased.
    """
    live = select(func.max(col(Policy.published_at))).where(Policy.project_id == project_id)
    ended = select(func.max(col(Round.finished_at))).where(Round.project_id == project_id)
    state = (
        select(Round.state)
        .where(Round.project_id == project_id)
        .order_by(col(Round.number).desc())
        .limit(1)
    )
    people: list[Any] = [
        _newest(col(Account.id)),
        select(func.count()).where(col(Account.active)).scalar_subquery(),
        select(func.count(col(Account.erased_at))).scalar_subquery(),
    ]
    parts: list[Any] = [
        _newest(col(Review.id)),
        _newest(col(Import.id)),
        _newest(col(Withdrawal.id)),
        select(func.count(col(Withdrawal.reverted_at))).scalar_subquery(),
        *(people if accounts else ()),
        _newest(col(Policy.id)),
        live.scalar_subquery(),
        _newest(col(Round.id)),
        ended.scalar_subquery(),
        state.scalar_subquery(),
    ]
    deeds = session.execute(select(*parts)).one()
    labeling = session.exec(select(Project.labeling).where(Project.id == project_id)).one()
    newest: list[Any] = [_newest(col(each.id)) for each in (Judgment, Task, Completion)]
    work = session.execute(select(*newest)).one()
    return DataVersion((*deeds, str(labeling)), tuple(work))


def _newest(key: Any) -> Any:
    return select(func.max(key)).scalar_subquery()
