"""The pool of ready tasks: distinct completions, how they were sampled, and broken checkpoints."""

import itertools

import pytest
from sqlmodel import select

from labeling.tasks import ready_task_count
from reward import pool
from reward.pool import PoolFiller, fill_pool, near_identical
from reward.runtime import Runtime
from reward.sampling import Sample
from storage.engine import build_engine, reading, writing
from storage.settings import Settings
from storage.tables import (
    Completion,
    Event,
    Policy,
    PolicyStatus,
    Task,
    TaskCompletion,
    TaskStatus,
)


@pytest.fixture
def runtime(judged: Settings) -> Runtime:
    return Runtime(build_engine(judged.url), judged)


def _completions(runtime: Runtime, task_id: int) -> list[Completion]:
    with reading(runtime.engine) as session:
        return list(
            session.exec(
                select(Completion)
                .join(TaskCompletion, TaskCompletion.completion_id == Completion.id)  # type: ignore[arg-type]
                .where(TaskCompletion.task_id == task_id)
            )
        )


def _newest_task(runtime: Runtime) -> Task:
    with reading(runtime.engine) as session:
        return session.exec(select(Task).order_by(Task.id.desc())).first()  # type: ignore[return-value, union-attr]


def test_the_pool_is_filled_to_what_is_wanted_and_no_further(judged: Settings) -> None:
    engine = build_engine(judged.url)
    ready = PoolFiller(Runtime(engine, judged)).ready()
    told: list[tuple[int, int]] = []
    added = fill_pool(
        engine, judged, wanted=ready + 3, progress=lambda done, of: told.append((done, of))
    )
    assert added == 3
    assert told[-1] == (3, 3)
    assert fill_pool(engine, judged, wanted=ready + 3) == 0


def test_a_task_has_k_distinct_completions_with_seed_and_settings(runtime: Runtime) -> None:
    PoolFiller(runtime).add_chunk(1)
    found = _completions(runtime, _newest_task(runtime).id or 0)
    assert len(found) == 4
    for one, other in itertools.combinations(found, 2):
        assert not near_identical(one.text, other.text)
    for one in found:
        assert one.sampling["max_new_tokens"] == 12
        assert one.finish_reason == ("length" if one.token_count == 12 else "stop")
    assert sorted(bool(one.sampling["hint"]) for one in found) == [False, False, True, True]


def test_repeats_are_drawn_again_a_bounded_number_of_times(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    same = [5 + ord("a")] * 3

    def always_the_same(backbone, adapter, prompts, settings, *, seed, batch_size):  # type: ignore[no-untyped-def]
        calls.append(len(prompts))
        return [Sample(list(same), True) for _ in prompts]

    monkeypatch.setattr(pool, "sample", always_the_same)
    before = _newest_task(runtime).id
    assert PoolFiller(runtime).add_chunk(1) == 1
    assert calls == [4, 3, 3, 3]
    assert _newest_task(runtime).id == before, "a single distinct completion is no task"


def test_near_identical_is_about_words() -> None:
    assert near_identical("The cat sat.", "the  cat sat.")
    assert not near_identical("The cat sat on the mat.", "The dog lay on the rug.")


def test_lendable_counts_tasks_of_every_policy(runtime: Runtime) -> None:
    filler = PoolFiller(runtime)
    before = filler.lendable()
    with writing(runtime.engine) as session:
        task = session.exec(select(Task).where(Task.status == TaskStatus.READY)).first()
        assert task is not None
        task.status = TaskStatus.WITHDRAWN
        session.add(task)
    assert filler.lendable() == before - 1


def test_a_broken_checkpoint_is_named_and_the_last_good_policy_goes_on(runtime: Runtime) -> None:
    with writing(runtime.engine) as session:
        first = session.exec(select(Policy)).one()
        first.status = PolicyStatus.RETIRED
        session.add(first)
        session.flush()
        session.add(
            Policy(
                project_id=runtime.project_id,
                version=2,
                parent_id=first.id,
                checkpoint_uri="checkpoints/gone",
                status=PolicyStatus.LIVE,
            )
        )
    policy, adapter = runtime.live_policy()
    assert (policy.version, adapter) == (1, None)
    with reading(runtime.engine) as session:
        event = session.exec(select(Event).where(Event.kind == "policy.broken")).first()
        assert event is not None
        assert "checkpoints/gone" in event.detail["reason"]
        ready = ready_task_count(session, project_id=runtime.project_id, policy_id=policy.id or 0)
    assert PoolFiller(runtime).fill(ready + 1) == 1
