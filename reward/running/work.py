"""The worker's child process: fills the task pool, runs rounds, and reports what it does.

Launched by `reward/running/worker.py`, which holds the lease and watches. By hand, for debugging:
`python -m reward.running.work --project default --owner NAME --epoch N`. With `--apart` it is a job
on a machine that the worker does not see: it watches the lease in the database, and ends when that
is not kept any more.
"""

from reward.running.parent_watch import ChildExit, exit_when_parent_dies

if __name__ == "__main__":
    # First of all, before the slow imports: a parent that dies now must not leave a child behind.
    exit_when_parent_dies()

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from labeling.rounds import current_round, round_due
from reward.generation.pool import PoolFiller
from reward.model_annotators.ahead_labeling import AheadLabeling
from reward.running.lease import Lease, LeaseLost, report_progress, require
from reward.running.lease_watch import exit_without_lease
from reward.running.loop import Loop
from reward.running.round_jobs import STOPPED
from reward.running.runtime import Runtime
from storage.engine import build_engine, reading, writing
from storage.errors import RankloopError
from storage.settings import Settings, load_settings
from storage.telemetry.logs import build_formatter
from storage.telemetry.traces import configure_traces, end_traces

log = logging.getLogger("reward.running.work")


def main() -> int:
    """Work until told to stop; return one of `ChildExit`."""
    arguments = _arguments()
    settings = _settings(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    logging.getLogger().handlers[0].setFormatter(build_formatter(settings, plain="%(message)s"))
    for noisy in ("httpx", "alembic", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    configure_traces(settings, service="rankloop-worker")
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    engine, lease = build_engine(settings.url), None
    try:
        runtime = Runtime(engine, settings)
        lease = Lease(runtime.project_id, arguments.owner, arguments.epoch)
        if arguments.apart:
            exit_without_lease(engine, lease, settings.worker_lease_seconds)
        work = build_work(runtime, lease)
        work.once() if arguments.once else work.forever()
    except LeaseLost as error:
        log.info("%s", error)
        return ChildExit.LEASE_LOST
    except RankloopError as error:
        sys.stderr.write(f"{error}\n")
        if arguments.apart and lease is not None:
            # A scheduler may not pass the exit code on.
            with suppress(LeaseLost), writing(engine) as session:
                report_progress(session, lease=lease, doing=f"{STOPPED}{error}")
        return ChildExit.CANNOT_GO_ON
    finally:
        end_traces()
    return ChildExit.DONE


class Work:
    """What the child does: rounds first, then the pool and the models that judge it, by chunks."""

    def __init__(self, runtime: Runtime, lease: Lease, pool: PoolFiller, loop: Loop) -> None:
        """Say on which device the work is done."""
        self.runtime = runtime
        self.lease = lease
        self.pool = pool
        self.loop = loop
        self.ahead = AheadLabeling(
            runtime, pool.selector.rewards, fence=pool.fence, working=self._report
        )
        self._said = ""
        with writing(runtime.engine) as session:
            report_progress(session, lease=lease, doing="starting", device=runtime.device_in_words)
        log.info("Training on %s.", runtime.device_in_words)

    def once(self) -> None:
        """Make one round if one is due, and fill the pool with the live policy's completions."""
        if self._round_waits():
            self.loop.run_round_if_due()
        self._fill(keep_going=lambda: True)
        while self.ahead.label_some():
            pass
        self._say_idle()

    def forever(self) -> None:
        """Alternate between rounds and the pool; look again after a pause when neither waits."""
        while True:
            if self._round_waits():
                self._said = ""
                self.loop.run_round_if_due()
            added = self._fill(keep_going=lambda: not self._round_waits())
            judged = self.ahead.label_some()
            if added == 0 and judged == 0 and not self._round_waits():
                self._say_idle()
                time.sleep(self.runtime.settings.worker_poll_seconds)

    def _round_waits(self) -> bool:
        settings = self.runtime.settings
        with reading(self.runtime.engine) as session:
            project_id = self.runtime.project_id
            if current_round(session, project_id=project_id) is not None:
                return True
            due = round_due(
                session,
                project_id=project_id,
                judgments_per_round=settings.judgments_per_round,
                round_hours=settings.round_hours,
            )
        return due is not None

    def _fill(self, keep_going: Callable[[], bool]) -> int:
        wanted = self.runtime.settings.pool_tasks

        def progress(done: int, total: int) -> None:
            log.info("Task pool: %d of %d new tasks made.", done, total)
            self._report(f"filling the task pool, {done}/{total}")

        if self.pool.ready() < wanted and not self.pool.nothing_left:
            self._said = ""
            self._report("filling the task pool")
        return self.pool.fill(wanted, progress=progress, keep_going=keep_going)

    def _say_idle(self) -> None:
        stuck = self.pool.nothing_left
        self._report(stuck or "waiting for judgments")
        words = f"{stuck}." if stuck else "The task pool is full; waiting for judgments."
        if words != self._said:
            log.info("%s", words)
        self._said = words

    def _report(self, words: str) -> None:
        with writing(self.runtime.engine) as session:
            report_progress(session, lease=self.lease, doing=words)


def build_work(runtime: Runtime, lease: Lease) -> Work:
    """Return the work of one lease: its loop and its pool write only while the lease is ours."""
    pool = PoolFiller(runtime, fence=lambda session: require(session, lease=lease))
    return Work(runtime, lease, pool, Loop(runtime, lease, pool))


def _settings(arguments: argparse.Namespace) -> Settings:
    """Return the worker's settings, where its file is seen here; else this machine's own."""
    given = {"project": arguments.project}
    if arguments.settings is not None and arguments.settings.is_file():
        given |= json.loads(arguments.settings.read_text(encoding="utf-8"))
    if arguments.apart:
        # The steps of a round that is a job already are trained where it runs.
        given |= {"launcher": "local", "launch_command": "", "cancel_command": ""}
    return load_settings(**given)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reward.running.work", description=__doc__)
    parser.add_argument("--project", required=True)
    parser.add_argument("--owner", required=True)
    parser.add_argument("--epoch", required=True, type=int)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--settings", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
