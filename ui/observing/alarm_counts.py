"""What wants a lead, counted by kind: measured in the background, so that no scrape waits."""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from threading import Lock, Thread

from prometheus_client.core import GaugeMetricFamily, Metric

from labeling.alarms import alarms
from labeling.labeling_settings import labeling_settings
from storage.tables import Account, Role
from ui import process
from ui.figures import measured

_log = logging.getLogger(__name__)


class AlarmCounts:
    """Keep the counts of the overview page's alarms, looked at each `metrics_alarm_seconds`."""

    def __init__(self) -> None:
        """Begin without counts: the first scrape starts the first look."""
        self._lock = Lock()
        self._begun_at = -math.inf
        self._ended_at = -math.inf
        self._looking = False
        self._counts: dict[str, int] | None = None

    def collect(self) -> Iterator[Metric]:
        """Return the counts there are, and start a new look where they are old."""
        with self._lock:
            due = time.monotonic() - self._begun_at >= process.settings().metrics_alarm_seconds
            if due and not self._looking:
                self._looking, self._begun_at = True, time.monotonic()
                Thread(target=self._look, name="alarm-counts", daemon=True).start()
            counts, age = self._counts, time.monotonic() - self._ended_at
        if counts is None:
            return
        family = GaugeMetricFamily(
            "rankloop_alarms", "What wants a lead, as on the overview page.", labels=["kind"]
        )
        for kind, count in counts.items():
            family.add_metric([kind], count)
        yield family
        yield GaugeMetricFamily("rankloop_alarms_age_seconds", "Age of these counts.", value=age)

    def _look(self) -> None:
        counts = None
        try:
            counts = _count()
        except Exception:  # Whatever breaks is in the log, and the other metrics go on.
            _log.exception("the alarms could not be counted")
        with self._lock:
            known = dict.fromkeys(self._counts or {}, 0)
            self._counts = None if counts is None else known | counts
            self._looking, self._ended_at = False, time.monotonic()


def _count() -> dict[str, int]:
    # Whoever may read the metrics is told counts alone, so nobody is asked for.
    account = Account(name="metrics", role=Role.LEAD)
    found = alarms(
        labeling_settings(process.project()).alarms,
        loop=measured.loop(account),
        worker_runs=measured.worker() is not None,
        alpha=measured.quality(account).krippendorff_alpha.value,
        reliable=measured.reliability(account),
    )
    counts: Counter[str] = Counter()
    for alarm in found:
        counts[alarm.kind] += alarm.count
    return dict(counts)
