"""Conversations as ids: templates of every temper, hints, end tokens."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from reward.generation.conversations import answer_ids, answer_text, prompt_ids
from storage.errors import BadInput

ASK = [{"role": "user", "content": "Why?"}]
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
)


@pytest.fixture
def tokenizer(tiny_folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_folder)


def _text(tokenizer: PreTrainedTokenizerBase, *given: str) -> str:
    return str(tokenizer.decode(prompt_ids(tokenizer, ASK, *given)))


def test_the_system_prompt_and_the_hint_are_in_their_places(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    assert _text(tokenizer, "Be brief.", "Ask back.") == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?\n\nAsk back.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_without_a_system_prompt_there_is_none(tokenizer: PreTrainedTokenizerBase) -> None:
    assert "system" not in _text(tokenizer, "")


def test_a_template_without_a_system_role_gets_it_in_the_first_message(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokenizer.chat_template = NO_SYSTEM
    assert _text(tokenizer, "Be brief.") == "[user]Be brief.\n\nWhy?"


def test_a_conversation_that_the_template_refuses_is_bad_input(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(BadInput, match="roles must alternate"):
        prompt_ids(tokenizer, ASK, "")


def test_a_tokenizer_without_a_template_gets_plain_turns(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokenizer.chat_template = None
    assert _text(tokenizer, "Be brief.") == "System: Be brief.\n\nUser: Why?\n\nAssistant:"


def test_only_an_answer_that_ended_has_the_end_token(tokenizer: PreTrainedTokenizerBase) -> None:
    ended = answer_ids(tokenizer, "No.", ended=True, end_token=2)
    cut = answer_ids(tokenizer, "No.", ended=False, end_token=2)
    assert ended == [*cut, 2]
    assert answer_text(tokenizer, ended, [2]) == "No."
    assert answer_ids(tokenizer, "", ended=False, end_token=2) == [2], "no answer is empty"
