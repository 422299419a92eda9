import json
from pathlib import Path
from typing import Any

import pytest

from labeling.imports.demonstration_files import read_demonstrations
from storage.errors import BadInput

ASK = [{"role": "user", "content": "Why?"}]
ANSWER = [{"role": "assistant", "content": "So."}]


def write(folder: Path, rows: list[Any]) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_shape_gives_the_same_demonstration(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Why?", "completion": "So."},
        {"prompt": ASK, "completion": ANSWER},
        {"messages": ASK, "completion": "So."},
        {"messages": ASK + ANSWER},
    ]
    found = read_demonstrations(write(tmp_path, rows))
    assert [(one.messages, one.text) for one in found] == [(ASK, "So.")] * len(rows)
    assert found[3].where.endswith("mine.jsonl, line 4")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "Why?"}, "field completion: the completion is missing"),
        ({"messages": ASK}, "field completion: the completion is missing"),
        ({"messages": ANSWER + ASK}, "field messages: the answer must be one message"),
        ({"prompt": "Why?", "completion": ""}, "field completion: the text is empty"),
        ({"prompt": "Why?", "completion": ANSWER * 2}, "field completion: the answer must be one"),
        ({"completion": "So."}, "field prompt: the prompt is missing"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: Any, says: str) -> None:
    path = write(tmp_path, [{"prompt": "Why?", "completion": "So."}, row])
    with pytest.raises(BadInput, match=f"line 2.*{says}.*Nothing was trained"):
        read_demonstrations(path)
