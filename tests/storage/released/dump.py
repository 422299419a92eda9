"""Dump some rows of a database, whole enough that an application can read them.

    python -m tests.storage.released.dump sqlite:///old/rankloop.db

Writes `tests/storage/released/REVISION.json`; rows that it has of tables which are empty here stay,
since they were written by hand. Run it on a database that the released version made
and used, before the next revision is added: a test asks for the file.
"""

import argparse
import json
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, ForeignKeyConstraint, MetaData, Table, create_engine, select

HERE = Path(__file__).parent
TASKS = 10
FEW = 8  # rows of every other table, from its beginning and from its end
STRUCK_OUT = ("password_hash", "host")  # written as "-": they are no business of a repository's
OF_TASKS = ("task_completion", "assignment", "judgment")

Rows = dict[str, dict[tuple[Any, ...], dict[str, Any]]]


def main() -> None:
    """Write the file of the database's revision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    engine = create_engine(parser.parse_args().url)
    with engine.connect() as connection:
        metadata = MetaData()
        metadata.reflect(connection)
        version = metadata.tables["alembic_version"]
        metadata.remove(version)
        revision = connection.execute(select(version)).scalar_one()
        rows = _chosen(connection, metadata)
    file = HERE / f"{revision}.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    dumped = {name: [_plain(row) for _, row in sorted(found.items())]
              for name, found in sorted(rows.items()) if found}  # fmt: skip
    text = json.dumps(dict(sorted({**kept, **dumped}.items())), indent=0, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def _chosen(connection: Connection, metadata: MetaData) -> Rows:
    rows: Rows = defaultdict(dict)
    task = metadata.tables["task"]
    judgment = metadata.tables["judgment"]
    judged = select(judgment.c.task_id).order_by(judgment.c.id.desc()).limit(TASKS)
    tasks = [key for (key,) in connection.execute(judged)]
    _take(connection, rows, task, task.c.id.in_(tasks))
    for name in OF_TASKS:
        table = metadata.tables[name]
        _take(connection, rows, table, table.c.task_id.in_(tasks))
    for table in metadata.tables.values():
        if table.name not in ("task", *OF_TASKS):
            for order in (table.primary_key.columns, [c.desc() for c in table.primary_key.columns]):
                _keep(rows, table, connection.execute(select(table).order_by(*order).limit(FEW)))
    while _referred(connection, rows, metadata):
        pass
    return rows


def _take(connection: Connection, rows: Rows, table: Table, where: Any) -> None:
    _keep(rows, table, connection.execute(select(table).where(where)))


def _keep(rows: Rows, table: Table, found: Any) -> None:
    for row in found.mappings():
        key = tuple(row[column.name] for column in table.primary_key.columns)
        rows[table.name][key] = dict(row)


def _referred(connection: Connection, rows: Rows, metadata: MetaData) -> bool:
    """Add the rows that others refer to; say whether there were any."""
    before = sum(map(len, rows.values()))
    for name in list(rows):
        for constraint in metadata.tables[name].constraints:
            if isinstance(constraint, ForeignKeyConstraint):
                (element,) = constraint.elements
                wanted = {row[element.parent.name] for row in rows[name].values()} - {None}
                column = element.column
                _take(connection, rows, column.table, column.in_(wanted))
    return sum(map(len, rows.values())) > before


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: "-" if name in STRUCK_OUT and value else _written(value)
        for name, value in row.items()
    }


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


if __name__ == "__main__":
    main()
