"""The worker's parent with real children: crash, hang, lease loss, signals, kill -9."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine

from labeling.rounds import current_round
from reward.running.lease import acquire, read_lease
from reward.running.worker import run
from reward.running.worker_identity import new_owner
from reward.training.trainer_process import child_environment, describe_exit
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import Conflict, NotFound, Unavailable
from storage.settings import Settings, load_settings
from storage.tables import Project, Round, RoundState, WorkerLease

# What every stub child begins with; `folder` is where it leaves its traces.
OPENING = """
import json, os, subprocess, sys, time
from pathlib import Path
from reward.running.parent_watch import ChildExit, exit_when_parent_dies
exit_when_parent_dies()
folder = Path(__file__).parent
starts = folder / "starts"
starts.write_text((starts.read_text() if starts.exists() else "") + f"{os.getpid()}\\n")
"""

# Straight SQL starts ten times faster than the functions that the real child calls.
DATABASE = """
import sqlite3
database = sqlite3.connect(
    os.environ["RANKLOOP_DATABASE_URL"].removeprefix("sqlite:///"), isolation_level=None
)
"""

ATTEMPT = (
    DATABASE
    + """
database.execute("UPDATE round SET attempts = attempts + 1")
running = database.execute("SELECT 1 FROM round WHERE state != 'failed'").fetchone()
"""
)

HANG = "time.sleep(600)\n"


@pytest.fixture
def stub(tmp_path: Path) -> Callable[[str], list[str]]:
    """Write a child script and return its command."""

    def write(body: str) -> list[str]:
        file = tmp_path / "child.py"
        file.write_text(OPENING + body)
        return [sys.executable, str(file)]

    return write


@pytest.fixture
def settings(tmp_path: Path, sqlite_engine: Engine, sqlite_project: Project) -> Settings:
    return _settings(tmp_path, sqlite_engine)


def _settings(tmp_path: Path, engine: Engine, **values: Any) -> Settings:
    given: dict[str, Any] = {
        "home": tmp_path / "home",
        "database_url": str(engine.url),
        "worker_poll_seconds": 0.1,
        "worker_lease_seconds": 6.0,
        **values,
    }
    return load_settings(**given)


def _run_once(settings: Settings, command: list[str]) -> int:
    return run(settings, once=True, child_command=command, restart_seconds=0.05)


def _starts(tmp_path: Path) -> list[int]:
    file = tmp_path / "starts"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def _lease_row(engine: Engine) -> WorkerLease:
    with reading(engine) as session:
        row = read_lease(session, project_id=1)
    assert row is not None
    return row


def _take_lease(engine: Engine, owner: str, *, pid: int, dead_owner: str | None = None) -> None:
    with writing(engine) as session:
        taken = acquire(
            session,
            project_id=1,
            owner=owner,
            seconds=600,
            host="elsewhere",
            pid=pid,
            device="cpu",
            dead_owner=dead_owner,
        )
    assert taken is not None


def _add_round(engine: Engine) -> None:
    with writing(engine) as session:
        session.add(Round(project_id=1, number=1, state=RoundState.PPO, reason="5 new judgments"))


def _round(engine: Engine) -> Round:
    with reading(engine) as session:
        found = session.get(Round, 1)
    assert found is not None
    return found


def _log(settings: Settings) -> str:
    return (settings.home / "logs" / "worker.log").read_text()


def _is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.05)


@contextmanager
def _parent(settings: Settings, command: list[str], tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Run the worker's parent in a process of its own."""
    code = (
        "import sys; from reward.running.worker import run; "
        "from storage.settings import load_settings; "
        f"sys.exit(run(load_settings(), child_command={command!r}, restart_seconds=0.05))"
    )
    with (tmp_path / "parent-output").open("w") as output:
        parent = subprocess.Popen(
            [sys.executable, "-c", code],
            env=child_environment(settings),
            stdout=output,
            stderr=output,
        )
        try:
            yield parent
        finally:
            parent.kill()
            parent.wait()


def test_once_runs_one_child_and_gives_the_lease_back(
    settings: Settings, sqlite_engine: Engine, stub: Callable[[str], list[str]], tmp_path: Path
) -> None:
    command = stub("(folder / 'arguments').write_text(json.dumps(sys.argv[1:]))\n")
    assert _run_once(settings, command) == 0
    row = _lease_row(sqlite_engine)
    assert json.loads((tmp_path / "arguments").read_text()) == [
        *("--project", "default", "--owner", row.owner, "--epoch", "1", "--once")
    ]
    assert row.expires_at <= now()
    assert len(_starts(tmp_path)) == 1


def test_child_lines_reach_stdout_and_the_log_file(
    settings: Settings, stub: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    _run_once(settings, stub("print('step 3 of 8'); print('a warning', file=sys.stderr)\n"))
    shown = capsys.readouterr().out
    for text in (shown, _log(settings)):
        assert "Z step 3 of 8\n" in text
        assert "Z a warning\n" in text


def test_child_is_nicer_than_its_parent(
    settings: Settings, stub: Callable[[str], list[str]], tmp_path: Path
) -> None:
    body = "time.sleep(0.3)\n(folder / 'nice').write_text(str(os.getpriority(0, 0)))\n"
    _run_once(settings, stub(body))
    assert int((tmp_path / "nice").read_text()) == min(os.getpriority(0, 0) + 5, 19)


def test_child_reads_the_settings_in_force(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = settings.model_copy(
        update={"judgments_per_round": 7, "threads": 1, "training": {"ppo": {"lr": 0.001}}}
    )
    environment = child_environment(given)
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["OMP_WAIT_POLICY"] == "passive"
    assert environment["HF_HUB_OFFLINE"] == "1"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == given


def test_a_hub_model_is_not_cut_off_from_the_hub(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hub = settings.model_copy(update={"model": "owner/name"})
    assert "HF_HUB_OFFLINE" not in child_environment(hub)


def test_once_without_a_project(tmp_path: Path, sqlite_engine: Engine) -> None:
    with pytest.raises(NotFound, match="rankloop init"):
        _run_once(_settings(tmp_path, sqlite_engine), ["false"])


def test_once_without_tables(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    with pytest.raises(NotFound, match="rankloop init"):
        _run_once(settings, ["false"])


def test_once_beside_another_worker(
    settings: Settings, sqlite_engine: Engine, tmp_path: Path
) -> None:
    _take_lease(sqlite_engine, "another", pid=4711)
    with pytest.raises(Conflict, match="trained by process 4711 on elsewhere"):
        _run_once(settings, ["false"])


def test_a_dead_process_of_this_machine_is_replaced_at_once(
    settings: Settings, sqlite_engine: Engine, stub: Callable[[str], list[str]]
) -> None:
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    _take_lease(sqlite_engine, new_owner(), pid=finished.pid)
    assert _run_once(settings, stub("")) == 0
    assert _lease_row(sqlite_engine).epoch == 2


def test_a_living_process_of_this_machine_is_not_replaced(
    settings: Settings, sqlite_engine: Engine
) -> None:
    _take_lease(sqlite_engine, new_owner(), pid=os.getpid())
    with pytest.raises(Conflict):
        _run_once(settings, ["false"])


def test_three_crashes_fail_the_round_with_its_reason(
    settings: Settings, sqlite_engine: Engine, stub: Callable[[str], list[str]], tmp_path: Path
) -> None:
    _add_round(sqlite_engine)
    with pytest.raises(Unavailable, match="RuntimeError: out of luck"):
        _run_once(settings, stub(ATTEMPT + "raise RuntimeError('out of luck')\n"))
    failed = _round(sqlite_engine)
    assert failed.state is RoundState.FAILED
    assert failed.reason.startswith("Step ppo failed 3 times.")
    assert "exit code 1, RuntimeError: out of luck" in failed.reason
    assert len(_starts(tmp_path)) == 3
    assert "RuntimeError: out of luck" in _log(settings)


def test_a_crash_is_tried_again(
    settings: Settings, sqlite_engine: Engine, stub: Callable[[str], list[str]], tmp_path: Path
) -> None:
    _add_round(sqlite_engine)
    body = ATTEMPT + "if len(starts.read_text().split()) == 1: os.kill(os.getpid(), 9)\n"
    assert _run_once(settings, stub(body)) == 0
    assert len(_starts(tmp_path)) == 2
    assert "killed by SIGKILL" in _log(settings)
    kept = _round(sqlite_engine)
    assert (kept.state, kept.attempts) == ("ppo", 2)


def test_what_a_person_must_mend_is_said_and_not_tried_again(
    settings: Settings, stub: Callable[[str], list[str]], tmp_path: Path
) -> None:
    body = "print('Set it.', file=sys.stderr)\nsys.exit(ChildExit.CANNOT_GO_ON)\n"
    with pytest.raises(Unavailable, match=r"^Set it\.$"):
        _run_once(settings, stub(body))
    assert len(_starts(tmp_path)) == 1


def test_a_command_that_does_not_exist_is_a_crash(settings: Settings) -> None:
    with pytest.raises(Unavailable, match="could not be started"):
        _run_once(settings, ["/nonexistent/python"])


def test_a_child_without_progress_is_ended(
    tmp_path: Path, sqlite_engine: Engine, sqlite_project: Project, stub: Callable
) -> None:
    settings = _settings(tmp_path, sqlite_engine, step_stall_minutes=0.01)
    with pytest.raises(Unavailable, match=r"made no progress for 0\.01 minutes"):
        _run_once(settings, stub(HANG))
    assert _log(settings).count("It starts again") == 2
    assert all(_is_dead(pid) for pid in _starts(tmp_path))


def test_a_child_with_progress_is_left_alone(
    tmp_path: Path, sqlite_engine: Engine, sqlite_project: Project, stub: Callable
) -> None:
    settings = _settings(tmp_path, sqlite_engine, step_stall_minutes=0.03)
    body = DATABASE + (
        "for step in range(9):\n"
        "    time.sleep(0.3)\n"
        "    moment = time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime()) + f'.{step:06}'\n"
        "    database.execute('UPDATE worker_lease SET progress_at = ?', [moment])\n"
    )
    assert _run_once(settings, stub(body)) == 0
    assert len(_starts(tmp_path)) == 1


def test_a_lost_lease_ends_the_child(
    tmp_path: Path, sqlite_engine: Engine, sqlite_project: Project, stub: Callable
) -> None:
    settings = _settings(tmp_path, sqlite_engine, worker_lease_seconds=1.5)

    def steal() -> None:
        _until(lambda: _starts(tmp_path))
        holder = _lease_row(sqlite_engine).owner
        _take_lease(sqlite_engine, "thief", pid=1, dead_owner=holder)

    thief = threading.Thread(target=steal)
    thief.start()
    with pytest.raises(Conflict, match="took the project over"):
        _run_once(settings, stub(HANG))
    thief.join()
    assert all(_is_dead(pid) for pid in _starts(tmp_path))
    row = _lease_row(sqlite_engine)
    assert (row.owner, row.expires_at > now()) == ("thief", True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_child_and_parent(
    settings: Settings,
    sqlite_engine: Engine,
    stub: Callable[[str], list[str]],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    with _parent(settings, stub(HANG), tmp_path) as parent:
        _until(lambda: _starts(tmp_path))
        parent.send_signal(number)
        assert parent.wait(timeout=60) == 0
    assert all(_is_dead(pid) for pid in _starts(tmp_path))
    assert _lease_row(sqlite_engine).expires_at <= now()
    assert "The worker has stopped." in _log(settings)


def test_the_child_dies_with_a_killed_parent(
    settings: Settings, stub: Callable[[str], list[str]], tmp_path: Path
) -> None:
    body = (
        "own = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "(folder / 'own.tmp').write_text(str(own.pid))\n"
        "os.replace(folder / 'own.tmp', folder / 'own')\n" + HANG
    )
    with _parent(settings, stub(body), tmp_path) as parent:
        _until((tmp_path / "own").exists)
        parent.kill()
        parent.wait()
        pids = [*_starts(tmp_path), int((tmp_path / "own").read_text())]
        _until(lambda: all(_is_dead(pid) for pid in pids), seconds=5)


def test_one_bad_round_does_not_stop_the_loop(
    settings: Settings, sqlite_engine: Engine, stub: Callable[[str], list[str]], tmp_path: Path
) -> None:
    _add_round(sqlite_engine)
    body = ATTEMPT + (
        "if running is not None: raise RuntimeError('bad round')\n"
        "(folder / 'idle').touch()\n" + HANG
    )
    with _parent(settings, stub(body), tmp_path):
        _until((tmp_path / "idle").exists)
    assert _round(sqlite_engine).state is RoundState.FAILED
    with reading(sqlite_engine) as session:
        assert current_round(session, project_id=1) is None
    assert len(_starts(tmp_path)) == 4


def test_the_worker_waits_for_the_project(
    tmp_path: Path, sqlite_engine: Engine, stub: Callable[[str], list[str]]
) -> None:
    settings = _settings(tmp_path, sqlite_engine)
    log = settings.home / "logs" / "worker.log"
    with _parent(settings, stub(HANG), tmp_path):
        _until(lambda: log.exists() and "no project named default" in log.read_text())
        assert _starts(tmp_path) == []
        with writing(sqlite_engine) as session:
            session.add(Project(name="default"))
        _until(lambda: _starts(tmp_path))
    assert _log(settings).count("no project named default") == 1


def test_the_worker_waits_for_the_lease(
    settings: Settings, sqlite_engine: Engine, stub: Callable[[str], list[str]], tmp_path: Path
) -> None:
    _take_lease(sqlite_engine, "another", pid=4711)
    log = settings.home / "logs" / "worker.log"
    with _parent(settings, stub(HANG), tmp_path):
        _until(lambda: log.exists() and "process 4711 on elsewhere" in log.read_text())
        assert _starts(tmp_path) == []
        with writing(sqlite_engine) as session:
            row = session.get(WorkerLease, 1)
            assert row is not None
            row.expires_at = now()
            session.add(row)
        _until(lambda: _starts(tmp_path))


def test_exits_are_told_in_words() -> None:
    assert describe_exit(1) == "exit code 1"
    assert describe_exit(-9) == "killed by SIGKILL"


@pytest.mark.parametrize("library", ["torch", "pandas"])
def test_the_parent_does_without_what_is_slow_to_import(library: str) -> None:
    code = f"import sys, reward.running.worker; sys.exit({library!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
