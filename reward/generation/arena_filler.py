"""Arena tasks for the pool: a prompt answered by the live policy and by the one before it."""

import logging
import random
from collections.abc import Callable, Sequence

from sqlmodel import Session

from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.work_queue.arena import add_arena_task, arena_wanted, policy_before
from labeling.work_queue.tasks import Candidate, NewCompletion, still_wanted
from reward.generation.answers import answer_plainly, near_identical
from reward.running.runtime import Runtime
from storage.engine import reading, writing
from storage.errors import RankloopError
from storage.tables import Policy, Project

log = logging.getLogger(__name__)

Pair = list[tuple[Policy, NewCompletion]]
ADAPTER = "arena"  # the policy before the live one


class ArenaFiller:
    """Makes the arena tasks among a chunk of new ones."""

    def __init__(self, runtime: Runtime, fence: Callable[[Session], None]) -> None:
        """Load nothing until there are two policies to compare."""
        self.runtime = runtime
        self.fence = fence
        self._before: tuple[int, str | None] | None = None  # the older policy and its adapter
        self._out_of_reach: set[int] = set()  # policies that cannot be loaded

    def add(
        self,
        live: Policy,
        adapter: str | None,
        chosen: Sequence[Candidate],
        *,
        seed: int,
        priority: int = 0,
    ) -> set[int]:
        """Store the chunk's share of arena tasks; return their prompts' ids.

        Both policies answer the prompt as it stands, with the same sampling settings, each from a
        seed of its own. Where the two answers read alike there is nothing to ask: the prompt is
        left for an ordinary task.
        """
        before = self._policy_before(live)
        count = 0 if before is None else self._count(live, len(chosen))
        if before is None or count == 0:
            return set()
        try:
            older = self._load(before)
        except RankloopError as error:
            log.warning("No arena task can be made with version %d: %s", before.version, error)
            self._out_of_reach.add(key_of(before))
            return set()
        asked = chosen[:count]
        prompts = [one.prompt for one in asked]
        rng = random.Random(f"arena {seed}")
        newer_answers = answer_plainly(self.runtime, adapter, prompts, seed=rng.randrange(2**31))
        older_answers = answer_plainly(self.runtime, older, prompts, seed=rng.randrange(2**31))
        pairs: list[Pair] = []
        for newer, earlier in zip(newer_answers, older_answers, strict=True):
            pair = [(live, newer), (before, earlier)]
            rng.shuffle(pair)
            pairs.append(pair)
        return self._store(live, asked, pairs, priority)

    def _store(
        self, live: Policy, asked: Sequence[Candidate], pairs: Sequence[Pair], priority: int
    ) -> set[int]:
        added: set[int] = set()
        with writing(self.runtime.engine) as session:
            self.fence(session)
            wanted = still_wanted(
                session,
                project_id=self.runtime.project_id,
                policy_id=key_of(live),
                chosen=asked,
            )
            for one, pair in zip(asked, pairs, strict=True):
                prompt_id = key_of(one.prompt)
                texts = [answer.text for _, answer in pair]
                if prompt_id not in wanted or not all(texts) or near_identical(*texts):
                    continue
                add_arena_task(
                    session,
                    project=self.runtime.project,
                    prompt_id=prompt_id,
                    answers=pair,
                    priority=priority,
                )
                added.add(prompt_id)
        return added

    def _policy_before(self, live: Policy) -> Policy | None:
        """Return the policy to compare with; None where there is none of other weights."""
        with reading(self.runtime.engine) as session:
            before = policy_before(session, policy=live)
        if before is None or before.checkpoint_uri == live.checkpoint_uri:
            return None
        return None if before.id in self._out_of_reach else before

    def _count(self, live: Policy, count: int) -> int:
        with reading(self.runtime.engine) as session:
            # Read anew: a lead may have changed it since this process began.
            project = session.get_one(Project, self.runtime.project_id)
            share = labeling_settings(project).arena.share
            return arena_wanted(session, policy=live, count=count, share=share)

    def _load(self, before: Policy) -> str | None:
        if self._before is None or self._before[0] != before.id:
            self._before = (key_of(before), self.runtime.load_policy(before, ADAPTER))
        return self._before[1]
