"""What training would read of a project: a snapshot, taken and read back."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from sqlalchemy import Engine

from labeling.datasets.snapshot_query import query_of
from labeling.datasets.snapshots import create_snapshot, read_snapshot
from storage.engine import writing
from storage.tables import Project


def trained_rows(engine: Engine, project_id: int, **asked: Any) -> pd.DataFrame:
    """Freeze a query and return its rows, oldest first."""
    with TemporaryDirectory() as home:
        with writing(engine) as session:
            snapshot = create_snapshot(
                session,
                project=session.get_one(Project, project_id),
                folder=Path(home) / "snapshots",
                code_version="x",
                query=query_of(asked),
            )
        return read_snapshot(snapshot.uri, Path(home))
