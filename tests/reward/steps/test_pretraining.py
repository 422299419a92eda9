"""Texts for PPO-ptx: read in pieces, or refused by file, line and field."""

import json
from pathlib import Path

import pytest

from reward.running.runtime import Runtime
from reward.steps.outcome import CannotTrain
from reward.steps.pretraining import pretraining_ids
from storage.engine import build_engine
from storage.settings import Settings


def _runtime(judged: Settings, file: Path | str, coefficient: float = 1.0) -> Runtime:
    mix = {"ptx_coefficient": coefficient, "ptx_file": str(file), "ptx_tokens": 8}
    training = {**judged.training, "ppo": {**judged.training["ppo"], **mix}}
    settings = judged.model_copy(update={"training": training})
    return Runtime(build_engine(settings.url), settings)


def test_long_texts_are_read_in_pieces(judged: Settings, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in ("abcdefghijkl", "x")))
    runtime = _runtime(judged, file)
    found = pretraining_ids(runtime)
    # One token a letter: 8 + 4, and a text of one token predicts nothing.
    assert [len(piece) for piece in found] == [8, 4]
    assert runtime.backbone.tokenizer.decode([*found[0], *found[1]]) == "abcdefghijkl"


def test_nothing_is_read_while_the_mix_is_off(judged: Settings) -> None:
    assert pretraining_ids(_runtime(judged, "absent.jsonl", coefficient=0.0)) == []


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
    judged: Settings, tmp_path: Path, lines: str | None, says: str
) -> None:
    file = tmp_path / "texts.jsonl"
    if lines is not None:
        file.write_text(lines)
    with pytest.raises(CannotTrain, match=says):
        pretraining_ids(_runtime(judged, file))
