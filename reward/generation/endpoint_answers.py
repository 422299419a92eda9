"""Completions of servers for the pool: asked within a bound, never waited for beyond it.

Where a server fails, its share falls back to the live policy, an event says so, and it is left
alone for a while: the loop goes on whatever servers do.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from sqlmodel import Session

from labeling.endpoint_policies import (
    Endpoint,
    Usage,
    endpoint_of,
    endpoint_policies,
    note_usage,
    switch_endpoint,
    usage_of,
)
from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_sections import EndpointPolicySettings
from labeling.labeling_settings import labeling_settings
from labeling.work_queue.tasks import NewCompletion
from reward.generation.conversations import with_system
from reward.generation.endpoint_client import EndpointAnswer, EndpointClient, EndpointDown
from reward.running.runtime import Runtime
from storage.engine import reading, writing
from storage.errors import RankloopError
from storage.tables import Policy, Project, Prompt

log = logging.getLogger(__name__)


@dataclass
class _Server:
    """A policy's server as this process knows it; `until` is when it may be asked again."""

    endpoint: Endpoint
    client: EndpointClient
    until: float = 0.0


class EndpointAnswers:
    """Draws the servers' share of a chunk's completions."""

    def __init__(self, runtime: Runtime, fence: Callable[[Session], None]) -> None:
        """Ask nobody yet; `fence` comes first in every write."""
        self.runtime = runtime
        self.fence = fence
        self._servers: dict[int, _Server] = {}
        self._paused: dict[int, float] = {}  # policies that could not even be asked

    def draw(self, prompts: Sequence[Prompt], *, seed: int) -> list[list[NewCompletion]]:
        """Return each prompt's completions of servers, fewer than K; none where none came.

        It takes at most the setting's patience, and a moment. Use is counted, failures are told.
        """
        settings = self._settings()
        policies = self._ready_policies() if settings.share > 0 else []
        if not policies:
            return [[] for _ in prompts]
        rng = random.Random(f"endpoints {seed}")
        wanted = self._plan(len(prompts), policies, settings.share, rng)
        deadline = time.monotonic() + settings.patience
        found: list[list[NewCompletion]] = [[] for _ in prompts]
        used: dict[int, Usage] = {}
        failed: dict[int, RankloopError] = {}
        for row, policy_id, answer in self._ask(prompts, wanted, deadline, rng):
            if isinstance(answer, EndpointAnswer):
                used[policy_id] = used.get(policy_id, Usage()).plus(answer.usage)
                _keep(found[row], self._completion(answer, policy_id))
            else:
                used[policy_id] = used.get(policy_id, Usage()).plus(Usage(failed=1))
                failed[policy_id] = answer
        self._tell({key_of(policy): policy for policy in policies}, used, failed, settings)
        return found

    def _settings(self) -> EndpointPolicySettings:
        # Read anew: a lead may have changed it since this process began.
        with reading(self.runtime.engine) as session:
            project = session.get_one(Project, self.runtime.project_id)
            return labeling_settings(project).endpoints

    def _ready_policies(self) -> list[Policy]:
        """Return the active policies whose servers may be asked now."""
        with reading(self.runtime.engine) as session:
            found = endpoint_policies(session, project_id=self.runtime.project_id)
        return [policy for policy in found if self._is_ready(policy)]

    def _is_ready(self, policy: Policy) -> bool:
        policy_id, endpoint = key_of(policy), endpoint_of(policy)
        if not endpoint.active or self._paused.get(policy_id, 0.0) > time.monotonic():
            return False
        known = self._servers.get(policy_id)
        if known is None or known.endpoint != endpoint:
            try:
                client = EndpointClient(endpoint, policy.name)
            except RankloopError as error:
                settings = self._settings()
                self._tell({policy_id: policy}, {}, {policy_id: error}, settings)
                return False
            self._servers[policy_id] = _Server(endpoint, client)
        return True

    def _plan(
        self, count: int, policies: Sequence[Policy], share: float, rng: random.Random
    ) -> list[tuple[int, int]]:
        """Return (row, policy) of every completion to ask for; a prompt has fewer than K of them.

        The number is K times the share on average; the policies take turns.
        """
        k = self.runtime.project.completions_per_task
        turn = rng.randrange(len(policies))
        wanted = []
        for row in range(count):
            for _ in range(min(k - 1, math.floor(k * share + rng.random()))):
                wanted.append((row, key_of(policies[turn % len(policies)])))
                turn += 1
        return wanted

    def _ask(
        self,
        prompts: Sequence[Prompt],
        wanted: Sequence[tuple[int, int]],
        deadline: float,
        rng: random.Random,
    ) -> list[tuple[int, int, EndpointAnswer | RankloopError]]:
        pools = {
            policy_id: ThreadPoolExecutor(self._servers[policy_id].endpoint.requests_at_once)
            for policy_id in {policy_id for _, policy_id in wanted}
        }
        down: set[int] = set()
        jobs: list[tuple[int, int, Future[EndpointAnswer]]] = [
            (
                row,
                policy_id,
                pools[policy_id].submit(
                    self._one, prompts[row], policy_id, rng.randrange(2**31), deadline, down
                ),
            )
            for row, policy_id in wanted
        ]
        # A request ends by itself at the deadline; the moment is for threads to notice.
        wait([job for _, _, job in jobs], timeout=max(0.0, deadline - time.monotonic()) + 2.0)
        for pool in pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        return [(row, policy_id, _outcome(job)) for row, policy_id, job in jobs]

    def _one(
        self, prompt: Prompt, policy_id: int, seed: int, deadline: float, down: set[int]
    ) -> EndpointAnswer:
        if policy_id in down or time.monotonic() > deadline:
            raise EndpointDown("It was not asked any more: other requests failed.")
        sampling = self.runtime.profile.sampling
        try:
            return self._servers[policy_id].client.answer(
                with_system(prompt.messages, self.runtime.project.system_prompt),
                max_tokens=sampling.max_new_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=seed,
                deadline=deadline,
                stopped=lambda: policy_id in down,
            )
        except RankloopError:
            down.add(policy_id)
            raise

    def _completion(self, answer: EndpointAnswer, policy_id: int) -> NewCompletion:
        sampling = self.runtime.profile.sampling
        usage = answer.usage
        return NewCompletion(
            text=answer.text.strip(),
            sampling={
                "max_new_tokens": sampling.max_new_tokens,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "endpoint_model": self._servers[policy_id].endpoint.model,
                "cost": usage.cost,
            },
            seed=0,
            finish_reason=answer.finish_reason,
            token_count=usage.completion_tokens,
            policy_id=policy_id,
        )

    def _tell(
        self,
        policies: dict[int, Policy],
        used: dict[int, Usage],
        failed: dict[int, RankloopError],
        settings: EndpointPolicySettings,
    ) -> None:
        """Count the use, and leave servers alone that failed or have spent their budget."""
        if not used and not failed:
            return
        with writing(self.runtime.engine) as session:
            self.fence(session)
            for policy_id, usage in used.items():
                note_usage(session, policy_id=policy_id, usage=usage)
                self._end_at_budget(session, policies[policy_id])
            for policy_id, error in failed.items():
                self._pause(session, policies[policy_id], error, settings.pause)

    def _pause(
        self, session: Session, policy: Policy, error: RankloopError, seconds: float
    ) -> None:
        asked = error.seconds if isinstance(error, EndpointDown) else 0.0
        pause = max(seconds, asked)
        self._paused[key_of(policy)] = time.monotonic() + pause
        log.warning("%s Its share falls to the live policy for %.0f s.", error, pause)
        record(
            session,
            project_id=self.runtime.project_id,
            account_id=None,
            kind="policy.endpoint_failed",
            version=policy.version,
            name=policy.name,
            reason=str(error),
            pause_seconds=pause,
        )

    def _end_at_budget(self, session: Session, policy: Policy) -> None:
        stored = session.get_one(Policy, policy.id)
        endpoint = endpoint_of(stored)
        if endpoint.budget is None or usage_of(stored).cost < endpoint.budget:
            return
        log.warning("%s has spent its budget and is switched off.", policy.name)
        switch_endpoint(
            session,
            project_id=self.runtime.project_id,
            name=policy.name,
            active=False,
            by=None,
            reason="its budget is spent",
        )


def _outcome(job: "Future[EndpointAnswer]") -> EndpointAnswer | RankloopError:
    if not job.done() or job.cancelled():
        return EndpointDown("The server gave no completion in time.")
    error = job.exception()
    if error is None:
        return job.result()
    return error if isinstance(error, RankloopError) else EndpointDown(type(error).__name__)


def _keep(found: list[NewCompletion], one: NewCompletion) -> None:
    if one.text and all(one.text != other.text for other in found):
        found.append(one)
