"""What no program can go below on this disk and this database: one commit that is kept."""

import os
import statistics
import time
from pathlib import Path

from sqlalchemy import text

from storage.engine import build_engine, writing

TIMES = 100


def commit_floor(url: str) -> float:
    """Return the median seconds of a transaction that adds one small row and is on disk."""
    engine = build_engine(url)
    with writing(engine) as session:
        session.execute(text("CREATE TABLE benchmark_floor (number INTEGER)"))
    seconds = []
    for number in range(TIMES):
        began = time.perf_counter()
        with writing(engine) as session:
            session.execute(text("INSERT INTO benchmark_floor VALUES (:n)"), {"n": number})
        seconds.append(time.perf_counter() - began)
    with writing(engine) as session:
        session.execute(text("DROP TABLE benchmark_floor"))
    engine.dispose()
    return statistics.median(seconds)


def fsync_floor(folder: Path) -> float:
    """Return the median seconds of appending 4 KiB to a file in `folder` until they are on disk."""
    file = folder / "fsync-floor"
    seconds = []
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for _ in range(TIMES):
            began = time.perf_counter()
            os.write(handle, b"x" * 4096)
            os.fdatasync(handle)
            seconds.append(time.perf_counter() - began)
    finally:
        os.close(handle)
        file.unlink()
    return statistics.median(seconds)
