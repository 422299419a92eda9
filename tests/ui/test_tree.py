"""`rankloop up` as a process tree: it starts, restarts and stops as one."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from storage.errors import Unavailable
from tests.ui.conftest import command, environment, free_port, wait_for_page
from ui.cli.tree import Child, _end, _watch

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def pipe() -> Iterator[int]:
    reading_end, writing_end = os.pipe()
    yield reading_end
    os.close(reading_end)
    os.close(writing_end)


@pytest.fixture
def up(tmp_path: Path, sqlite_template: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Start `rankloop up` on a model that cannot be loaded: the pages must come all the same."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(sqlite_template, home / "rankloop.db")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"")
    port = free_port()
    process = subprocess.Popen(
        command("--home", str(home), "up", "--port", str(port)),
        env=environment(RANKLOOP_MODEL=str(model)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    wait_for_page(url, process)
    yield process, url
    if process.poll() is None:
        process.terminate()
        process.wait(30)


def family(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def until(holds: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return False


def ended(processes: list[psutil.Process]) -> bool:
    return all(not each.is_running() or each.status() == psutil.STATUS_ZOMBIE for each in processes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_of_it(
    up: tuple["subprocess.Popen[bytes]", str], number: signal.Signals
) -> None:
    process, _ = up
    assert until(lambda: len(family(process)) >= 2)
    children = family(process)
    process.send_signal(number)
    assert process.wait(30) == 0
    assert until(lambda: ended(children))


def test_even_killed_it_leaves_nothing_behind(up: tuple["subprocess.Popen[bytes]", str]) -> None:
    process, _ = up
    assert until(lambda: len(family(process)) >= 2)
    children = family(process)
    process.kill()
    process.wait(10)
    assert until(lambda: ended(children))


def test_a_worker_that_ends_is_started_again(pipe: int) -> None:
    server = Child("web server", SLEEP, pipe)
    worker = Child("worker", [sys.executable, "-c", "raise SystemExit(5)"], pipe, pause=0.05)
    server.start()
    worker.start()
    stop = threading.Event()
    first = worker.process
    watch = threading.Thread(target=_watch, args=(server, [worker], stop))
    watch.start()
    again = until(lambda: worker.process is not None and worker.process is not first, 10)
    stop.set()
    watch.join(10)
    assert _end([server, worker]) == 0
    assert again


def test_pauses_between_restarts_grow_to_a_bound(pipe: int) -> None:
    worker = Child("worker", SLEEP, pipe)
    worker.started = time.monotonic()
    pauses = [worker.next_pause() for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    worker.started = time.monotonic() - 3600
    assert worker.next_pause() == 1


def test_a_server_that_ends_ends_all(pipe: int) -> None:
    server = Child("web server", [sys.executable, "-c", "raise SystemExit(3)"], pipe)
    worker = Child("worker", SLEEP, pipe)
    server.start()
    worker.start()
    with pytest.raises(Unavailable, match="exit code 3"):
        _watch(server, [worker], threading.Event())
    assert _end([server, worker]) == 0
    assert worker.ended() is not None
