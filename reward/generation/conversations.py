"""Conversations as token ids: the chat template, the system prompt, and where an answer starts."""

import re
from collections.abc import Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from storage.errors import BadInput

Messages = list[dict[str, str]]

# Holds a text's place while the template is filled in; the character is of no language.
_HOLD = "\ue0f1"
_HELD = re.compile(f"({_HOLD}\\d+{_HOLD})")


def with_system(messages: Messages, system_prompt: str, hint: str = "") -> Messages:
    """Put a system message first, unless there is one; append `hint` to the last user message."""
    chat = [dict(message) for message in messages]
    if hint:
        chat[-1]["content"] = f"{chat[-1]['content']}\n\n{hint}"
    if system_prompt and chat[0]["role"] != "system":
        chat.insert(0, {"role": "system", "content": system_prompt})
    return chat


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, messages: Messages, system_prompt: str, hint: str = ""
) -> list[int]:
    """Return the ids of a conversation up to where the assistant's answer begins.

    A tokenizer without a chat template gets a plain `Role: text` layout. A template that takes no
    system message gets it at the head of the first user message. A text that spells a control token
    (`<|im_start|>`) gets the ids of its letters: nobody can end their turn or begin the system's.
    Raises `BadInput` where the template refuses the conversation all the same.
    """
    chat = with_system(messages, system_prompt, hint)
    spelled = [at for at, one in enumerate(chat) if _spells_control(tokenizer, one["content"])]
    held = {f"{_HOLD}{at}{_HOLD}": chat[at]["content"] for at in spelled}
    for hold, at in zip(held, spelled, strict=True):
        chat[at]["content"] = hold
    if tokenizer.chat_template:
        text = _templated(tokenizer, chat)
    else:
        turns = [f"{message['role'].capitalize()}: {message['content']}" for message in chat]
        text = "\n\n".join([*turns, "Assistant:"])
    ids: list[int] = []
    for piece in _HELD.split(text):
        if piece in held:
            ids += _letters(tokenizer, held[piece])
        elif piece or not ids:
            first = not tokenizer.chat_template and not ids
            ids += tokenizer(piece, add_special_tokens=first)["input_ids"]
    return ids


def _spells_control(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    return any(token and token in text for token in tokenizer.all_special_tokens)


def _letters(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the ids of a text in which a control token's name is only letters."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
        "input_ids"
    ]
    return ids


def _templated(tokenizer: PreTrainedTokenizerBase, chat: Messages) -> str:
    refusal: Exception | None = None
    for attempt in (chat, _without_system(chat)):
        try:
            return str(
                tokenizer.apply_chat_template(attempt, tokenize=False, add_generation_prompt=True)
            )
        except TemplateError as error:
            refusal = error
    raise BadInput(f"The model's chat template refuses a conversation: {refusal}.") from refusal


def _without_system(chat: Messages) -> Messages:
    if chat[0]["role"] != "system" or len(chat) < 2:
        return chat
    system, first, *rest = chat
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]


def answer_ids(
    tokenizer: PreTrainedTokenizerBase, text: str, *, ended: bool, end_token: int
) -> list[int]:
    """Return the ids of an answer, with the end token where the policy ended it by itself."""
    ids = _letters(tokenizer, text)
    return [*ids, end_token] if ended or not ids else ids


def answer_text(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], end_tokens: Sequence[int]
) -> str:
    """Return the text of sampled ids, without end tokens and outer white space.

    A NUL is replaced (U+FFFD): no database that a report or a task goes to stores one.
    """
    kept = [token for token in ids if token not in end_tokens]
    text = str(tokenizer.decode(kept, skip_special_tokens=True))
    return text.replace("\x00", "\ufffd").strip()
