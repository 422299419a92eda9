"""The pool of ready tasks: prompts answered K times by the live policy, ahead of the annotators."""

import difflib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from sqlalchemy import Engine
from sqlmodel import func, select

from labeling.keys import key_of
from labeling.tasks import NewCompletion, add_task, prompts_to_answer, ready_task_count
from reward.conversations import answer_text, prompt_ids
from reward.runtime import Runtime
from reward.sampling import Sample, sample
from storage.engine import reading, writing
from storage.settings import Settings
from storage.tables import Policy, Prompt, Task, TaskStatus

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

    def __init__(self, runtime: Runtime) -> None:
        """Keep the models at hand between chunks."""
        self.runtime = runtime

    def ready(self) -> int:
        """Return how many tasks of the live policy may still be lent."""
        policy, _ = self.runtime.live_policy()
        with reading(self.runtime.engine) as session:
            return ready_task_count(
                session, project_id=self.runtime.project_id, policy_id=key_of(policy)
            )

    def lendable(self) -> int:
        """Return how many tasks of any policy may still be lent."""
        with reading(self.runtime.engine) as session:
            return session.exec(
                select(func.count())
                .select_from(Task)
                .where(Task.project_id == self.runtime.project_id, Task.status == TaskStatus.READY)
            ).one()

    def fill(
        self,
        wanted: int,
        *,
        progress: Callable[[int, int], None] = lambda done, wanted: None,
        keep_going: Callable[[], bool] = lambda: True,
    ) -> int:
        """Add tasks in chunks until `wanted` are ready or no prompt is left; return how many."""
        added = 0
        missing = wanted - self.ready()
        while missing > 0 and keep_going():
            made = self.add_chunk(min(missing, self.runtime.profile.generation.chunk_tasks))
            if made == 0:
                break
            added, missing = added + made, missing - made
            progress(added, added + max(missing, 0))
        return added

    def add_chunk(self, count: int) -> int:
        """Answer up to `count` prompts with the live policy and store their tasks."""
        policy, adapter = self.runtime.live_policy()
        seed = self._seed(policy)
        prompts = self._prompts(policy, count, seed)
        if not prompts:
            return 0
        answered = answer_prompts(self.runtime, adapter, prompts, seed=seed)
        with writing(self.runtime.engine) as session:
            for prompt, completions in zip(prompts, answered, strict=True):
                if len(completions) >= 2:
                    add_task(
                        session,
                        project=self.runtime.project,
                        prompt_id=key_of(prompt),
                        policy_id=key_of(policy),
                        completions=completions,
                    )
        return len(prompts)

    def _seed(self, policy: Policy) -> int:
        with reading(self.runtime.engine) as session:
            last = session.exec(
                select(Task.id)
                .where(Task.project_id == self.runtime.project_id)
                .order_by(Task.id.desc())  # type: ignore[union-attr]
            ).first()
        mixed = random.Random(f"{self.runtime.settings.seed}/{policy.version}/{last or 0}")
        return mixed.randrange(2**31)

    def _prompts(self, policy: Policy, count: int, seed: int) -> list[Prompt]:
        limit = self._longest()
        with reading(self.runtime.engine) as session:
            found = prompts_to_answer(
                session,
                project_id=self.runtime.project_id,
                policy_id=key_of(policy),
                count=count * 4,
                seed=seed,
            )
        fitting = [prompt for prompt in found if len(_ids(self.runtime, prompt)) <= limit]
        return fitting[:count]

    def _longest(self) -> int:
        room = self.runtime.backbone.context_length - self.runtime.profile.sampling.max_new_tokens
        return min(self.runtime.profile.generation.max_prompt_tokens, room)


def answer_prompts(
    runtime: Runtime, adapter: str | None, prompts: Sequence[Prompt], *, seed: int
) -> list[list[NewCompletion]]:
    """Return up to K distinct completions for each prompt, in a shuffled order.

    Half answer the prompt as it stands, the others with a style hint appended. Near-identical ones
    are drawn again a bounded number of times; what is still alike then stays, except an exact copy.
    """
    k = runtime.project.completions_per_task
    rng = random.Random(seed)
    plan = [_hints(k, runtime.profile.generation.hints, rng) for _ in prompts]
    slots = [(row, place) for row in range(len(prompts)) for place in range(k)]
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
    for row in range(len(prompts)):
        distinct = {found[row, place].text: found[row, place] for place in range(k)}
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
    settings = replace(runtime.profile.sampling)
    batch = runtime.profile.generation.batch
    return sample(runtime.backbone, adapter, ids, settings, seed=seed, batch_size=batch)


def _completion(runtime: Runtime, one: Sample, hint: str, seed: int, attempt: int) -> NewCompletion:
    sampling = {**asdict(runtime.profile.sampling), "hint": hint, "attempt": attempt}
    return NewCompletion(
        text=answer_text(runtime.backbone.tokenizer, one.ids, runtime.backbone.end_tokens),
        sampling=sampling,
        seed=seed,
        finish_reason="stop" if one.ended else "length",
        token_count=len(one.ids),
    )
