"""How long a backup, a restore and a copy to the other database take, and in how much memory.

    python -m benchmarks.moving --judgments 100000

The rows are those of `benchmarks.quality_rows`. Each command runs as people run it, in a process of
its own; its memory is the most that it and what it starts (`pg_dump`, `pg_restore`) held at once.
The database servers' own memory is not in it.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine, text

from benchmarks import readme
from benchmarks.measured_process import Measured, rankloop, run_measured
from benchmarks.quality_rows import Size, fill
from storage.engine import build_engine
from storage.migrate import upgrade
from storage.settings import load_settings
from tests.postgres_cluster import PostgresCluster, find_binaries

DOCS = Path(__file__).parent.parent / "docs" / "operations.md"
MIB = 2**20


class Bench:
    """A folder, a PostgreSQL, and the lines of the table so far."""

    def __init__(self, folder: Path, cluster: PostgresCluster, rows: int) -> None:
        """Begin with no line; `rows` are those of all tables."""
        self.folder, self.cluster, self.rows = folder, cluster, rows
        self.lines: list[str] = []

    def run(self, what: str, arguments: Sequence[str], *, home: str, database: str = "") -> None:
        """Run a command on a home and its SQLite file, or a PostgreSQL database; add its line."""
        environment = {**os.environ, "RANKLOOP_HOME": str(self.folder / home)}
        if database:
            environment["RANKLOOP_DATABASE_URL"] = self.cluster.url(database)
        found = run_measured(rankloop(*arguments), environment)
        if found.code:
            raise SystemExit(f"rankloop {' '.join(arguments)} ended with {found.code}.")
        self.add(what, found)

    def add(self, what: str, found: Measured) -> None:
        """Add a line, and show it."""
        line = (
            f"| {what} | {found.seconds:.1f} s | {self.rows / found.seconds:,.0f} "
            f"| {found.peak_mib:.0f} MiB |"
        )
        self.lines.append(line)
        print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print the table, and put it into the documentation if wanted."""
    options = _options()
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("There is no PostgreSQL; `make test` as root installs it.")
    with (
        _place(options.work) as folder,
        PostgresCluster(binaries, durable=True, connections=100) as cluster,
    ):
        rows, size = _fill(folder / "home", options.judgments)
        bench = Bench(folder, cluster, rows)
        _move(bench)
    table = [
        f"{options.judgments:,} judgments, {rows:,} rows in all; as SQLite {size / MIB:,.0f} MiB.",
        "",
        "| | time | rows a second | memory |",
        "| --- | --- | --- | --- |",
        *bench.lines,
    ]
    print("\n".join(table))
    if options.docs:
        readme.put("moving", "\n".join(table), file=DOCS)


def _move(bench: Bench) -> None:
    for name in ("copied", "restored"):
        _make_database(bench.cluster, name)
    tar, dump = str(bench.folder / "sqlite.tar"), str(bench.folder / "postgres.tar")
    copy_to, copy_back = bench.cluster.url("copied"), f"sqlite:///{bench.folder / 'back.db'}"
    file = bench.folder / "home" / "rankloop.db"
    floor = run_measured(["dd", f"if={file}", f"of={bench.folder / 'floor'}", "bs=1M",
                          "conv=fsync", "status=none"], os.environ)  # fmt: skip
    bench.add("the SQLite file alone, by `dd` with fsync", floor)
    bench.run("`backup`, SQLite", ["backup", "--out", tar], home="home")
    bench.run("`restore`, SQLite", ["restore", tar], home="again")
    bench.run("`db copy`, SQLite to PostgreSQL", ["db", "copy", "--to", copy_to], home="home")
    at = {"home": "home", "database": "copied"}
    bench.run("`backup`, PostgreSQL", ["backup", "--out", dump], **at)
    bench.run("`restore`, PostgreSQL", ["restore", dump], home="home", database="restored")
    bench.run("`db copy`, PostgreSQL to SQLite", ["db", "copy", "--to", copy_back], **at)


@contextmanager
def _place(work: Path | None) -> Iterator[Path]:
    with TemporaryDirectory(dir=work) as name:
        yield Path(name)


def _fill(home: Path, judgments: int) -> tuple[int, int]:
    """Write the rows; return how many there are in all tables, and the bytes of the file."""
    home.mkdir()
    engine = build_engine(load_settings(home=home).url)
    upgrade(engine)
    fill(engine, Size(judgments=judgments))
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        listed = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        names = connection.exec_driver_sql(listed).scalars().all()
        rows = sum(
            connection.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one()
            for name in names
        )
    engine.dispose()
    return rows, (home / "rankloop.db").stat().st_size


def _make_database(cluster: PostgresCluster, name: str) -> None:
    engine = create_engine(cluster.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.moving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--judgments", type=int, default=100_000)
    parser.add_argument("--work", type=Path, help="folder for it all; the system's where unset")
    parser.add_argument("--docs", action="store_true", help="put the table into docs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
