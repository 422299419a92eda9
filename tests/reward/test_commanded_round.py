"""A whole round as a job in another session, and what is left of it when its worker is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlmodel import select

from labeling.policies import live_policy
from reward.running.worker import run
from storage.blobs import verify
from storage.engine import build_engine, reading
from storage.settings import Settings
from storage.tables import Policy, Round, RoundPoint, RoundState, WorkerLease

STAND_IN = Path(__file__).with_name("stand_in_srun.sh")
LEASE_SECONDS = 12.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def commanded(judged: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Return settings by which rounds are jobs of a stand-in for srun."""
    queue = tmp_path / "queue"
    queue.mkdir()
    yield judged.model_copy(
        update={
            "launcher": "command",
            "launch_part": "round",
            "launch_command": f"{STAND_IN} {queue} {{python}} -m {{job}}",
            "worker_lease_seconds": LEASE_SECONDS,
        }
    )
    for file in queue.glob("pid"):
        _kill(int(file.read_text()))


def _kill(pid: int) -> None:
    if psutil.pid_exists(pid):
        os.kill(pid, signal.SIGKILL)


def _round(settings: Settings) -> Round | None:
    with reading(build_engine(settings.url)) as session:
        return session.exec(select(Round)).one_or_none()


def test_a_job_elsewhere_makes_and_publishes_a_round(commanded: Settings) -> None:
    assert run(commanded, once=True) == 0
    done = _round(commanded)
    assert done is not None and done.state is RoundState.DONE, done
    with reading(build_engine(commanded.url)) as session:
        live = live_policy(session, project_id=1)
        points = session.exec(select(RoundPoint)).all()
        assert session.get_one(WorkerLease, 1).epoch == 1
    assert live.version == 2
    assert points
    verify(commanded.home, live.checkpoint_uri)


def _soon(what: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not what():
        time.sleep(0.2)
    return what()


def test_kill_9_of_the_worker_leaves_no_job_that_publishes(
    commanded: Settings, tmp_path: Path
) -> None:
    code = "import sys; from reward.running.worker import run; "
    code += "from storage.settings import Settings; "
    code += "run(Settings.model_validate_json(sys.argv[1]), once=True)"
    command = [sys.executable, "-c", code, commanded.model_dump_json()]
    worker = subprocess.Popen(command, start_new_session=True)
    try:
        assert _soon(lambda: (_round(commanded) or Round()).state is RoundState.REWARD, 300)
    finally:
        worker.kill()
        worker.wait()
    pid = int((tmp_path / "queue" / "pid").read_text())
    # Held up until the lease has run out, within which so small a round could still be ended.
    os.kill(pid, signal.SIGSTOP)
    time.sleep(LEASE_SECONDS)
    os.kill(pid, signal.SIGCONT)
    assert _soon(lambda: not psutil.pid_exists(pid), 40)
    with reading(build_engine(commanded.url)) as session:
        assert len(session.exec(select(Policy)).all()) == 1
    left = _round(commanded)
    assert left is not None and not left.state.ended
    # Another worker takes it up where it was, and ends it.
    assert (
        run(commanded.model_copy(update={"launcher": "local", "launch_command": ""}), once=True)
        == 0
    )
    with reading(build_engine(commanded.url)) as session:
        assert session.get_one(WorkerLease, 1).epoch == 2
        assert len(session.exec(select(Policy)).all()) == 2
        assert len(session.exec(select(Round)).all()) == 1
