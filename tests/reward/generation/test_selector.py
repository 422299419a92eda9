"""What the pool shows: strategies, stamps, priorities, and what happens without a reward model."""

from pathlib import Path

import pytest
from sqlmodel import col, select

from labeling.labeling_settings import change_labeling
from labeling.work_queue.tasks import NewCompletion
from reward.generation import selector
from reward.generation.pool import PoolFiller
from reward.generation.selection import (
    cosine_distances,
    expected_information,
    most_spread,
    most_valuable,
)
from reward.generation.selector import Selector
from reward.language_models.sentence_encoder import SentenceEncoder
from reward.running.runtime import Runtime
from storage.engine import build_engine, reading, writing
from storage.errors import Unavailable
from storage.settings import Settings
from storage.tables import Project, Prompt, Split, Task, TaskCompletion
from tests.reward.live_rounds import publish_reward
from tests.reward.tiny_encoder import make_tiny_encoder


@pytest.fixture
def runtime(judged: Settings) -> Runtime:
    return Runtime(build_engine(judged.url), judged)


def _set(runtime: Runtime, **values: object) -> None:
    with writing(runtime.engine) as session:
        project = session.get_one(Project, runtime.project_id)
        change_labeling(session, project=project, by=None, section="selection", values=values)


def _prompts(runtime: Runtime, split: Split, count: int) -> list[Prompt]:
    with reading(runtime.engine) as session:
        found = select(Prompt).where(Prompt.split == split).order_by(col(Prompt.id)).limit(count)
        return list(session.exec(found))


def _completions(*texts: str) -> list[NewCompletion]:
    return [NewCompletion(text, {}, 0, "length", 3) for text in texts]


TEXTS = ("a b c", "wholly other words", "12345", "Why not?", "yes, of course", "no")


def test_without_a_reward_model_everything_is_random_and_says_so(runtime: Runtime) -> None:
    _set(runtime, strategy="information", random_slice=0.0)
    prompts = _prompts(runtime, Split.TRAIN, 3)
    plan = Selector(runtime).plan(prompts, seed=1)
    assert plan.strategies == ["random"] * 3
    assert plan.counts == [4] * 3


def test_more_are_sampled_than_shown_but_in_the_slice_and_for_heldout_prompts(
    runtime: Runtime,
) -> None:
    publish_reward(runtime)
    _set(runtime, strategy="uncertainty", random_slice=0.5)
    train = _prompts(runtime, Split.TRAIN, 200)
    plan = Selector(runtime).plan(train, seed=1)
    chosen = [one == "uncertainty" for one in plan.strategies]
    assert 70 <= sum(chosen) <= 130
    assert plan.counts == [8 if one else 4 for one in chosen]
    held = _prompts(runtime, Split.HELDOUT, 10)
    assert set(Selector(runtime).plan(held, seed=1).strategies) == {"random"}


def test_the_completions_shown_are_those_that_the_heads_would_learn_most_from(
    runtime: Runtime,
) -> None:
    publish_reward(runtime)
    _set(runtime, strategy="information", random_slice=0.0)
    prompts = _prompts(runtime, Split.TRAIN, 1)
    one = Selector(runtime)
    found = _completions(*TEXTS)
    plan = one.plan(prompts, seed=1)
    (shown,) = one.choose(prompts, [found], plan, seed=1)
    live = one.rewards.newest()
    assert live is not None
    scores = live.head_scores(runtime, prompts[0].messages, TEXTS, ["length"] * len(TEXTS))
    assert scores is not None
    wanted = most_valuable(expected_information(scores.probabilities), 4)
    assert shown.completions == [found[position] for position in wanted]
    assert shown.selection == "information"
    assert shown.priority > 0


def test_random_tasks_are_ranked_as_early_or_late_as_chosen_ones(runtime: Runtime) -> None:
    publish_reward(runtime)
    _set(runtime, strategy="uncertainty", random_slice=0.0)
    prompts = [*_prompts(runtime, Split.TRAIN, 2), *_prompts(runtime, Split.HELDOUT, 2)]
    one = Selector(runtime)
    plan = one.plan(prompts, seed=3)
    shown = one.choose(prompts, [_completions(*TEXTS) for _ in prompts], plan, seed=3)
    assert [task.selection for task in shown] == ["uncertainty"] * 2 + ["random"] * 2
    priorities = {task.priority for task in shown[:2]}
    assert {task.priority for task in shown[2:]} <= priorities
    assert [len(task.completions) for task in shown] == [4, 4, 4, 4]


def test_diversity_keeps_what_lies_far_apart(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    encoder = SentenceEncoder(make_tiny_encoder(tmp_path / "encoder"))
    monkeypatch.setattr(selector, "home_encoder", lambda: encoder)
    _set(runtime, strategy="diversity", random_slice=0.0)
    prompts = _prompts(runtime, Split.TRAIN, 1)
    found = _completions(*TEXTS)
    one = Selector(runtime)
    plan = one.plan(prompts, seed=1)
    (shown,) = one.choose(prompts, [found], plan, seed=1)
    wanted = most_spread(cosine_distances(encoder.encode(TEXTS)), 4)
    assert shown.completions == [found[position] for position in wanted]
    assert shown.selection == "diversity"


def test_an_encoder_that_cannot_be_had_means_random(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> SentenceEncoder:
        raise Unavailable("The wheel cannot be fetched; try again.")

    monkeypatch.setattr(selector, "home_encoder", refuse)
    _set(runtime, strategy="diversity", random_slice=0.0)
    plan = Selector(runtime).plan(_prompts(runtime, Split.TRAIN, 2), seed=1)
    assert plan.strategies == ["random", "random"]


def test_a_checkpoint_that_is_gone_means_random(runtime: Runtime) -> None:
    publish_reward(runtime)
    for file in (runtime.home / "checkpoints").rglob("head.safetensors"):
        file.unlink()
    _set(runtime, strategy="uncertainty", random_slice=0.0)
    plan = Selector(runtime).plan(_prompts(runtime, Split.TRAIN, 2), seed=1)
    assert plan.strategies == ["random", "random"]


def test_the_pool_stores_stamp_and_priority_and_shows_k(runtime: Runtime) -> None:
    publish_reward(runtime)
    _set(runtime, strategy="information", random_slice=0.0)
    with reading(runtime.engine) as session:
        newest = max(session.exec(select(Task.id)))  # type: ignore[type-var]
    assert PoolFiller(runtime).add_chunk(6) == 6
    with reading(runtime.engine) as session:
        tasks = session.exec(select(Task).where(col(Task.id) > newest)).all()
        shown = [
            len(session.exec(select(TaskCompletion).where(TaskCompletion.task_id == one.id)).all())
            for one in tasks
        ]
        splits = [session.get_one(Prompt, one.prompt_id).split for one in tasks]
    stamps = ["information" if one is Split.TRAIN else "random" for one in splits]
    assert [one.selection for one in tasks] == stamps
    assert shown == [4] * 6
    assert "information" in stamps
    assert any(one.priority for one in tasks)
