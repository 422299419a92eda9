"""Whole rounds by a command: the job is out of sight, the lease in the database ties it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from reward.running import round_jobs
from reward.running.lease import Lease, acquire, renew, report_progress
from reward.running.worker import run
from storage.engine import reading, writing
from storage.errors import Unavailable
from storage.settings import Settings, load_settings
from storage.tables import Policy, PolicyStatus, Project, Round, RoundState, WorkerLease

STAND_IN = Path(__file__).parents[1] / "stand_in_srun.sh"

# Straight SQL starts ten times faster than the functions that the real job calls.
OPENING = """
import json, os, sqlite3, stat, sys, time
from pathlib import Path
file = Path(sys.argv[sys.argv.index("--settings") + 1])
settings = json.loads(file.read_text())
url = settings["database_url"].removeprefix("sqlite:///")
database = sqlite3.connect(url, isolation_level=None)
def doing(words):
    database.execute("UPDATE worker_lease SET doing = ?", [words])
"""


@pytest.fixture
def settings(tmp_path: Path, sqlite_engine: Engine, sqlite_project: Project) -> Settings:
    with writing(sqlite_engine) as session:
        policy = Policy(project_id=1, version=1, checkpoint_uri="x", status=PolicyStatus.LIVE)
        session.add(policy)
    (tmp_path / "queue").mkdir()
    return load_settings(
        home=tmp_path / "home",
        database_url=str(sqlite_engine.url),
        worker_poll_seconds=0.1,
        worker_lease_seconds=6.0,
        launcher="command",
        launch_part="round",
        launch_command=f"{STAND_IN} {tmp_path}/queue {{python}} {{job}}",
        cancel_command=(
            f"sh -c 'touch {tmp_path}/queue/cancelled; kill -9 $(cat {tmp_path}/queue/pid)'"
        ),
    )


@pytest.fixture
def work(settings: Settings, tmp_path: Path) -> Callable[..., int]:
    """Write a job's script, and let a worker start it once."""

    def start(script: str, **changes: Any) -> int:
        (tmp_path / "job.py").write_text(OPENING + script)
        return run(
            settings.model_copy(update=changes),
            once=True,
            child_command=[sys.executable, str(tmp_path / "job.py")],
            restart_seconds=0.05,
        )

    return start


def _add_round(engine: Engine) -> None:
    with writing(engine) as session:
        session.add(
            Round(
                project_id=1, number=1, state=RoundState.PPO, base_policy_id=1, reason="5 new ones"
            )
        )


def _round(engine: Engine) -> Round:
    with reading(engine) as session:
        return session.get_one(Round, 1)


def test_a_job_gets_lease_and_settings_and_leaves_nothing(
    work: Callable[..., int], settings: Settings, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    script = f"""
found = {{"mode": stat.S_IMODE(file.stat().st_mode), "home": settings["home"], "cwd": os.getcwd()}}
found["arguments"] = sys.argv[1:-1]
found["secret"] = os.environ.get("RANKLOOP_DATABASE_URL", "")
Path({str(report)!r}).write_text(json.dumps(found))
"""
    assert work(script) == 0
    found = json.loads(report.read_text())
    assert (found["mode"], found["home"], found["cwd"]) == (0o600, str(settings.home), "/")
    assert found["arguments"][4:] == ["--epoch", "1", "--once", "--apart", "--settings"]
    assert found["secret"] == ""
    assert list((settings.home / "jobs").iterdir()) == []
    assert not (tmp_path / "queue" / "cancelled").exists()


def test_a_command_that_cannot_start_a_job_fails_the_round(
    work: Callable[..., int], sqlite_engine: Engine
) -> None:
    _add_round(sqlite_engine)
    with pytest.raises(Unavailable, match="srun: error: no such partition"):
        work("sys.stderr.write('srun: error: no such partition\\n'); sys.exit(1)")
    failed = _round(sqlite_engine)
    assert failed.state is RoundState.FAILED
    assert "Step ppo failed 3 times. launch_command ended badly (exit code 1" in failed.reason


@pytest.mark.slow
def test_a_job_that_cannot_go_on_says_so_whatever_its_scheduler_makes_of_the_exit_code(
    work: Callable[..., int], sqlite_engine: Engine
) -> None:
    _add_round(sqlite_engine)
    with pytest.raises(Unavailable, match=r"^Mend the model"):
        work("doing('cannot go on: Mend the model.'); sys.exit(1)")
    assert _round(sqlite_engine).state is RoundState.PPO


@pytest.mark.slow
def test_a_job_that_waits_too_long_is_cancelled(
    work: Callable[..., int], sqlite_engine: Engine, tmp_path: Path
) -> None:
    _add_round(sqlite_engine)
    script = "file.unlink(); time.sleep(600)"
    with pytest.raises(Unavailable, match="did not start the job within"):
        work(script, launch_wait_minutes=0.02)
    assert (tmp_path / "queue" / "cancelled").exists()


def test_what_a_job_says_before_it_is_first_looked_at_stands(
    settings: Settings, sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_jobs, "TOLD", 0.0)
    lease = _take(sqlite_engine, "worker")
    jobs = round_jobs.RoundJobs(settings, sqlite_engine, ["reward.running.work"])
    _say(sqlite_engine, lease, round_jobs.QUEUED)
    jobs.start(lease)
    _say(sqlite_engine, lease, "cannot go on: Mend the model.")
    assert jobs.follow(lease) == ""
    assert jobs.ended(lease, well=False) == "Mend the model."


def _say(engine: Engine, lease: Lease, doing: str) -> None:
    with writing(engine) as session:
        report_progress(session, lease=lease, doing=doing)


WATCHING = """
import sys, time
from reward.running.lease import Lease
from reward.running.lease_watch import exit_without_lease
from storage.engine import build_engine
exit_without_lease(build_engine(sys.argv[1]), Lease(1, "worker", 1), 1.5)
print("watching", flush=True)
time.sleep(600)
"""


@pytest.fixture
def watcher(settings: Settings, sqlite_engine: Engine) -> Any:
    """Yield a process that ends with the lease, which is held."""
    _take(sqlite_engine, "worker")
    command = [sys.executable, "-c", WATCHING, settings.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "watching\n"
            yield process
        finally:
            process.kill()


def _take(engine: Engine, owner: str, dead: str | None = None) -> Any:
    with writing(engine) as session:
        return acquire(
            session, project_id=1, owner=owner, seconds=60, host="", pid=1, device="",
            dead_owner=dead,
        )  # fmt: skip


@pytest.mark.slow
def test_a_job_ends_when_nobody_keeps_its_lease(
    watcher: subprocess.Popen[str], sqlite_engine: Engine
) -> None:
    with reading(sqlite_engine) as session:
        row = session.get_one(WorkerLease, 1)
    for _ in range(6):
        with writing(sqlite_engine) as session:
            assert renew(session, lease=Lease(1, row.owner, row.epoch), seconds=60)
        time.sleep(0.4)
        assert watcher.poll() is None
    assert watcher.wait(timeout=10) == 3


def test_a_job_ends_when_another_worker_has_its_lease(
    watcher: subprocess.Popen[str], sqlite_engine: Engine
) -> None:
    began = time.monotonic()
    assert _take(sqlite_engine, "another", dead="worker") is not None
    assert watcher.wait(timeout=10) == 3
    assert time.monotonic() - began < 1.4
