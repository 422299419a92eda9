"""Time Argilla's own export: run by the Python of a virtual environment that has its SDK.

argilla_export.py ROWS OUT: ROWS are records as JSON lines, in Argilla's shape. They are made into
the SDK's records, as a server's answer is, and written by its `to_json`. Its server (which needs
Elasticsearch) and the way from it are left out, to Argilla's advantage.
"""

import json
import resource
import sys
import time

from argilla.records._io._json import JsonIO
from argilla.records._resource import Record


def _as_the_sdk_has_it(row):
    # Its records hold a ranking as names in order.
    for response in row["responses"]["ranking"]:
        ranked = sorted(response["value"], key=lambda one: one["rank"])
        response["value"] = [one["value"] for one in ranked]
    return row


def main() -> None:
    """Print seconds, CPU seconds, records and peak resident MiB as JSON: of all, of writing."""
    rows, out = sys.argv[1:]
    began, spent = time.perf_counter(), time.process_time()
    with open(rows, encoding="utf-8") as file:
        records = [Record.from_dict(_as_the_sdk_has_it(json.loads(line))) for line in file]
    writing, spent_writing = time.perf_counter(), time.process_time()
    JsonIO.to_json(records, out)
    ended, spent_all = time.perf_counter(), time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {
        "seconds": ended - began,
        "cpu": spent_all - spent,
        "writing_seconds": ended - writing,
        "writing_cpu": spent_all - spent_writing,
        "tasks": len(records),
        "peak_mib": peak,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
