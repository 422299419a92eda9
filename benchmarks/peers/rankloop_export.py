"""Time our own export within its process, as the peers' are: without the start of Python.

rankloop_export.py HOME FORMAT OUT: the newest snapshot of the home, as one JSON list a split, with
the check of its hashes, the card and the event.
"""

import json
import resource
import sys
import time
from pathlib import Path

from benchmarks.export_rows import PROJECT
from labeling.datasets.export_preferences import export_preferences
from labeling.opened_home import open_home


def main() -> None:
    """Print seconds, CPU seconds, tasks and peak resident MiB as JSON."""
    folder, shape, out = sys.argv[1:]
    home = open_home(folder, project=PROJECT)
    began, spent = time.perf_counter(), time.process_time()
    done = export_preferences(
        home.engine,
        project=home.project,
        account=None,
        home=home.folder,
        out=Path(out),
        format=shape,
        file_type="json",
        snapshot="all",
    )
    seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"seconds": seconds, "cpu": cpu, "tasks": done.tasks, "peak_mib": peak}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
