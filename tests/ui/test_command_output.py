"""What a command does whose reader goes away, whose streams are closed, whose disk is full."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ui.conftest import Home


def script(home: Home, words: str) -> str:
    return f"{sys.executable} -m ui.cli --home {home.path} {words}"


def bash(words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["labeling show --json", "export formats", "account roles"])
def test_a_reader_that_has_enough_is_no_failure(home: Home, command: str) -> None:
    # The pipe is closed before anything is written.
    done = bash(f"{script(home, command)} | sleep 0")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_failure(home: Home, closed: str) -> None:
    done = bash(f"{script(home, 'queue --json')} {closed}")
    assert done.returncode == 0 and "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_one_sentence(home: Home) -> None:
    done = bash(f"{script(home, 'labeling show')} > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "There is no room left on the disk; make room and run it again.\n"


def test_ctrl_c_while_the_commands_are_loaded_is_one_word() -> None:
    stopped = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'ui.cli.commands':\n"
        "            raise KeyboardInterrupt\n"
        "from ui.cli import main\n"
        "sys.meta_path.insert(0, Stop())\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", stopped], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Stopped.\n")
