"""A database that came up by migrations has the indexes of the tables, order and condition too.

Alembic compares neither; an index that lost its order has the next task sorted out of all of them.
"""

from pathlib import Path

from sqlalchemy import Engine, text

from storage.engine import build_engine
from storage.migrate import upgrade
from storage.tables.base import Row


def indexes(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        )
        return {name: " ".join(sql.replace('"', "").split()) for name, sql in found}


def test_a_migrated_database_has_the_indexes_of_the_tables(tmp_path: Path) -> None:
    migrated, fresh = (build_engine(f"sqlite:///{tmp_path}/{name}.db") for name in ("old", "new"))
    upgrade(migrated)
    Row.metadata.create_all(fresh)
    assert "priority DESC, judged, policy_id DESC" in indexes(fresh)["ix_task_by_breadth"]
    assert indexes(migrated) == indexes(fresh)
    migrated.dispose()
    fresh.dispose()
