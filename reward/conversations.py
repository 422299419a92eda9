"""Conversations as token ids: the chat template, the system prompt, and where an answer starts."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, str]]


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

    A tokenizer without a chat template gets a plain `Role: text` layout.
    """
    chat = with_system(messages, system_prompt, hint)
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    else:
        turns = [f"{message['role'].capitalize()}: {message['content']}" for message in chat]
        text = "\n\n".join([*turns, "Assistant:"])
    ids: list[int] = tokenizer(str(text), add_special_tokens=not tokenizer.chat_template)[
        "input_ids"
    ]
    return ids


def answer_ids(
    tokenizer: PreTrainedTokenizerBase, text: str, *, ended: bool, end_token: int
) -> list[int]:
    """Return the ids of an answer, with the end token where the policy ended it by itself."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return [*ids, end_token] if ended or not ids else ids


def answer_text(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], end_tokens: Sequence[int]
) -> str:
    """Return the text of sampled ids, without end tokens and outer white space."""
    kept = [token for token in ids if token not in end_tokens]
    return str(tokenizer.decode(kept, skip_special_tokens=True)).strip()
