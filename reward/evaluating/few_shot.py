"""The few-shot model: the bare model with a few top-ranked completions before the prompt.

What prompting gives before any tuning (Brown et al. 2020, §2).
"""

import json
from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from reward.generation.conversations import Messages, prompt_ids
from storage.errors import BadInput

Ranked = tuple[Messages, Sequence[str], Sequence[int]]  #: prompt, completions, ranks (1 is best)


def best_examples(rankings: Iterable[Ranked], count: int) -> list[Messages]:
    """Return at most `count` conversations: prompts of one turn with their one best completion.

    Each is of another prompt, in the order of the rankings.
    """
    examples: dict[str, Messages] = {}
    for messages, completions, ranks in rankings:
        best = list(ranks).index(min(ranks))
        lone = list(ranks).count(min(ranks)) == 1
        prompt = json.dumps(messages)
        if len(examples) < count and lone and len(messages) == 1 and prompt not in examples:
            examples[prompt] = [*messages, {"role": "assistant", "content": completions[best]}]
    return list(examples.values())


def ids_with_examples(
    tokenizer: PreTrainedTokenizerBase,
    messages: Messages,
    examples: Sequence[Messages],
    *,
    system_prompt: str,
    room: int,
) -> list[int] | None:
    """Return the prompt's token ids with as many of the examples before it as `room` ids hold.

    None where not even one of them fits.
    """
    system = [one for one in messages[:1] if one["role"] == "system"]
    rest = messages[len(system) :]
    for count in range(len(examples), 0, -1):
        turns = [turn for example in examples[:count] for turn in example]
        try:
            ids = prompt_ids(tokenizer, system + turns + rest, system_prompt)
        except BadInput:
            continue
        if len(ids) <= room:
            return ids
    return None
