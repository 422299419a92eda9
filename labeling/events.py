"""Write the append-only record of who did what, when, and from where."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from sqlalchemy import Insert, insert
from sqlmodel import Session

from labeling.audit.kinds import is_audited
from storage.clock import now
from storage.core import execute_core, table_of
from storage.tables import Event

LONGEST_ADDRESS = 45
_address: ContextVar[str] = ContextVar("address", default="")
_sources: list[Callable[[], str]] = []


def record(
    session: Session,
    *,
    project_id: int | None,
    account_id: int | None,
    kind: str,
    personal: Any = None,
    **detail: Any,
) -> None:
    """Add an Event to the caller's transaction: it is stored if and only if the deed is.

    `kind` is `subject.verb` in the past tense (`judgment.stored`); `detail` must be JSON, and stays
    for good. What tells of a person beyond an account's number (names, addresses, what they wrote)
    goes into `personal`, a mapping that an erasure takes out. Where the deed belongs to the audit
    log and the address of who did it is known (`from_address`), it is added there.
    """
    audited = is_audited(kind)
    told = dict(personal or {})
    if audited and (address := _where()):
        told["address"] = told.get("address") or address
    execute_core(
        session,
        _statement(),
        project_id=project_id,
        account_id=account_id,
        kind=kind,
        detail=detail,
        personal=told or None,
        audited=audited,
        created_at=now(),
    )


@contextmanager
def from_address(address: str) -> Iterator[None]:
    """Say where the deeds inside the block come from."""
    token = _address.set(address[:LONGEST_ADDRESS])
    try:
        yield
    finally:
        _address.reset(token)


def ask_for_address(source: Callable[[], str]) -> None:
    """Ask `source` where deeds outside any `from_address` come from; "" where it does not know."""
    if source not in _sources:
        _sources.append(source)


def _where() -> str:
    found = _address.get() or next((each for ask in _sources if (each := ask())), "")
    return found[:LONGEST_ADDRESS]


@cache
def _statement() -> Insert:
    # Every deed leaves one: the ORM would take five times as long to write it.
    return insert(table_of(Event)).inline()
