"""Small packed files that become large ones: refused before they fill the memory."""

import gzip
from pathlib import Path

import pytest

from labeling.imports import row_streams
from labeling.imports.prompt_files import read_prompts
from storage.errors import BadInput

PATTERNS = {
    "jsonl": '{"prompt": "%s"}\n',
    "json": '[{"prompt": "%s"}]',
    "csv": "prompt\n%s\n",
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_streams, "_LONGEST_LINE", 1 << 20)


def packed(folder: Path, kind: str, length: int) -> Path:
    path = folder / f"prompts.{kind}.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write(PATTERNS[kind] % ("x" * length))
    return path


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_line_over_the_limit_is_refused_and_one_below_is_read(kind: str, tmp_path: Path) -> None:
    (found,) = read_prompts(packed(tmp_path, kind, 900_000))
    assert len(found.messages[0]["content"]) == 900_000
    path = packed(tmp_path, kind, 3_000_000)
    assert path.stat().st_size < 50_000
    with pytest.raises(BadInput, match="longer than 1 MiB"):
        read_prompts(path)


def test_one_object_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    path.write_text('{"prompt": "' + "x" * 2_000_000 + '"}')
    with pytest.raises(BadInput, match="longer than 1 MiB"):
        read_prompts(path)
