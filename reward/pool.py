"""The pool of ready tasks: prompts answered K times by the live policy, ahead of the annotators."""

import difflib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import islice

from sqlalchemy import Engine
from sqlmodel import Session, func, select

from labeling.keys import key_of
from labeling.tasks import (
    ANSWERS_ALIKE,
    NO_PROMPT_FITS,
    Candidate,
    NewCompletion,
    add_task,
    candidates,
    ready_task_count,
    still_wanted,
)
from reward.conversations import answer_text, prompt_ids
from reward.runtime import Runtime
from reward.sampling import Sample
from reward.selector import Selector, Shown
from storage.engine import reading, writing
from storage.errors import BadInput
from storage.settings import Settings
from storage.tables import Policy, Prompt, Task

log = logging.getLogger(__name__)

NEAR_IDENTICAL = 0.9  # share of matching words from which two completions are one for a reader


def fill_pool(
    engine: Engine,
    settings: Settings,
    *,
    wanted: int,
    progress: Callable[[int, int], None] = lambda done, wanted: None,
) -> int:
    """Make ready tasks of the live policy until there are `wanted`; return how many were added."""
    return PoolFiller(Runtime(engine, settings)).fill(wanted, progress=progress)


class PoolFiller:
    """Fills one project's pool in chunks, each committed as it is made."""

    def __init__(
        self, runtime: Runtime, *, fence: Callable[[Session], None] = lambda session: None
    ) -> None:
        """Keep the models at hand between chunks; `fence` comes first in every write."""
        self.runtime = runtime
        self.fence = fence
        self.selector = Selector(runtime)
        self.nothing_left = ""  #: why there was no prompt to answer when last looked for, or ""
        self._misses = 0
        self._unfit: set[int] = set()  # prompts
        self._alike: set[tuple[int, int]] = set()  # policy and prompt: fewer than two answers

    def ready(self) -> int:
        """Return how many tasks of the live policy may still be lent."""
        policy, _ = self.runtime.live_policy()
        return self._count(key_of(policy))

    def lendable(self) -> int:
        """Return how many tasks of any policy may still be lent."""
        return self._count(None)

    def fill(
        self,
        wanted: int,
        *,
        progress: Callable[[int, int], None] = lambda done, wanted: None,
        keep_going: Callable[[], bool] = lambda: True,
    ) -> int:
        """Add tasks in chunks until `wanted` are ready; return how many.

        Ends early where no prompt can be answered; `nothing_left` then says why.
        """
        self.nothing_left = ""
        added = 0
        missing = wanted - self.ready()
        while missing > 0 and keep_going():
            made = self.add_chunk(min(missing, self.runtime.profile.generation.chunk_tasks))
            if self.nothing_left:
                break
            added += made
            # Counted anew, since another filler may be at work.
            missing = min(missing - made, wanted - self.ready())
            progress(added, added + max(missing, 0))
        return added

    def add_chunk(self, count: int) -> int:
        """Answer up to `count` prompts with the live policy; return how many became tasks."""
        policy, adapter = self.runtime.live_policy()
        seed = self._seed(policy)
        chosen = self._choose(policy, count, seed)
        if not chosen:
            self.nothing_left = self._why_none(policy)
            return 0
        self.nothing_left = ""
        prompts = [one.prompt for one in chosen]
        plan = self.selector.plan(prompts, seed=seed)
        answered = answer_prompts(self.runtime, adapter, prompts, seed=seed, counts=plan.counts)
        shown = self.selector.choose(prompts, answered, plan, seed=seed)
        added = self._store(policy, chosen, shown)
        # Without a new task nothing else would change the next seed.
        self._misses += added == 0
        return added

    def _count(self, policy_id: int | None) -> int:
        with reading(self.runtime.engine) as session:
            return ready_task_count(
                session, project_id=self.runtime.project_id, policy_id=policy_id
            )

    def _seed(self, policy: Policy) -> int:
        with reading(self.runtime.engine) as session:
            last = session.exec(
                select(func.max(Task.id)).where(Task.project_id == self.runtime.project_id)
            ).one()
        origin = f"{self.runtime.settings.seed}/{policy.version}/{last or 0}/{self._misses}"
        return random.Random(origin).randrange(2**31)

    def _choose(self, policy: Policy, count: int, seed: int) -> list[Candidate]:
        policy_id = key_of(policy)
        alike = {prompt_id for one, prompt_id in self._alike if one == policy_id}
        with reading(self.runtime.engine) as session:
            found = candidates(
                session,
                project_id=self.runtime.project_id,
                policy_id=policy_id,
                seed=seed,
                passed_over=self._unfit | alike,
            )
            return list(islice((one for one in found if self._fits(one.prompt)), count))

    def _fits(self, prompt: Prompt) -> bool:
        try:
            fits = len(_ids(self.runtime, prompt)) <= self._longest()
        except BadInput as error:
            log.warning("Prompt %d is passed over: %s", key_of(prompt), error)
            fits = False
        if not fits:
            self._unfit.add(key_of(prompt))
        return fits

    def _longest(self) -> int:
        room = self.runtime.backbone.context_length - self.runtime.profile.sampling.max_new_tokens
        return min(self.runtime.profile.generation.max_prompt_tokens, room)

    def _why_none(self, policy: Policy) -> str:
        alike = any(policy_id == policy.id for policy_id, _ in self._alike)
        return ANSWERS_ALIKE if alike else NO_PROMPT_FITS

    def _store(
        self,
        policy: Policy,
        chosen: Sequence[Candidate],
        shown: Sequence[Shown],
    ) -> int:
        policy_id, added = key_of(policy), 0
        with writing(self.runtime.engine) as session:
            self.fence(session)
            wanted = still_wanted(
                session, project_id=self.runtime.project_id, policy_id=policy_id, chosen=chosen
            )
            for one, task_shown in zip(chosen, shown, strict=True):
                prompt_id = key_of(one.prompt)
                if len(task_shown.completions) < 2:
                    self._alike.add((policy_id, prompt_id))
                elif prompt_id in wanted:
                    task = add_task(
                        session,
                        project=self.runtime.project,
                        prompt_id=prompt_id,
                        policy_id=policy_id,
                        completions=task_shown.completions,
                        priority=task_shown.priority,
                    )
                    task.selection = task_shown.selection
                    added += 1
        return added


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


def _ids(runtime: Runtime, prompt: Prompt, hint: str = "") -> list[int]:
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
    ids = [_ids(runtime, prompt, hint) for prompt, hint in zip(prompts, hints, strict=True)]
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
