"""Figures that grow are measured in a process of their own, which may end at any time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread

import psutil
import pytest

from storage.engine import writing
from storage.settings import Settings, load_settings
from storage.tables import Project
from tests.labeling.stage import Stage, set_stage
from ui import process
from ui.figures import measuring, measuring_process
from ui.figures.measures import MEASURES


@pytest.fixture
def stage(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    monkeypatch.setattr(measuring_process, "WORTH_A_PROCESS", 3)
    (tmp_path / "rankloop.db").write_bytes(sqlite_template.read_bytes())
    process.configure(load_settings(home=tmp_path))
    with writing(process.engine()) as session:
        project = Project(name=process.settings().project)
        session.add(project)
    stage = set_stage(process.engine(), project, overlap=3)
    for text in ("s", "t"):
        stage.add_task(text)
        stage.judge("ann", [1, 2, 3, 4])
        stage.judge("bob", [1, 2, 4, 3])
    yield stage
    measuring_process.end()


def judgments_found(before: object = "an earlier measurement") -> int:
    with process.reading() as rows:
        return int(measuring_process.measure("quality", rows, before).judgments)


def test_what_grows_is_measured_by_one_other_process(stage: Stage) -> None:
    assert judgments_found() == 4
    child = measuring_process.child_id()
    assert child is not None and psutil.Process(child).ppid() == os.getpid()
    stage.judge("eve", [4, 3, 2, 1])
    assert judgments_found() == 5 and measuring_process.child_id() == child
    assert psutil.Process(child).nice() > psutil.Process().nice(), "pages come first"


def test_every_figure_is_what_this_process_would_have_measured(stage: Stage) -> None:
    for name, measure in MEASURES.items():
        with process.reading() as rows:
            found = measuring_process.measure(name, rows, "an earlier measurement")
            assert repr(found) == repr(measure(rows)), name
    assert measuring_process.child_id() is not None


def test_the_first_figures_and_those_of_few_judgments_need_none(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judgments_found(before=None) == 4
    monkeypatch.setattr(measuring_process, "WORTH_A_PROCESS", 5)
    assert judgments_found() == 4
    assert measuring_process.child_id() is None


def test_one_that_was_killed_is_started_again(stage: Stage) -> None:
    judgments_found()
    killed = measuring_process.child_id()
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    assert judgments_found() == 4
    assert measuring_process.child_id() not in (None, killed)


def test_one_that_hangs_is_ended_and_this_process_measures(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgments_found()
    child = measuring_process.child_id()
    assert child is not None
    os.kill(child, signal.SIGSTOP)
    monkeypatch.setattr(measuring_process, "_LONGEST_SECONDS", 0.2)
    assert judgments_found() == 4
    assert measuring_process.child_id() is None and not psutil.pid_exists(child)


def test_where_it_cannot_be_started_this_process_measures(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert judgments_found() == 4
    assert measuring_process.child_id() is None


def test_one_that_cannot_measure_leaves_it_to_this_process(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgments_found()
    monkeypatch.setitem(MEASURES, "new", lambda rows: "measured here")
    with process.reading() as rows:
        assert measuring_process.measure("new", rows, "before") == "measured here"
    assert judgments_found() == 4


def test_other_settings_are_another_process(stage: Stage) -> None:
    judgments_found()
    before = measuring_process.child_id()
    process.configure(process.settings().model_copy())
    assert judgments_found() == 4
    assert measuring_process.child_id() != before


@pytest.mark.parametrize("limits", [{"idle": 0.05}, {"most": 1}])
def test_it_ends_when_nothing_is_asked_and_after_many_answers(
    stage: Stage, limits: dict[str, float]
) -> None:
    ours, theirs = Pipe()
    thread = Thread(target=measuring.answer, args=(theirs,), kwargs=limits, daemon=True)
    thread.start()
    if "most" in limits:
        ours.send("waiting")
        assert ours.recv() == 0
    thread.join(20)
    assert not thread.is_alive()


def test_a_server_that_stops_does_not_wait_for_figures(stage: Stage) -> None:
    judgments_found()
    child = measuring_process.child_id()
    assert child is not None
    os.kill(child, signal.SIGSTOP)
    asking = Thread(target=judgments_found, daemon=True)
    asking.start()
    asking.join(0.5)
    assert asking.is_alive(), "it waits for the answer of a process that stands still"
    ending = Thread(target=measuring_process.end, daemon=True)
    ending.start()
    ending.join(20)
    assert not ending.is_alive() and not psutil.pid_exists(child)
    asking.join(20)
    assert not asking.is_alive(), "it measures by itself"


_SERVER = """
import os, sys, time
from pathlib import Path
from storage.settings import load_settings
from ui import process
from ui.figures import measuring_process
process.configure(load_settings(home=Path(sys.argv[1])))
measuring_process.WORTH_A_PROCESS = 1
with process.reading() as rows:
    measuring_process.measure("quality", rows, "before")
print(measuring_process.child_id(), flush=True)
time.sleep(600)
"""


def test_it_ends_with_its_server_however_that_ends(stage: Stage) -> None:
    settings: Settings = process.settings()
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(settings.home)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        child = psutil.Process(int(server.stdout.readline()))
        assert child.is_running()
    finally:
        server.kill()
        server.communicate()
    ends = time.monotonic() + 20
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ends
        time.sleep(0.05)
