"""Time Argilla's own export: run by the Python of a virtual environment that has its SDK.

argilla_export.py ROWS OUT: ROWS are records as JSON lines, in Argilla's shape. They are made into
the SDK's records, as a server's answer is, and written by its `to_json`. Only the writing is timed;
a server (which needs Elasticsearch) and the way from it are left out, to Argilla's advantage.
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
    """Print seconds, records and peak resident MiB as JSON."""
    rows, out = sys.argv[1:]
    with open(rows, encoding="utf-8") as file:
        records = [Record.from_dict(_as_the_sdk_has_it(json.loads(line))) for line in file]
    began, spent = time.perf_counter(), time.process_time()
    JsonIO.to_json(records, out)
    seconds, spent = time.perf_counter() - began, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": spent, "tasks": len(records), "peak_mib": peak}))


if __name__ == "__main__":
    main()
