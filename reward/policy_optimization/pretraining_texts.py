"""Texts for PPO-ptx: what the policy must not forget while it is moved."""

import json
from pathlib import Path
from typing import Any

from reward.policy_optimization.ppo_settings import PPOSettings
from storage.errors import BadInput


def pretraining_ids(settings: PPOSettings, tokenizer: Any) -> list[list[int]]:
    """Return the token ids of the texts in `settings.ptx_file`; none where the mix is off.

    The file is JSONL with a field `text`. Raises `BadInput` naming what does not fit.
    """
    if settings.ptx_coefficient <= 0:
        return []
    path = Path(settings.ptx_file)
    if not path.is_file():
        raise BadInput(
            f"The file {settings.ptx_file or '(none)'} of training.ppo.ptx_file does not exist; "
            "name a JSONL file with a field text, or set training.ppo.ptx_coefficient to 0."
        )
    found: list[list[int]] = []
    longest = settings.ptx_tokens
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            ids = tokenizer(_text_of(line, f"{path}, line {number}"))["input_ids"]
            found += [ids[start : start + longest] for start in range(0, len(ids), longest)]
    usable = [ids for ids in found if len(ids) > 1]
    if not usable:
        raise BadInput(f"{path}: the file holds no text.")
    return usable


def _text_of(line: bytes, place: str) -> str:
    try:
        text = json.loads(line.decode())["text"]
    except UnicodeDecodeError as error:
        raise BadInput(f"{place}: it is not UTF-8; save the file as UTF-8.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{place}, field text: it is missing, or the line is no JSON.") from error
    if not isinstance(text, str):
        raise BadInput(f"{place}, field text: it must be text.")
    return text
