"""The examples of docs/python-api.md, run as they stand, on a tiny model."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_model import make_tiny_model

PAGE = Path(__file__).parents[2] / "docs/python-api.md"
SIZES = {
    "backbone": {"top_layers": 2, "rank": 4},
    "sampling": {"max_new_tokens": 8},
    "evaluation": {"prompts": 4, "heldout_tokens": 100},
    "reward": {"normalise_prompts": 4},
}


def blocks() -> list[tuple[int, str]]:
    """Return the page's Python blocks, each with its line."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.finditer(r"```python\n(.*?)```", text, re.DOTALL)
    return [(text[: each.start()].count("\n") + 1, each.group(1)) for each in found]


def write(name: str, rows: list[dict[str, str]]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.slow
def test_every_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    model = make_tiny_model(tmp_path / "model")
    settings = {
        "HOME": str(tmp_path / "home"),
        "MODEL": str(model),
        "DEVICE": "cpu",
        "SYSTEM_PROMPT": "",
        "TRAINING": json.dumps(SIZES),
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"RANKLOOP_{name}", value)
    write("prompts.jsonl", [{"prompt": f"Question {number}?"} for number in range(12)])
    write(
        "preferences.jsonl",
        [
            {"prompt": f"Choose {number}.", "chosen": "Yes.", "rejected": f"No {number}, not now."}
            for number in range(24)
        ],
    )
    names: dict[str, Any] = {}
    for line, code in blocks():
        exec(compile("\n" * line + code, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    names["home"].engine.dispose()
    assert "24 judgments imported as" in said
    assert "8 judgments\n" in said
    assert names["would"].judgments == 24
    assert [one.id for one in names["would"].snapshots] == [names["snapshot"].id]
    assert len(names["rows"]) == 24 + 8
    assert 0 <= names["fitted"]["accuracy"] <= 1
    assert "judgments.withdrawn" in said


def test_the_page_shows_each_verb() -> None:
    code = "\n".join(code for _, code in blocks())
    for name in (
        "open_home(",
        "import_prompts(",
        "import_staged(",
        "simulate(",
        "quality(",
        "take_snapshot(",
        "export_preferences(",
        "train_reward_stage(",
        "evaluate_stage(",
    ):
        assert name in code
