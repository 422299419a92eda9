"""The worked example of docs/engineers.md, to its end: commands as they stand, then the script."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.tiny_model import make_tiny_model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/engineers.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.partition("## A worked example")[2].partition("\n## ")[0]
MODEL = '"HuggingFaceTB/SmolLM2-135M-Instruct"'


def commands() -> list[list[str]]:
    """Return the example's commands in order, lines that go on joined."""
    whole = EXAMPLE.replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^    (rankloop .+)$", whole, re.M)]


def script(model: Path) -> str:
    """Return the script, with another model; it trains in the folder that it is run in."""
    (code,) = re.findall(r"```python\n(.*?)```", EXAMPLE, re.S)
    assert MODEL in code
    return f"{code.replace(MODEL, repr(str(model)))}trainer.save_model('trained')\n"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_worked_example_runs_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    environment = os.environ | {
        "RANKLOOP_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
    }

    def run(command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    said = [run([sys.executable, "-m", "ui.cli", *command[1:]]) for command in commands()]
    assert "680 pairs for training, 78 for validation and 87 for testing" in said[-1]
    assert "+326 stay out: ties are left out" in said[-2]
    run([sys.executable, "-c", script(make_tiny_model(tmp_path / "tiny"))])
    trained = load_file(tmp_path / "trained" / "adapter_model.safetensors")
    assert any(weights.abs().sum() > 0 for name, weights in trained.items() if "lora_B" in name)
