"""Bear that the database is away for a moment; it is opened by `storage.opening`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError

from storage.errors import Unavailable
from storage.opening import open_database

__all__ = ["PAUSES", "again_where_cut", "lost_told", "open_database", "retried"]

Answer = TypeVar("Answer")

#: seconds before the second and the third attempt: a restarted database is often back by then
PAUSES = (0.1, 0.4)
_LOST = (OperationalError, InterfaceError, TimeoutError)


class NoDatabase(Unavailable):
    """Say that the database does not answer, again and again."""


@contextmanager
def lost_told() -> Iterator[None]:
    """Raise `NoDatabase`, in words for who did it, where a deed's connection is lost."""
    try:
        yield
    except _LOST as error:
        raise NoDatabase(
            "The database did not answer, so this may not be stored; look, and try again."
        ) from error


def again_where_cut(act: Callable[[], Answer]) -> Answer:
    """Do something that may be done twice, a second time where its connection turns out to be cut.

    Raises what the second attempt raises.
    """
    try:
        return act()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
    return act()


def retried(act: Callable[[], Answer]) -> Answer:
    """Do something that may be done twice, again where the connection to the database was cut.

    Raises `NoDatabase` where the last attempt fails, too.
    """
    for pause in PAUSES:
        try:
            return act()
        except _LOST:
            time.sleep(pause)
    try:
        return act()
    except _LOST as error:
        raise NoDatabase(
            "The database does not answer; nothing is lost, try again in a moment."
        ) from error
