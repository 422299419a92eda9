"""The checks of `rankloop doctor` on what runs: migrations, clocks, the worker's lease, GPUs."""

import shutil
import subprocess
from datetime import timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select

from labeling.keys import key_of
from labeling.projects import get_project
from labeling.rounds import current_round
from storage.clock import now
from storage.engine import reading
from storage.errors import Unavailable
from storage.migrate import newest_revision
from storage.settings import Settings
from storage.tables import Event, Judgment, WorkerLease
from ui.database import open_database

LARGEST_DIFFERENCE = timedelta(seconds=2)
GPU_SECONDS = 20


def migrations(settings: Settings) -> str:
    """Check that the tables are of this version (the sentence of a mismatch says what to run)."""
    open_database(settings).dispose()
    return f"revision {newest_revision()} is the newest"


def clock(settings: Settings) -> str:
    """Compare this machine's clock with the database's, and with the newest times stored.

    Leases run by these clocks: one that is ahead takes other people's tasks and rounds away.
    """
    with reading(open_database(settings)) as session:
        _refuse_future(session)
        if session.get_bind().dialect.name != "postgresql":
            return "right by the newest stored time; the database has this machine's clock"
        before = now()
        theirs = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        after = now()
    difference = theirs - (before + (after - before) / 2)
    if abs(difference) > LARGEST_DIFFERENCE:
        raise Unavailable(
            f"The database's clock is {difference.total_seconds():+.1f} s off this machine's; let "
            "both be set by NTP (timedatectl set-ntp true): leases run by them."
        )
    return f"{difference.total_seconds():+.3f} s off the database's"


def _refuse_future(session: Session) -> None:
    moment = now()
    for table in (Event, Judgment):
        newest = session.exec(
            select(table.created_at).order_by(col(table.id).desc()).limit(1)
        ).first()
        if newest is not None and newest - moment > LARGEST_DIFFERENCE:
            raise Unavailable(
                f"The newest {table.__tablename__} was stored at {newest:%Y-%m-%d %H:%M:%S} UTC, "
                f"which is still to come: this clock says {moment:%Y-%m-%d %H:%M:%S}; set it by "
                "NTP (timedatectl set-ntp true), or look at the machine that wrote it."
            )


def lease(settings: Settings) -> str:
    """Check that a round that is open has a worker that renews its lease."""
    with reading(open_database(settings)) as session:
        project_id = key_of(get_project(session, name=settings.project))
        row = session.get(WorkerLease, project_id)
        running = current_round(session, project_id=project_id)
    held = row is not None and row.expires_at > now()
    if running is not None and not held:
        raise Unavailable(
            f"Round {running.number} is open ({running.state}) and no worker holds the lease; "
            "start one with `rankloop worker`: it goes on from the last finished step."
        )
    if row is None or not held:
        return "free; no round waits for it"
    left = row.expires_at - now()
    if left > timedelta(seconds=settings.worker_lease_seconds) + LARGEST_DIFFERENCE:
        raise Unavailable(
            f"The lease of {row.owner} runs {left.total_seconds():.0f} s from now, longer than any "
            "lease: its machine's clock is ahead, or its worker_lease_seconds are others; set both "
            "alike."
        )
    still = (now() - row.progress_at).total_seconds() / 60
    if running is not None and still > settings.step_stall_minutes:
        raise Unavailable(
            f"Round {running.number} has made no progress for {still:.0f} minutes; read "
            f"{settings.home / 'logs' / 'worker.log'} and restart the worker."
        )
    return f"held by {row.owner} for {left.total_seconds():.0f} s more"


def gpu(settings: Settings) -> str:
    """Ask the driver for GPUs; none is no fault unless the settings want one."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        if settings.device == "cuda":
            raise Unavailable(
                "The setting device is cuda, but nvidia-smi is not here; install NVIDIA's driver "
                "or set RANKLOOP_DEVICE=auto."
            )
        return "no NVIDIA driver; training takes the device below"
    asked = "--query-gpu=name,memory.free,memory.total,temperature.gpu"
    done = subprocess.run(
        [tool, asked, "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        timeout=GPU_SECONDS,
    )
    rows = [line.split(", ") for line in done.stdout.splitlines() if line.count(", ") == 3]
    if done.returncode or not rows:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no answer"]
        raise Unavailable(
            f"NVIDIA's driver is here but shows no GPU ({said[0]}); reload the driver or restart "
            "the machine, then run nvidia-smi."
        )
    return "; ".join(
        f"{name}, {free} of {whole} MiB free, {heat} °C" for name, free, whole, heat in rows
    )
