"""Jobs that a command starts out of this process's sight: heard, ended, and never left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
import pytest

from reward.running import job_folder
from reward.running.command_guard import GuardedCommand
from reward.running.commanded_job import CommandedJob, run_commanded
from reward.running.launcher import ProcessesFailed
from storage.errors import Conflict, Unavailable

STAND_IN = Path(__file__).parents[1] / "stand_in_srun.sh"
WORKER = Path(__file__).with_name("commanding_worker.py")

# What the job does first; it knows nothing but its folder.
OPENING = """
import sys, time, os
from pathlib import Path
from reward.running import job_folder
folder = Path(sys.argv[1])
job_folder.exit_when_left(folder)
"""
SAY = "job_folder.say(folder, {'working': 'here'})\n"


@dataclass
class Place:
    """A job's folder, a script for it, and what the stand-in for srun leaves."""

    tmp_path: Path

    def __post_init__(self) -> None:
        for name in ("job", "queue"):
            (self.tmp_path / name).mkdir()

    def job(self, script: str, **changes: float) -> CommandedJob:
        file = self.tmp_path / "job.py"
        file.write_text(OPENING + script)
        folder, queue = self.tmp_path / "job", self.tmp_path / "queue"
        guarded = GuardedCommand(
            command=[str(STAND_IN), str(queue), sys.executable, str(file), str(folder)],
            cancel=["/bin/sh", "-c", f"touch '{queue}/cancelled'"],
            grace=0.5,
        )
        return replace(CommandedJob(folder, guarded, 2.0, 30.0, 30.0), **changes)

    @property
    def cancelled(self) -> bool:
        return (self.tmp_path / "queue" / "cancelled").exists()

    def is_job_gone_within(self, seconds: float) -> bool:
        """Say whether the job ends by itself; on busy cores it may not even have begun."""
        file = self.tmp_path / "queue" / "pid"
        return _soon(lambda: not file.exists() or not _runs(int(file.read_text() or 0)), seconds)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _soon(what: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.05)
    return what()


def _run(job: CommandedJob) -> list[str]:
    lines: list[str] = []
    run_commanded(job, on_line=lines.append, on_waiting=lambda: lines.append("waiting"))
    return lines


def test_a_job_in_another_session_place_and_environment_is_heard(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_WORKER", "1")
    script = "for n in range(3): job_folder.say(folder, {'n': n})\n"
    script += "job_folder.say(folder, {'at': [os.getcwd(), os.getsid(0) == os.getpid(), "
    script += "'SECRET_OF_THE_WORKER' in os.environ]})\n"
    lines = _run(place.job(script))
    said = [json.loads(line) for line in lines if line != "waiting"]
    assert said == [{"n": 0}, {"n": 1}, {"n": 2}, {"at": ["/", True, False]}]
    assert lines[0] == "waiting"
    assert not place.cancelled


def test_a_command_that_ends_badly_is_named_with_its_last_words(place: Place) -> None:
    with pytest.raises(ProcessesFailed, match="exit code 7: srun: error: no such partition"):
        _run(place.job("sys.stderr.write('srun: error: no such partition\\n'); sys.exit(7)"))
    assert place.cancelled


def test_a_job_that_is_killed_fails_with_the_signal(place: Place) -> None:
    with pytest.raises(ProcessesFailed, match="killed by SIGKILL"):
        _run(place.job("os.kill(os.getpid(), 9)"))


def test_a_job_that_hangs_is_ended_and_cancelled(place: Place) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="said nothing for"):
        _run(place.job(SAY + "time.sleep(600)", silent_seconds=0.5))
    assert time.monotonic() - began < 10
    assert place.cancelled
    # The stand-in passes no signal on: the job ends because its worker waits no more.
    assert place.is_job_gone_within(4)


@pytest.mark.slow
def test_a_job_that_never_begins_is_given_up(place: Place) -> None:
    with pytest.raises(Unavailable, match="did not start the job within"):
        _run(place.job("time.sleep(600)", wait_seconds=0.5))
    assert place.cancelled
    assert place.is_job_gone_within(4)


@pytest.mark.slow
def test_an_error_while_listening_ends_the_job(place: Place) -> None:
    def refuse(line: str) -> None:
        raise RuntimeError("the lease is lost")

    with pytest.raises(RuntimeError):
        run_commanded(place.job(SAY + "time.sleep(600)"), on_line=refuse, on_waiting=lambda: None)
    assert place.cancelled
    assert place.is_job_gone_within(4)


def test_kill_9_of_the_worker_leaves_no_command_and_no_job(place: Place) -> None:
    job = place.job(SAY + "time.sleep(600)")
    guarded = json.dumps(asdict(job.guarded))
    worker = subprocess.Popen([sys.executable, str(WORKER), str(job.folder), guarded])
    try:
        assert _soon(lambda: (job.folder / job_folder.LINES).exists(), 20)
        started = psutil.Process(worker.pid).children(recursive=True)
        assert len(started) >= 2
        worker.send_signal(signal.SIGKILL)
        assert _soon(lambda: place.cancelled, 10)
        assert place.is_job_gone_within(6)
        assert _soon(lambda: not any(_runs(one.pid) for one in started), 5)
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.slow
def test_kill_9_of_worker_and_guard_still_ends_the_job(place: Place) -> None:
    job = place.job(SAY + "time.sleep(600)")
    guarded = json.dumps(asdict(job.guarded))
    worker = subprocess.Popen([sys.executable, str(WORKER), str(job.folder), guarded])
    try:
        assert _soon(lambda: (job.folder / job_folder.LINES).exists(), 20)
        (guard,) = psutil.Process(worker.pid).children()
        os.kill(guard.pid, signal.SIGSTOP)
        worker.kill()
        guard.kill()
        assert place.is_job_gone_within(6)
        assert not place.cancelled
    finally:
        worker.kill()
        worker.wait()


def test_a_program_that_is_absent_is_one_sentence(place: Place) -> None:
    job = place.job("")
    absent = replace(job, guarded=GuardedCommand(["/no/such/srun"]))
    with pytest.raises(ProcessesFailed, match="'/no/such/srun' cannot be started"):
        _run(absent)


def test_a_job_is_taken_once(tmp_path: Path) -> None:
    job_folder.claim(tmp_path)
    with pytest.raises(Conflict, match="started twice"):
        job_folder.claim(tmp_path)


def test_what_killed_workers_left_is_removed_a_day_later(tmp_path: Path) -> None:
    folders = [job_folder.make_job_folder(tmp_path, name) for name in ("left", "beating")]
    long_ago = time.time() - 100_000
    for folder in folders:
        (folder / job_folder.ALIVE).write_text("1")
        os.utime(folder, (long_ago, long_ago))
    os.utime(folders[0] / job_folder.ALIVE, (long_ago, long_ago))
    job_folder.make_job_folder(tmp_path, "new")
    assert [folder.exists() for folder in folders] == [False, True]


def test_lines_are_heard_whole_and_once(tmp_path: Path) -> None:
    heard = job_folder.HeardLines(tmp_path)
    assert heard.new() == []
    with (tmp_path / job_folder.LINES).open("wb") as stream:
        stream.write(b'{"a": "\xc3')
        stream.flush()
        assert heard.new() == []
        stream.write(b'\xa9"}\n{"b"')
        stream.flush()
        assert heard.new() == ['{"a": "é"}']
        stream.write(b": 1}\n")
        stream.flush()
        assert heard.new() == ['{"b": 1}']
