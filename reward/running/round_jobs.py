"""Whole rounds that `launch_command` runs on another machine (the setting `launch_part`).

The job is the worker's child, `reward.running.work`, under the lease of this machine's worker: what
it writes is fenced by the lease's epoch, and its progress is the lease's row. It is started when
there is work for it and ends when that is done, so that nothing is paid for while people rank.
"""

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine

from labeling.keys import key_of
from labeling.policies import live_policy
from labeling.work_queue.tasks import ready_task_count
from reward.running.command_guard import GuardedCommand
from reward.running.job_folder import make_job_folder
from reward.running.launch_template import job_name, job_values, launch_templates
from reward.running.lease import Lease, read_lease, report_progress
from reward.running.rounds import count_attempt, open_round
from storage.engine import reading, writing
from storage.settings import Settings

QUEUED = "waiting for launch_command to start the job"
IDLE = "waiting for judgments"
STOPPED = "cannot go on: "  # what a job leaves in the lease's row before a sentence for people
RETRY_SECONDS = 600.0  # until a pool that a job could not fill is tried again
TOLD = 10.0  # seconds between two words about a job in a queue


def runs_rounds_by_command(settings: Settings) -> bool:
    """Say whether the settings want whole rounds on another machine."""
    return settings.launcher == "command" and settings.launch_part == "round"


class RoundJobs:
    """Decides when a job is worth starting, and follows it until its first word."""

    def __init__(self, settings: Settings, engine: Engine, module: Sequence[str]) -> None:
        """Take the worker's child: its module, and arguments before those of the lease."""
        self.settings = settings
        self.engine = engine
        self.module = list(module)
        self._left: tuple[int, float] | None = None  # ready tasks when the last job ended, and when
        self._round: tuple[int, int] | None = None  # the open round and its attempts at the start
        self._started = self._told = 0.0
        self._began = False
        self._folder: Path | None = None

    def is_wanted(self, lease: Lease) -> bool:
        """Say whether there is a round to run, which is opened if it is due, or tasks to make.

        A pool is filled when half of it is used up. Raises `LeaseLost`.
        """
        settings = self.settings
        with writing(self.engine) as session:
            one = open_round(
                session,
                lease=lease,
                judgments_per_round=settings.judgments_per_round,
                round_hours=settings.round_hours,
                seed=settings.seed,
            )
            self._round = None if one is None else (key_of(one), one.attempts)
            if one is None:
                report_progress(session, lease=lease, doing=IDLE)
        if one is not None:
            return True
        ready = self._ready(lease)
        if 2 * ready >= settings.pool_tasks:
            return False
        if self._left is None or ready != self._left[0]:
            return True
        return time.monotonic() - self._left[1] > RETRY_SECONDS

    def start(self, lease: Lease) -> GuardedCommand:
        """Return the command of a new job; its settings lie in a file for its owner's eyes only.

        The lease's row says `QUEUED` by then, so that what the job says at once stands.
        """
        settings = self.settings
        name = job_name(settings.project, "round")
        self._folder = make_job_folder(settings.home, name)
        file = self._folder / "settings.json"
        with os.fdopen(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as stream:
            json.dump(settings.model_dump(mode="json", exclude_none=True), stream)
        job = [*self.module, "--project", settings.project, "--owner", lease.owner]
        job += ["--epoch", str(lease.epoch), "--once", "--apart", "--settings", str(file)]
        values = job_values(settings, name=name, stage="round", job=job)
        launch, cancel = launch_templates(settings)
        self._started = self._told = time.monotonic()
        self._began = False
        return GuardedCommand(launch.command(values), cancel.command(values) if cancel else None)

    def follow(self, lease: Lease) -> str:
        """Keep a job in a queue from looking stalled; say why it is given up, or nothing.

        Raises `LeaseLost`.
        """
        moment, minutes = time.monotonic(), self.settings.launch_wait_minutes
        late = moment - self._started >= 60 * minutes
        if self._began or (moment - self._told < TOLD and not late):
            return ""
        with writing(self.engine) as session:
            row = read_lease(session, project_id=lease.project_id)
            self._began = row is not None and row.doing != QUEUED
            if not self._began:
                report_progress(session, lease=lease, doing=None)
        self._told = moment
        if self._began or not late:
            return ""
        return (
            f"launch_command did not start the job within {minutes:g} minutes; look at the queue, "
            "or raise launch_wait_minutes."
        )

    def ended(self, lease: Lease, *, well: bool) -> str:
        """Remove the job's files; return the sentence of one that said it cannot go on, or "".

        One that ended badly before it began counts as an attempt of its round. Raises `LeaseLost`.
        """
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._left = (self._ready(lease), time.monotonic())
        with writing(self.engine) as session:
            row = read_lease(session, project_id=lease.project_id)
            doing = row.doing if row is not None else ""
            if not well and self._round is not None and doing in (QUEUED, "starting"):
                count_attempt(session, lease=lease, round_id=self._round[0])
        return doing.removeprefix(STOPPED) if doing.startswith(STOPPED) else ""

    def _ready(self, lease: Lease) -> int:
        with reading(self.engine) as session:
            live = live_policy(session, project_id=lease.project_id)
            return ready_task_count(session, project_id=lease.project_id, policy_id=key_of(live))
