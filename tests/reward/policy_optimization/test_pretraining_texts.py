"""Texts for PPO-ptx: read in pieces, or refused by file, line and field."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from reward.policy_optimization.ppo_settings import PPOSettings
from reward.policy_optimization.pretraining_texts import pretraining_ids
from storage.errors import BadInput


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_folder)


def mix(file: Path | str, coefficient: float = 1.0) -> PPOSettings:
    return PPOSettings(ptx_coefficient=coefficient, ptx_file=str(file), ptx_tokens=8)


def test_long_texts_are_read_in_pieces(tokenizer: Any, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in ("abcdefghijkl", "x")))
    found = pretraining_ids(mix(file), tokenizer)
    # One token a letter: 8 + 4, and a text of one token predicts nothing.
    assert [len(piece) for piece in found] == [8, 4]
    assert tokenizer.decode([*found[0], *found[1]]) == "abcdefghijkl"


def test_nothing_is_read_while_the_mix_is_off(tokenizer: Any) -> None:
    assert pretraining_ids(mix("absent.jsonl", coefficient=0.0), tokenizer) == []


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (None, "does not exist"),
        ("", "holds no text"),
        ('{"text": "fine"}\n{"texts": 1}', "line 2, field text: it is missing"),
        ('{"text": 3}', "line 1, field text: it must be text"),
        ("no json", "line 1, field text"),
    ],
)
def test_what_does_not_fit_is_named(
    tokenizer: Any, tmp_path: Path, lines: str | None, says: str
) -> None:
    file = tmp_path / "texts.jsonl"
    if lines is not None:
        file.write_text(lines)
    with pytest.raises(BadInput, match=says):
        pretraining_ids(mix(file), tokenizer)


def test_a_text_in_another_encoding_is_named_by_its_line(tokenizer: Any, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_bytes(b'{"text": "one"}\n{"text": "caf\xe9"}\n')
    with pytest.raises(BadInput, match=r"texts.jsonl, line 2: it is not UTF-8"):
        pretraining_ids(mix(file), tokenizer)
