"""The pool of ready tasks: prompts answered K times by the live policy, ahead of the annotators."""

import logging
import random
from collections.abc import Callable, Sequence
from itertools import islice

from sqlalchemy import Engine
from sqlmodel import Session, func, select

from labeling.keys import key_of
from labeling.work_queue.freshness import withdraw_stale
from labeling.work_queue.pools import evenly_ready
from labeling.work_queue.tasks import (
    ANSWERS_ALIKE,
    NO_PROMPT_FITS,
    Candidate,
    add_task,
    candidates,
    ready_tasks_by_pool,
    still_wanted,
)
from reward.generation.answers import among, answer_prompts, near_identical, prompt_token_ids
from reward.generation.arena_filler import ArenaFiller
from reward.generation.endpoint_answers import EndpointAnswers
from reward.generation.selector import Selector, Shown
from reward.running.runtime import Runtime
from storage.engine import reading, writing
from storage.errors import BadInput
from storage.settings import Settings
from storage.tables import Policy, Project, Prompt, Task

__all__ = ["PoolFiller", "answer_prompts", "fill_pool", "near_identical"]

log = logging.getLogger(__name__)


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
        self.arena = ArenaFiller(runtime, fence)
        self.endpoints = EndpointAnswers(runtime, fence)
        self.nothing_left = ""  #: why there was no prompt to answer when last looked for, or ""
        self._misses = 0
        self._unfit: set[int] = set()  # prompts
        self._asked: tuple[int, str] | None = None  # K and the system prompt of the last chunk
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
        missing = wanted - self._ready_and_fresh()
        while missing > 0 and keep_going():
            made = self.add_chunk(min(missing, self.runtime.profile.generation.chunk_tasks))
            if self.nothing_left:
                break
            added += made
            # Counted anew, since another filler may be at work.
            missing = min(missing - made, wanted - self._ready_and_fresh())
            progress(added, added + max(missing, 0))
        return added

    def add_chunk(self, count: int) -> int:
        """Answer up to `count` prompts with the live policy; return how many became tasks.

        A share of them is answered once by the live policy and once by the one before it instead.
        The project's settings are read anew, once for the whole chunk.
        """
        with self.runtime.newest_project() as project:
            asked = (project.completions_per_task, project.system_prompt)
            if asked != self._asked:
                # Other prompts may fit now, and others be answered in one way only.
                self._unfit.clear()
                self._alike.clear()
                self._asked = asked
            return self._add_chunk(count)

    def _add_chunk(self, count: int) -> int:
        policy, adapter = self.runtime.live_policy()
        seed = self._seed(policy)
        chosen = self._choose(policy, count, seed)
        if not chosen:
            self.nothing_left = self._why_none(policy)
            return 0
        self.nothing_left = ""
        compared = self.arena.add(
            policy, adapter, chosen, seed=seed, priority=self.selector.chance_priority(seed=seed)
        )
        left = [one for one in chosen if key_of(one.prompt) not in compared]
        added = len(compared) + self._add_rankings(policy, adapter, left, seed)
        # Without a new task nothing else would change the next seed.
        self._misses += added == 0
        return added

    def _ready_and_fresh(self) -> int:
        """Withdraw tasks of superseded policies where the live one has enough; return how many."""
        ready = self.ready()
        sizes, settings = self.runtime.profile.generation, self.runtime.settings
        enough = min(sizes.low_water, settings.pool_tasks)
        if ready >= enough:
            with writing(self.runtime.engine) as session:
                self.fence(session)
                withdraw_stale(
                    session, project_id=self.runtime.project_id, live_ready=ready, enough=enough
                )
        return ready

    def _add_rankings(
        self, policy: Policy, adapter: str | None, chosen: list[Candidate], seed: int
    ) -> int:
        if not chosen:
            return 0
        prompts = [one.prompt for one in chosen]
        plan = self.selector.plan(prompts, seed=seed)
        # Of K completions that are shown as they come, servers take the place of some.
        outside = self.endpoints.draw(prompts, seed=seed)
        pairs = zip(plan.counts, outside, strict=True)
        counts = [max(1, count - len(others)) for count, others in pairs]
        own = answer_prompts(self.runtime, adapter, prompts, seed=seed, counts=counts)
        answered = among(own, outside, seed=seed)
        shown = self.selector.choose(prompts, answered, plan, seed=seed)
        return self._store(policy, chosen, shown)

    def _count(self, policy_id: int | None) -> int:
        """Return the ready tasks, fewer where a pool's pile up and the others would wait."""
        project_id = self.runtime.project_id
        with reading(self.runtime.engine) as session:
            ready = ready_tasks_by_pool(session, project_id=project_id, policy_id=policy_id)
            return evenly_ready(session.get_one(Project, project_id), ready)

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
            fits = len(prompt_token_ids(self.runtime, prompt)) <= self._longest()
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
