"""How long a quality figure takes with many judgments, without any page around it.

    python -m benchmarks.quality_figures --judgments 100000 --judgments 1000000

`columns, cold` reads all judgments into an empty process; `warm` finds nothing new; `grown` takes
20 new ones in. Every measure is then taken with its interval, of the whole project and by each
dimension. The data are `benchmarks.quality_rows` (K = 4, overlap 3) in SQLite.
"""

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine

from benchmarks.quality_rows import COPIES, Size, fill
from labeling.statistics.breakdowns import DIMENSIONS, breakdown
from labeling.statistics.judgment_columns import judgment_columns
from labeling.statistics.measures import RANKING_MEASURES, ranking_figures
from labeling.statistics.quality import quality
from labeling.statistics.rankings import rankings_of_columns
from storage.engine import build_engine, reading, writing
from storage.migrate import upgrade
from storage.tables import Account, Role

NEW_JUDGMENTS = 20


def main(arguments: Sequence[str] | None = None) -> list[str]:
    """Fill a database of each size, measure, print and return the lines of the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--judgments", type=int, action="append")
    parser.add_argument("--database", type=Path, help="one filled before; it grows a little")
    given = parser.parse_args(arguments)
    lines = ["| what | judgments | seconds | of the processor |", "| --- | --- | --- | --- |"]
    for judgments in given.judgments or [100_000]:
        with TemporaryDirectory() as folder:
            file = given.database or Path(folder) / "quality.db"
            engine = build_engine(f"sqlite:///{file}")
            if given.database is None:
                upgrade(engine)
                fill(engine, Size(judgments))
            lines += _measure(engine, judgments)
            engine.dispose()
    print("\n".join(lines))
    return lines


def _measure(engine: Engine, judgments: int) -> list[str]:
    lines: list[str] = []

    def timed(what: str, measure: Callable[[], Any]) -> Any:
        began, busy = time.monotonic(), time.process_time()
        found = measure()
        seconds, processor = time.monotonic() - began, time.process_time() - busy
        lines.append(f"| {what} | {judgments:,} | {seconds:.2f} | {processor:.2f} |")
        return found

    def columns() -> Any:
        with reading(engine) as session:
            return judgment_columns(session, project_id=1)

    def page() -> Any:
        with reading(engine) as session:
            return quality(session, project_id=1, account=Account(name="lead", role=Role.LEAD))

    timed("columns, cold", columns)
    timed("columns, warm", columns)
    with writing(engine) as session:
        session.connection().exec_driver_sql(COPIES, (NEW_JUDGMENTS,))
    found = timed(f"columns, grown by {NEW_JUDGMENTS}", columns)
    rankings = rankings_of_columns(found)
    for name in RANKING_MEASURES:
        timed(name.replace("_", " "), lambda name=name: ranking_figures(rankings, names=(name,)))
    timed("every figure and every annotator, warm", page)
    for by in DIMENSIONS:
        timed(f"every figure by {by}", lambda by=by: breakdown(found, by))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines.append(f"| most memory, MB | {judgments:,} | {most:.0f} | |")
    return lines


if __name__ == "__main__":
    main()
