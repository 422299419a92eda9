from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlmodel import col, select

from labeling.judging.rankings import dense_ranks
from labeling.simulated.preferences import load_preference
from labeling.simulated.simulation import Simulation, noisy_ranks, simulate
from storage.engine import reading
from storage.errors import BadInput, Conflict, Unavailable
from storage.tables import Account, AccountKind, Completion, Judgment, Project, TaskCompletion
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(sqlite_engine: Engine, sqlite_project: Project) -> Stage:
    return set_stage(sqlite_engine, sqlite_project)


def run(
    stage: Stage,
    judgments: int,
    fill_pool: Callable[[], int] = lambda: 0,
    annotators: int = 2,
    noise: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    return simulate(
        stage.engine,
        project=stage.project,
        annotators=annotators,
        judgments=judgments,
        noise=noise,
        preference=lambda _, completion: float(completion.split(".")[1]),
        seed=1,
        minutes=5,
        fill_pool=fill_pool,
        progress=progress,
    )


def filler(stage: Stage, most: int) -> Callable[[], int]:
    added = iter(range(1000))

    def fill_pool() -> int:
        numbers = [next(added) for _ in range(3)]
        for number in numbers:
            if number < most:
                stage.add_task(f"filled {number}")
        return sum(number < most for number in numbers)

    return fill_pool


def test_the_hidden_preference_is_what_is_stored(stage: Stage) -> None:
    seen = []
    done = run(stage, 7, filler(stage, 100), progress=lambda *step: seen.append(step))
    assert (done.judgments, done.annotators, done.tasks_added) == (7, 2, 9)
    assert seen == [(number, 7) for number in range(1, 8)]
    with reading(stage.engine) as session:
        judgments = session.exec(select(Judgment)).all()
        accounts = session.exec(select(Account)).all()
    # Position p has text "….p", and the preference is the number: the last position is best.
    assert [judgment.ranks for judgment in judgments] == [[4, 3, 2, 1]] * 7
    assert {(account.name, account.kind) for account in accounts} == {
        ("sim-1", AccountKind.SIMULATED),
        ("sim-2", AccountKind.SIMULATED),
    }
    per_account = [judgment.annotator_id for judgment in judgments]
    assert sorted(per_account.count(account.id or 0) for account in accounts) == [3, 4]


def test_a_program_is_not_said_to_have_read_too_fast(stage: Stage) -> None:
    stage.add_task("a")
    run(stage, 1)
    with reading(stage.engine) as session:
        assert session.exec(select(Judgment)).one().marks == []


def test_a_second_run_goes_on_with_the_same_accounts(stage: Stage) -> None:
    fill_pool = filler(stage, 100)
    run(stage, 2, fill_pool)
    run(stage, 2, fill_pool)
    with reading(stage.engine) as session:
        assert len(session.exec(select(Account)).all()) == 2
        assert len(session.exec(select(Judgment)).all()) == 4


def test_a_pool_that_stays_empty_ends_it_with_what_was_stored(stage: Stage) -> None:
    with pytest.raises(Unavailable, match=r"4 of 10 judgments were stored.*import more prompts"):
        run(stage, 10, filler(stage, 4))
    with reading(stage.engine) as session:
        assert len(session.exec(select(Judgment)).all()) == 4


def test_a_pool_that_claims_to_be_filled_ends_it_too(stage: Stage) -> None:
    with pytest.raises(Unavailable, match="0 of 5"):
        run(stage, 5, lambda: 3)


def test_overlap_brings_the_same_task_to_several(
    sqlite_engine: Engine, sqlite_project: Project
) -> None:
    stage = set_stage(sqlite_engine, sqlite_project, overlap=3)
    stage.add_task("t")
    run(stage, 3, annotators=3)
    with reading(sqlite_engine) as session:
        judgments = session.exec(select(Judgment)).all()
    assert len({judgment.annotator_id for judgment in judgments}) == 3


def test_a_persons_account_is_not_used(stage: Stage) -> None:
    stage.account("sim-1")
    with pytest.raises(Conflict, match="sim-1 is a person's"):
        run(stage, 1)


@pytest.mark.parametrize(
    ("annotators", "judgments", "noise"), [(0, 1, 0.0), (1, -1, 0.0), (1, 1, 0.6), (1, 1, -0.1)]
)
def test_arguments_that_do_not_fit_are_refused(
    stage: Stage, annotators: int, judgments: int, noise: float
) -> None:
    with pytest.raises(BadInput, match="at least 1 annotator"):
        run(stage, judgments, annotators=annotators, noise=noise)


def test_a_named_preference_ranks_the_real_texts(stage: Stage) -> None:
    stage.add_task("t")
    simulate(
        stage.engine,
        project=stage.project,
        annotators=1,
        judgments=1,
        noise=0.0,
        preference="random",
        seed=0,
        minutes=5,
        fill_pool=lambda: 0,
    )
    score = load_preference("random")
    with reading(stage.engine) as session:
        texts = session.exec(
            select(Completion.text)
            .join(TaskCompletion, col(TaskCompletion.completion_id) == col(Completion.id))
            .order_by(col(TaskCompletion.position))
        ).all()
        (judgment,) = session.exec(select(Judgment)).all()
    scores = [score([{"role": "user", "content": "t"}], text) for text in texts]
    assert judgment.ranks == [1 + sum(other > mine for other in scores) for mine in scores]


scores = st.lists(st.integers(0, 4), min_size=2, max_size=9)


@given(scores, st.integers(0, 2**32))
def test_without_noise_the_order_is_exact_with_its_ties(values: list[int], seed: int) -> None:
    ranks = noisy_ranks(values, 0.0, np.random.default_rng(seed))
    assert ranks == dense_ranks([-value for value in values])


@pytest.mark.parametrize(("k", "noise"), [(2, 0.1), (2, 0.3), (4, 0.2), (4, 0.5), (9, 0.5)])
def test_the_share_of_wrong_pairs_is_near_the_noise(k: int, noise: float) -> None:
    random = np.random.default_rng(3)
    wrong = []
    for _ in range(1500):
        ranks = noisy_ranks(range(k), noise, random)
        wrong += [ranks[low] < ranks[high] for low, high in combinations(range(k), 2)]
    assert np.mean(wrong) == pytest.approx(noise, abs=0.035)


def test_the_same_seed_gives_the_same_noise() -> None:
    first = [noisy_ranks(range(6), 0.4, np.random.default_rng((1, n))) for n in range(20)]
    again = [noisy_ranks(range(6), 0.4, np.random.default_rng((1, n))) for n in range(20)]
    assert first == again
    assert len({tuple(ranks) for ranks in first}) > 10
