"""All that a process knows of a project's judgments, brought up to date with the database.

Judgments are only ever added, so what is known is read once, and then what is new. With a folder
given to `kept_on_disk`, a process that starts finds what an earlier one knew.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine, Executable, func, select
from sqlmodel import Session, col

from labeling.statistics.judgments_on_disk import load, save
from labeling.statistics.stored_judgments import (
    StoredJudgments,
    read_judgments,
    withdrawn_ids,
)
from labeling.statistics.stored_prompts import StoredPrompts, read_prompts
from storage.tables import Account, Judgment, Policy, Review, Withdrawal

Ints = npt.NDArray[np.integer[Any]]

# Transactions commit out of the order of their ids: that many of the newest are looked at again.
_OVERTAKEN = 1000
#: Fewer judgments are read from the database in less time than anybody notices.
WORTH_A_FILE = 20_000
# The file is written again when this share of what is known is not in it.
_STALE_SHARE = 0.1

_folders: WeakKeyDictionary[Engine, Path] = WeakKeyDictionary()


@dataclass(frozen=True)
class Surroundings:
    """Hold what else decides which judgments count and what is said of them; all of it is small."""

    accounts: tuple[Any, ...]
    policies: tuple[Any, ...]
    decisions: tuple[Any, ...]
    withdrawals: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class KnownJudgments:
    """Hold all judgments, their prompts' tags and language, and the ids of those withdrawn."""

    stored: StoredJudgments
    prompts: StoredPrompts
    withdrawn: Ints
    surroundings: Surroundings


def kept_on_disk(engine: Engine, folder: Path) -> None:
    """Keep what is known of this database's judgments in files of the folder, too.

    They may be deleted at any time. A file that does not hold what the database does, as after a
    restore, is written anew; any number of processes may share the folder.
    """
    _folders[engine] = folder


def known_judgments(
    session: Session, *, project_id: int, before: KnownJudgments | None
) -> KnownJudgments:
    """Return what is known now; `before` itself where nothing changed."""
    around = _surroundings(session, project_id)
    if before is None:
        return _of_the_first_look(session, project_id, around)
    stored = _with_new(session, project_id, before.stored)
    if stored is None:
        return _read_anew(session, project_id, around)
    if stored is before.stored and around == before.surroundings:
        return before
    prompts, withdrawn = before.prompts, before.withdrawn
    after = _looked_at_again_after(before.stored)
    new = stored is not before.stored
    if new:
        more = read_prompts(session, project_id=project_id, after=after)
        prompts = prompts.joined(more)
    if around.withdrawals != before.surroundings.withdrawals:
        withdrawn = _withdrawn(session, project_id, around)
    elif new:
        withdrawn = np.union1d(withdrawn, _withdrawn(session, project_id, around, after))
    return KnownJudgments(stored, prompts, withdrawn, around)


def is_writing(session: Session) -> bool:
    """Say whether the session writes: what it sees may never be committed."""
    return bool(session.connection().get_execution_options().get("rankloop_write"))


def _of_the_first_look(session: Session, project_id: int, around: Surroundings) -> KnownJudgments:
    folder = _folders.get(session.get_bind().engine)
    in_file = None if folder is None else load(session, folder, project_id=project_id)
    stored = None if in_file is None else _with_new(session, project_id, in_file)
    found = _read_anew(session, project_id, around, stored)
    size = len(found.stored)
    in_date = stored is not None and len(in_file or ()) > (1 - _STALE_SHARE) * size
    if folder is not None and size >= WORTH_A_FILE and not in_date and not is_writing(session):
        save(folder, found.stored, project_id=project_id)
    return found


def _with_new(session: Session, project_id: int, known: StoredJudgments) -> StoredJudgments | None:
    """Return what is known and what is new; None where it is not a part of what there is."""
    ids, after = known.arrays["judgment_id"], _looked_at_again_after(known)
    found = read_judgments(session, project_id=project_id, after=after)
    new = found.taken(~np.isin(found.arrays["judgment_id"], ids[ids > after]))
    if len(known) + len(new) != _count(session, project_id):
        return None
    return known.joined(new) if len(new) else known


def _looked_at_again_after(known: StoredJudgments) -> int:
    return int(known.arrays["judgment_id"].max(initial=0)) - _OVERTAKEN


def _read_anew(
    session: Session,
    project_id: int,
    around: Surroundings,
    stored: StoredJudgments | None = None,
) -> KnownJudgments:
    return KnownJudgments(
        read_judgments(session, project_id=project_id) if stored is None else stored,
        read_prompts(session, project_id=project_id),
        _withdrawn(session, project_id, around),
        around,
    )


def _surroundings(session: Session, project_id: int) -> Surroundings:
    def rows(statement: Executable) -> tuple[Any, ...]:
        return tuple(tuple(row) for row in session.execute(statement))

    return Surroundings(
        accounts=rows(
            select(
                *(col(Account.id), col(Account.name), col(Account.kind), col(Account.active)),
                col(Account.imported_from) != "",
            ).order_by(col(Account.id))
        ),
        policies=rows(
            select(col(Policy.id), col(Policy.version)).where(col(Policy.project_id) == project_id)
        ),
        decisions=rows(
            select(func.count(), func.max(col(Review.id))).where(
                col(Review.project_id) == project_id, col(Review.judgment_id).is_not(None)
            )
        ),
        withdrawals=rows(
            select(col(Withdrawal.id))
            .where(col(Withdrawal.project_id) == project_id, col(Withdrawal.reverted_at).is_(None))
            .order_by(col(Withdrawal.id))
        ),
    )


def _count(session: Session, project_id: int) -> int:
    statement = select(func.count()).select_from(Judgment)
    return session.execute(statement.where(col(Judgment.project_id) == project_id)).scalar_one()


def _withdrawn(session: Session, project_id: int, around: Surroundings, after: int = 0) -> Ints:
    if not around.withdrawals:
        return np.array([], dtype=np.int64)
    return withdrawn_ids(session, project_id=project_id, after=after)
