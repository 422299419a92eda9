"""Completions of prompts as tasks show them: distinct, some with a style hint."""

import difflib
import random
from collections.abc import Sequence
from dataclasses import asdict

from labeling.work_queue.tasks import NewCompletion
from reward.generation.conversations import answer_text, prompt_ids
from reward.generation.sampling import Sample
from reward.running.runtime import Runtime
from storage.tables import Prompt

NEAR_IDENTICAL = 0.9  # share of matching words from which two completions are one for a reader


def answer_prompts(
    runtime: Runtime,
    adapter: str | None,
    prompts: Sequence[Prompt],
    *,
    seed: int,
    counts: Sequence[int] | None = None,
) -> list[list[NewCompletion]]:
    """Return distinct completions of each prompt, up to its count (K without), shuffled.

    Half answer the prompt as it stands, the others with a style hint appended. Near-identical ones
    are drawn again a bounded number of times; what is still alike then stays, except an exact copy.
    """
    counts = counts or [runtime.project.completions_per_task] * len(prompts)
    rng = random.Random(seed)
    plan = [_hints(count, runtime.profile.generation.hints, rng) for count in counts]
    slots = [(row, place) for row, count in enumerate(counts) for place in range(count)]
    found: dict[tuple[int, int], NewCompletion] = {}
    for attempt in range(runtime.profile.generation.resamples + 1):
        wanted = [slot for slot in slots if slot not in found or _repeats(found, slot)]
        if not wanted:
            break
        drawn_seed = rng.randrange(2**31)
        hints = [plan[row][place] for row, place in wanted]
        samples = _draw(runtime, adapter, [prompts[row] for row, _ in wanted], hints, drawn_seed)
        for slot, hint, one in zip(wanted, hints, samples, strict=True):
            found[slot] = _completion(runtime, one, hint, drawn_seed, attempt)
    answered = []
    for row, count in enumerate(counts):
        distinct = {found[row, place].text: found[row, place] for place in range(count)}
        completions = [one for text, one in distinct.items() if text]
        rng.shuffle(completions)
        answered.append(completions)
    return answered


def answer_plainly(
    runtime: Runtime, adapter: str | None, prompts: Sequence[Prompt], *, seed: int
) -> list[NewCompletion]:
    """Return one completion of each prompt as it stands."""
    hints = [""] * len(prompts)
    samples = _draw(runtime, adapter, prompts, hints, seed)
    return [_completion(runtime, one, "", seed, 0) for one in samples]


def among(
    own: Sequence[Sequence[NewCompletion]],
    others: Sequence[Sequence[NewCompletion]],
    *,
    seed: int,
) -> list[list[NewCompletion]]:
    """Return each prompt's completions with those from elsewhere among them, in chance order.

    What reads as a copy of the policy's own is left out; without any, the order stays as it is.
    """
    rng = random.Random(f"among {seed}")
    found = []
    for mine, more in zip(own, others, strict=True):
        fresh = [
            one for one in more if not any(near_identical(one.text, each.text) for each in mine)
        ]
        together = [*mine, *fresh]
        if fresh:
            rng.shuffle(together)
        found.append(together)
    return found


def near_identical(one: str, other: str) -> bool:
    """Say whether two texts read as the same: equal but for case, or nine words in ten shared."""
    words, others = one.lower().split(), other.lower().split()
    if words == others:
        return True
    return difflib.SequenceMatcher(None, words, others).ratio() >= NEAR_IDENTICAL


def _repeats(found: dict[tuple[int, int], NewCompletion], slot: tuple[int, int]) -> bool:
    row, place = slot
    text = found[slot].text
    return not text or any(near_identical(found[row, p].text, text) for p in range(place))


def _hints(k: int, hints: Sequence[str], rng: random.Random) -> list[str]:
    hinted = k // 2 if hints else 0
    chosen = rng.sample(list(hints), min(hinted, len(hints)))
    return [""] * (k - len(chosen)) + chosen


def prompt_token_ids(runtime: Runtime, prompt: Prompt, hint: str = "") -> list[int]:
    """Return a prompt's token ids under the project's system prompt, a style hint appended."""
    return prompt_ids(
        runtime.backbone.tokenizer, prompt.messages, runtime.project.system_prompt, hint
    )


def _draw(
    runtime: Runtime,
    adapter: str | None,
    prompts: Sequence[Prompt],
    hints: Sequence[str],
    seed: int,
) -> list[Sample]:
    ids = [
        prompt_token_ids(runtime, prompt, hint) for prompt, hint in zip(prompts, hints, strict=True)
    ]
    with runtime.generator(adapter) as generator:
        return generator.generate(ids, runtime.profile.sampling, seed=seed)


def _completion(runtime: Runtime, one: Sample, hint: str, seed: int, attempt: int) -> NewCompletion:
    sampling = {**asdict(runtime.profile.sampling), "hint": hint, "attempt": attempt}
    return NewCompletion(
        text=answer_text(runtime.backbone.tokenizer, one.ids, runtime.backbone.end_tokens),
        sampling=sampling,
        seed=seed,
        finish_reason="stop" if one.ended else "length",
        token_count=len(one.ids),
    )
