"""Nobody waits for a file that is being read: what it holds is stored only afterwards."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.conftest import Home
from ui.cli import data, imported
from ui.cli.commands import cli
from ui.cli.frame import run

ROWS = 600  # more than are read between two words of progress


@pytest.mark.parametrize(
    ("module", "command"), [(imported, ["import", "prompts"]), (data, ["gold", "add"])]
)
def test_others_write_while_a_file_is_read(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, command: list[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    row = {"completions": ["a", "b"], "ranks": [1, 2]}
    file.write_text("".join(json.dumps({"prompt": f"{n}?"} | row) + "\n" for n in range(ROWS)))
    seen: list[tuple[str, bool]] = []

    def watching(**_: bool) -> Callable[[str, float], None]:
        return lambda what, share: seen.append((what.split()[0], others_can_write(home)))

    monkeypatch.setattr(module, "on_terminal", watching)
    assert run(cli, ["--home", str(home.path), *command, str(file)]) == 0
    assert set(seen) == {("Reading", True), ("Storing", False)}


def others_can_write(home: Home) -> bool:
    other = sqlite3.connect(home.path / "rankloop.db", timeout=0, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        other.close()
    return True
