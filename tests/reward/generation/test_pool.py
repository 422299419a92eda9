"""The pool of ready tasks: distinct completions, how they were sampled, and broken checkpoints."""

import itertools
from collections.abc import Callable

import pytest
from sqlmodel import Session, func, select

from labeling.work_queue.tasks import ANSWERS_ALIKE, NO_PROMPT_FITS, add_task, ready_task_count
from reward.generation import answers, generator, pool
from reward.generation.pool import PoolFiller, fill_pool, near_identical
from reward.generation.sampling import Sample
from reward.running.lease import LeaseLost
from reward.running.runtime import Runtime
from storage.blobs import write_folder
from storage.engine import build_engine, reading, writing
from storage.errors import BadInput
from storage.settings import Settings
from storage.tables import (
    Completion,
    Event,
    Policy,
    PolicyStatus,
    Project,
    Prompt,
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


def test_a_chunk_is_made_by_the_settings_of_now_and_leaves_a_round_its_own(
    runtime: Runtime,
) -> None:
    filler, before = PoolFiller(runtime), runtime.project
    with writing(runtime.engine) as session:
        project = session.get_one(Project, runtime.project_id)
        project.completions_per_task, project.overlap, project.system_prompt = 3, 5, "Be brief."
        session.add(project)
    assert filler.add_chunk(1) == 1
    task = _newest_task(runtime)
    assert (len(_completions(runtime, task.id or 0)), task.overlap) == (3, 5)
    assert runtime.project is before and before.system_prompt != "Be brief."
    assert runtime.read_project().system_prompt == "Be brief."


@pytest.mark.slow
def test_prompts_are_looked_at_again_under_another_system_prompt(runtime: Runtime) -> None:
    filler = PoolFiller(runtime)

    def say(text: str) -> None:
        with writing(runtime.engine) as session:
            project = session.get_one(Project, runtime.project_id)
            project.system_prompt = text
            session.add(project)

    say("much too long " * 4000)
    assert filler.add_chunk(1) == 0 and filler.nothing_left == NO_PROMPT_FITS
    say("")
    assert filler.add_chunk(1) == 1


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


def _tasks(runtime: Runtime) -> dict[int, int]:
    """Return how many tasks each answered prompt has."""
    with reading(runtime.engine) as session:
        counts = session.exec(select(Task.prompt_id, func.count()).group_by(Task.prompt_id)).all()  # type: ignore[arg-type]
        return {row[0]: row[1] for row in counts}


def _unanswered(runtime: Runtime) -> list[int]:
    with reading(runtime.engine) as session:
        return [key for key in session.exec(select(Prompt.id)) if key not in _tasks(runtime)]  # type: ignore[misc]


def _let_fit(
    monkeypatch: pytest.MonkeyPatch, runtime: Runtime, fits: Callable[[int], bool]
) -> list[int]:
    """Make every prompt but those that fit too long; return a list of the prompts looked at."""
    looked_at: list[int] = []
    real = pool.prompt_token_ids

    def ids(runtime: Runtime, prompt: Prompt, hint: str = "") -> list[int]:
        looked_at.append(prompt.id or 0)
        return real(runtime, prompt, hint) if fits(prompt.id or 0) else [0] * 10_000

    monkeypatch.setattr(pool, "prompt_token_ids", ids)
    return looked_at


def _same_always(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Make the model say one thing only; return a list of (sequences drawn, seed)."""
    calls: list[tuple[int, int]] = []
    same = [5 + ord("a")] * 3

    def always_the_same(backbone, adapter, prompts, settings, *, seed, batch_size):  # type: ignore[no-untyped-def]
        calls.append((len(prompts), seed))
        return [Sample(list(same), True) for _ in prompts]

    monkeypatch.setattr(generator, "sample", always_the_same)
    return calls


def test_repeats_are_drawn_again_a_bounded_number_of_times(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _same_always(monkeypatch)
    before = _newest_task(runtime).id
    assert PoolFiller(runtime).add_chunk(1) == 0
    assert [drawn for drawn, _ in calls] == [4, 3, 3, 3]
    assert _newest_task(runtime).id == before, "a single distinct completion is no task"


def test_prompts_answered_in_one_way_only_are_passed_over_and_seeds_change(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = set(_unanswered(runtime)[:5])
    _let_fit(monkeypatch, runtime, good.__contains__)
    calls = _same_always(monkeypatch)
    filler = PoolFiller(runtime)
    assert filler.fill(filler.ready() + 2) == 0
    assert filler.nothing_left == ANSWERS_ALIKE
    assert sum(drawn for drawn, _ in calls) == 5 * (4 + 3 * 3), "each prompt was tried once"
    assert len({seed for _, seed in calls}) == len(calls)
    assert filler.add_chunk(2) == 0
    assert sum(drawn for drawn, _ in calls) == 5 * (4 + 3 * 3)


def test_long_prompts_do_not_keep_others_from_being_answered(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = set(sorted(_tasks(runtime))[:3])  # The last in the order: all others have no task.
    looked_at = _let_fit(monkeypatch, runtime, good.__contains__)
    filler = PoolFiller(runtime)
    assert filler.add_chunk(2) == 2
    unfit = {*looked_at} - good
    assert unfit >= {*_unanswered(runtime)}
    looked_at.clear()
    assert filler.add_chunk(1) == 1
    assert not unfit & {*looked_at}, "what does not fit is looked at once"


def test_no_more_prompts_are_looked_at_than_wanted(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = _let_fit(monkeypatch, runtime, lambda _: True)
    assert PoolFiller(runtime).add_chunk(3) == 3
    assert len(set(looked_at)) == 3


def test_a_prompt_that_the_chat_template_refuses_does_not_fit(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> list[int]:
        raise BadInput("The chat template refuses two user messages in a row.")

    monkeypatch.setattr(answers, "prompt_ids", refuse)
    filler = PoolFiller(runtime)
    assert filler.fill(filler.ready() + 1) == 0
    assert filler.nothing_left == NO_PROMPT_FITS


def test_when_every_prompt_is_answered_it_goes_round_with_new_completions(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, fresh = sorted(_tasks(runtime))[:3], _unanswered(runtime)[:2]
    _let_fit(monkeypatch, runtime, {*answered, *fresh}.__contains__)
    newest = _newest_task(runtime).id or 0
    filler = PoolFiller(runtime)
    assert filler.fill(filler.ready() + 7) == 7
    counts = _tasks(runtime)
    assert sorted(counts[key] for key in (*answered, *fresh)) == [2, 2, 2, 2, 2]
    assert not filler.nothing_left
    with reading(runtime.engine) as session:
        tasks = session.exec(select(Task).where(Task.id > newest, Task.prompt_id == fresh[0])).all()  # type: ignore[operator]
    first, second = ({one.seed for one in _completions(runtime, task.id or 0)} for task in tasks)
    assert not first & second


def test_what_another_filler_answered_meanwhile_is_not_answered_twice(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pool.answer_prompts
    overtaken: list[int] = []

    def answer(runtime: Runtime, adapter, prompts, *, seed, counts):  # type: ignore[no-untyped-def]
        answered = real(runtime, adapter, prompts, seed=seed, counts=counts)
        if not overtaken:
            with writing(runtime.engine) as session:
                add_task(
                    session,
                    project=runtime.project,
                    prompt_id=prompts[0].id,
                    policy_id=1,
                    completions=answered[0],
                )
            overtaken.append(prompts[0].id)
        return answered

    monkeypatch.setattr(pool, "answer_prompts", answer)
    filler = PoolFiller(runtime)
    before = filler.ready()
    assert filler.add_chunk(3) == 2
    assert _tasks(runtime)[overtaken[0]] == 1
    overtaken.clear()
    assert filler.fill(before + 3 + 3) == 2, "the other's task counts towards what is wanted"
    assert filler.ready() == before + 6


def test_a_fenced_off_filler_writes_nothing(runtime: Runtime) -> None:
    def fence(session: Session) -> None:
        raise LeaseLost("Another worker trains the project.")

    before = _newest_task(runtime).id
    with pytest.raises(LeaseLost):
        PoolFiller(runtime, fence=fence).add_chunk(1)
    assert _newest_task(runtime).id == before


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


def test_a_setting_that_does_not_fit_a_sound_checkpoint_rejects_no_policy(
    runtime: Runtime,
) -> None:
    uri = "checkpoints/sound"
    with write_folder(runtime.home, uri) as folder:
        runtime.backbone.add_adapter("policy")
        runtime.backbone.save_adapter("policy", folder)
    with writing(runtime.engine) as session:
        first = session.exec(select(Policy)).one()
        first.status = PolicyStatus.RETIRED
        session.add(first)
        session.flush()
        second = Policy(
            project_id=runtime.project_id,
            version=2,
            parent_id=first.id,
            checkpoint_uri=uri,
            status=PolicyStatus.LIVE,
        )
        session.add(second)
    backbone = {**runtime.settings.training["backbone"], "tuning": "bitfit"}
    training = {**runtime.settings.training, "backbone": backbone}
    other = Runtime(runtime.engine, runtime.settings.model_copy(update={"training": training}))
    with pytest.raises(BadInput, match=r"set training\.backbone\.tuning to lora"):
        other.live_policy()
    assert runtime.live_policy()[0].version == 2


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
