"""Which room may import which: the contracts in pyproject.toml, and what they cannot see."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TRAINING = {"torch", "transformers", "trl", "peft", "accelerate", "reward"}
UI_FILES = sorted((ROOT / "ui").rglob("*.py"))


def test_every_contract_is_kept() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_contract_is_found(tmp_path: Path) -> None:
    for room in ("storage", "labeling", "reward", "ui"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
    (tmp_path / "ui" / "page.py").write_text("def show():\n    import reward\n")
    (tmp_path / "labeling" / "task.py").write_text("import torch\n")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    # -I keeps the real rooms, which are installed, from being found through PYTHONPATH.
    code = (
        "import sys; sys.path.insert(0, '.'); sys.meta_path[:] = "
        "[f for f in sys.meta_path if 'editable' not in str(f).lower()]; "
        "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"
    )
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ui.page -> reward" in done.stdout
    assert "labeling.task -> torch" in done.stdout


def _imported_at_start(tree: ast.Module) -> Iterator[str]:
    """Yield the names of the packages that importing the module imports too."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("file", UI_FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_ui_modules_import_no_training_at_start(file: Path) -> None:
    assert not TRAINING & set(_imported_at_start(ast.parse(file.read_text())))


@pytest.mark.parametrize("module", ["ui.cli", "ui.web.server", "labeling.statistics.quality"])
def test_torch_is_not_loaded_by(module: str) -> None:
    code = (
        f"import {module}, sys; found = set({TRAINING}) & set(sys.modules); assert not found, found"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_server_is_built_without_torch() -> None:
    code = (
        "import sys; from storage.settings import load_settings; "
        "from ui.web.server import build_app; "
        "build_app(); assert 'streamlit' in sys.modules; assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
