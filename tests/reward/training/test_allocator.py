import logging
import os
import sys
import time
from pathlib import Path

import pytest

from reward.running.launcher import Launch
from reward.running.launcher import _environment as launched_environment
from reward.training import allocator
from reward.training.allocator import allocator_environment, tcmalloc
from reward.training.trainer_process import TrainerProcess, child_environment
from storage.settings import load_settings
from tests.requirement import missing

FREES = """
from pathlib import Path
import torch
from reward.training.freed_memory import return_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

assert "tcmalloc" in Path("/proc/self/maps").read_text()
torch.empty(2**29)
blocks = [torch.ones(2**14) for _ in range(4096)]
kept = blocks[::2]
full = resident()
del blocks
return_freed_memory()
print("returned", full - resident(), "of 128 MiB")
"""


@pytest.fixture
def installed() -> str:
    library = tcmalloc()
    if library is None:
        missing("tcmalloc", "install the package libtcmalloc-minimal4")
    return library


def test_a_training_process_gets_it(
    installed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    settings = load_settings(home=tmp_path)
    said: list[str] = []
    log = logging.getLogger("test_allocator")
    log.setLevel(logging.INFO)
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    environment = {**child_environment(settings), "PYTHONPATH": os.getcwd()}
    assert environment["LD_PRELOAD"] == installed
    child = TrainerProcess([sys.executable, "-c", FREES], environment=environment, log=log)
    while child.poll() is None:
        time.sleep(0.05)
    assert child.end() == 0, said
    # One line: for a block of a GiB it would print a stack trace, unless told not to.
    assert len(said) == 1
    assert int(said[0].split()[1]) > 100
    assert child.last_error == ""


def test_so_do_several_processes(installed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    environment = launched_environment(Launch(processes=2, device="cpu"), Path("pipe"))
    assert environment["LD_PRELOAD"] == installed


@pytest.mark.parametrize("chosen", ["", "libjemalloc.so.2"])
def test_a_choice_already_made_is_left(installed: str, chosen: str) -> None:
    assert allocator_environment({"LD_PRELOAD": chosen}) == {}


def test_without_it_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "tcmalloc", lambda: None)
    assert allocator_environment({}) == {}


def test_elsewhere_it_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert tcmalloc.__wrapped__() is None
