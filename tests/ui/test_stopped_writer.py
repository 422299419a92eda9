import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.settings import load_settings
from storage.sqlite_writer import Writer, writer_of
from tests.ui.conftest import Home
from ui.cli import checks
from ui.cli.commands import cli
from ui.cli.frame import run

pytestmark = pytest.mark.skipif(
    not Path("/proc/locks").exists(), reason="only Linux lists its locks"
)
WRITES = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("writing", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def writing(home: Home) -> "Iterator[subprocess.Popen[str]]":
    """Yield a process that holds a transaction open in which it writes."""
    command = [sys.executable, "-c", WRITES, str(home.path / "rankloop.db")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def test_who_writes_is_known_and_that_it_was_stopped(
    home: Home, writing: "subprocess.Popen[str]"
) -> None:
    file = home.path / "rankloop.db"
    assert writer_of(file) == Writer(writing.pid, stopped=False)
    assert "sqlite answers" in checks.database(load_settings(home=home.path))
    writing.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, writing.pid, os.WSTOPPED | os.WNOWAIT)
    assert writer_of(file) == Writer(writing.pid, stopped=True)
    with pytest.raises(checks.Unavailable, match=f"end it \\(kill -9 {writing.pid}\\)"):
        checks.database(load_settings(home=home.path))
    writing.kill()
    writing.wait()
    assert writer_of(file) is None


def test_nobody_writes(home: Home, tmp_path: Path) -> None:
    with sqlite3.connect(home.path / "rankloop.db") as reader:
        reader.execute("SELECT count(*) FROM account").fetchone()
        assert writer_of(home.path / "rankloop.db") is None
    assert writer_of(tmp_path / "none.db") is None


def test_a_command_that_could_not_write_says_why(
    home: Home,
    writing: "subprocess.Popen[str]",
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert writing.poll() is None
    monkeypatch.setattr("storage.engine.BUSY_TIMEOUT_MS", 100)
    assert run(cli, ["--home", str(home.path), "account", "add", "ada", "--role", "lead"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Another process has been writing") and "`rankloop doctor`" in said
