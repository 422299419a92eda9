"""How connections are waited for: whether an idle one still stands, and who writes next."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

#: seconds after its last use within which a connection is taken to stand
TRUSTED_SECONDS = 1.0

_USED = "rankloop_used"


def ask_whether_alive(engine: Engine) -> None:
    """Have a connection that was idle for a while asked, before it is used, whether it stands.

    SQLAlchemy's own `pool_pre_ping` asks each time, which under load is one question in five.
    Where a connection is gone, all are opened anew. One that is cut within `TRUSTED_SECONDS` of its
    use raises at its next statement (`connection_invalidated`), as one that is cut in use does.
    """

    def use_ends(_connection: Any, record: Any) -> None:
        record.info[_USED] = time.monotonic()

    def use_begins(connection: Any, record: Any, _proxy: Any) -> None:
        used = record.info.get(_USED)
        if used is None or time.monotonic() - used < TRUSTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error

    event.listen(engine, "checkin", use_ends)
    event.listen(engine, "checkout", use_begins)


# One's own thread is let through: SQLite begins at the first statement, and that of an inner writer
# may come before the outer one's.
_turns: WeakKeyDictionary[Engine, Any] = WeakKeyDictionary()


@contextmanager
def writers_turn(engine: Engine, *, seconds: float) -> Iterator[None]:
    """Wait for this process's other writers to SQLite, which has one at a time.

    SQLite lets who waits sleep for up to a tenth of a second between two looks; a lock wakes them.
    Writers of other processes are waited for by the busy timeout, as before. Whoever waited for
    `seconds` in vain is let through to SQLite, which then says why.
    """
    if engine.dialect.name != "sqlite":
        yield
        return
    turn = _turns.setdefault(engine, RLock())
    taken = turn.acquire(timeout=seconds)
    try:
        yield
    finally:
        if taken:
            turn.release()
