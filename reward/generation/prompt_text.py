"""Texts out of token ids: what a person asked last, and what was answered."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from reward.generation.conversations import Messages, prompt_ids

FIRST, ANSWER, LAST = "FirstQuestion", "FirstAnswer", "LastQuestion"


def last_question(prompt: str | Messages) -> str:
    """Return the last user message of a conversation; a plain text is one."""
    if isinstance(prompt, str):
        return prompt.strip()
    asked = [message["content"] for message in prompt if message["role"] == "user"]
    return asked[-1].strip() if asked else prompt[-1]["content"].strip()


class PromptReader:
    """Reads the last question back out of prompt ids; the same text as `last_question` gives."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Learn from a small conversation what the template puts before and after a question."""
        self.tokenizer = tokenizer
        said = [
            {"role": "user", "content": FIRST},
            {"role": "assistant", "content": ANSWER},
            {"role": "user", "content": LAST},
        ]
        text = self._decode(prompt_ids(tokenizer, said, ""))
        until_last, _, self._after = text.rpartition(LAST)
        self._before = until_last.rpartition(ANSWER)[2]

    def question(self, ids: Sequence[int]) -> str:
        """Return the last user message in prompt ids; the whole text where none can be found."""
        text = self._decode(ids).removesuffix(self._after)
        return (text.rpartition(self._before)[2] if self._before else text).strip()

    def answer(self, ids: Sequence[int]) -> str:
        """Return the text of an answer's ids, without end tokens and outer white space."""
        return self._decode(ids).strip()

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
