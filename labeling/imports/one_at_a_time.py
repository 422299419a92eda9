"""One import into a project at a time: what one adds the next one finds, and adds to."""

import hashlib

from sqlalchemy import func, select
from sqlmodel import Session


def wait_for_other_imports(session: Session, *, project_id: int) -> None:
    """Wait until no other transaction imports into the project; until the end of this one none can.

    A second import that began before the first was stored would not know the same file, and would
    fail at the same prompts. SQLite has one writer at a time as it is. On PostgreSQL it is a lock
    of its own, so that nobody but another import waits for an import of minutes.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    digest = hashlib.sha256(f"rankloop import into project {project_id}".encode()).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    session.execute(select(func.pg_advisory_xact_lock(key)))
