"""The database's figures as Prometheus metrics, read at most once in `metrics_seconds`."""

import logging
import math
import time
from collections.abc import Iterable, Iterator
from threading import Lock

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from labeling.monitoring import Monitored, MonitoredRound, MonitoredWorker, monitored
from storage.engine import reading
from storage.errors import RankloopError
from storage.tables import RoundState
from ui import process
from ui.observing.alarm_counts import AlarmCounts

_log = logging.getLogger(__name__)


class DatabaseFigures(Collector):
    """Collect the figures of the process's project; scrapes at one moment share one reading."""

    def __init__(self) -> None:
        """Begin without figures."""
        self._lock = Lock()
        self._read_at = -math.inf
        self._engine: object = None
        self._figures: Monitored | None = None
        self._alarms = AlarmCounts()

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not read the database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Return the metrics; only `rankloop_database_up 0` where the database does not answer."""
        figures, age = self._newest()
        up = GaugeMetricFamily("rankloop_database_up", "1 where the database answers, else 0.")
        up.add_metric([], float(figures is not None))
        yield up
        if figures is None:
            return
        yield _gauge("rankloop_figures_age_seconds", "Age of the database's figures.", age)
        yield from _of_labeling(figures)
        yield from _of_rounds(figures)
        if figures.round is not None:
            yield from _of_newest_round(figures.round)
        if figures.worker is not None:
            yield from _of_worker(figures.worker)
        yield from self._alarms.collect()

    def _newest(self) -> tuple[Monitored | None, float]:
        with self._lock:
            age, engine = time.monotonic() - self._read_at, process.engine()
            if age >= process.settings().metrics_seconds or engine is not self._engine:
                self._engine = engine
                self._figures, self._read_at, age = _read(), time.monotonic(), 0.0
            return self._figures, age


def _read() -> Monitored | None:
    try:
        with reading(process.engine()) as session:
            return monitored(session, project_id=process.project_id())
    except (SQLAlchemyError, RankloopError):
        _log.exception("the database's figures could not be read")
        return None


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, value=value)


def _by_state(name: str, words: str, counts: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=["state"])
    for state, count in counts.items():
        family.add_metric([state], count)
    return family


def _of_labeling(figures: Monitored) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "rankloop_judgments", "Judgments stored, corrections included.", value=figures.judgments
    )
    yield _by_state("rankloop_tasks", "Tasks in each state.", figures.tasks)
    yield _gauge("rankloop_leases", "Tasks that are lent to an annotator now.", figures.leased)
    yield _gauge(
        "rankloop_leases_expired",
        "Leases of tasks that ran out and were not taken up again.",
        figures.expired,
    )
    yield _gauge(
        "rankloop_webhook_deliveries_pending", "Webhook messages to be sent.", figures.deliveries
    )


def _of_rounds(figures: Monitored) -> Iterator[Metric]:
    yield _gauge("rankloop_policy_live_version", "Live policy's version.", figures.live_version)
    yield _by_state("rankloop_rounds", "Rounds in each state.", figures.rounds)


def _of_newest_round(one: MonitoredRound) -> Iterator[Metric]:
    yield _gauge("rankloop_round_number", "Number of the newest round.", one.number)
    yield _by_state(
        "rankloop_round_state",
        "1 for the state that the newest round is in, else 0.",
        {state.value: int(state is one.state) for state in RoundState},
    )
    yield _gauge("rankloop_round_step", "Steps done in that state.", one.step_index)
    yield _gauge("rankloop_round_steps", "Steps that the state has.", one.steps)
    if one.age is not None:
        yield _gauge("rankloop_round_age_seconds", "Seconds that the round is open.", one.age)
    if one.reward is not None:
        yield _gauge("rankloop_round_reward", "Mean score of a completion in PPO.", one.reward)
    if one.kl is not None:
        yield _gauge("rankloop_round_kl", "Nats a completion from the reference in PPO.", one.kl)


def _of_worker(worker: MonitoredWorker) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "rankloop_worker_leases", "Times that the worker's lease was taken.", value=worker.taken
    )
    yield _gauge(
        "rankloop_worker_lease_seconds",
        "Seconds that the worker's lease still holds; negative where it ran out.",
        worker.seconds_left,
    )
    yield _gauge(
        "rankloop_worker_silent_seconds",
        "Seconds since the worker's last heartbeat.",
        worker.silent,
    )
