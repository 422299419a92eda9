"""A session that only reads, and asks once more where the connection turned out to be cut."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import ORMExecuteState
from sqlmodel import Session

Answer = TypeVar("Answer")


class AskingAgain(Session):
    """Asks each statement of a READ ONLY transaction of PostgreSQL once more, where it was cut.

    A stream of rows is cut for good: part of them may have been used.
    """

    def begin_to_read(self) -> None:
        """Begin a transaction in which PostgreSQL refuses to write."""
        self.connection(execution_options={"postgresql_readonly": True})

    def once_more(self, ask: Callable[[], Answer]) -> Answer:
        """Return what `ask` finds in this session; raise what the second attempt raises."""
        try:
            return ask()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        # Else rows that were given out would be read anew at the next look at them.
        self.expunge_all()
        self.rollback()
        self.begin_to_read()
        return ask()


@event.listens_for(AskingAgain, "do_orm_execute")
def _once_more(state: ORMExecuteState) -> Any:
    session = state.session
    assert isinstance(session, AskingAgain)
    return session.once_more(state.invoke_statement)
