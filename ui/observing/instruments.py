"""What this process counts while it serves; figures of the database are in `database_figures`."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from secrets import token_hex

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector

from storage.errors import RankloopError
from storage.telemetry.logs import log_context
from storage.telemetry.traces import span

#: seconds; 150 ms is what a submit may take at most for 19 of 20 annotators
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
_log = logging.getLogger(__name__)
# A random number for each deed would take longer than all the rest of watching it.
_PROCESS, _numbers = token_hex(4), count()

registry = CollectorRegistry()
ProcessCollector(registry=registry)
deed_seconds = Histogram(
    "rankloop_deed_seconds",
    "Seconds in which the server carried out what an annotator did (submit, skip, draft, ...).",
    ["deed", "outcome"],
    buckets=BUCKETS,
    registry=registry,
)
open_pages = Gauge(
    "rankloop_open_pages", "Browser pages that are connected to this process.", registry=registry
)


@contextmanager
def observed(deed: str, *, account_id: int | None) -> Iterator[None]:
    """Time a deed, give it a request id in logs, and trace it where traces are sent.

    What the block raises goes on; it counts as refused (an error for people) or failed.
    """
    began, outcome = time.perf_counter(), "done"
    with log_context(request_id=f"{_PROCESS}{next(_numbers):08x}", account_id=account_id):
        try:
            with span(f"deed {deed}"):
                yield
        except RankloopError:
            outcome = "refused"
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            seconds = time.perf_counter() - began
            deed_seconds.labels(deed, outcome).observe(seconds)
            if _log.isEnabledFor(logging.INFO):
                fields = {"outcome": outcome, "milliseconds": round(seconds * 1000, 2)}
                _log.info("%s", deed, extra=fields)
