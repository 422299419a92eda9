from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.simulated.busy_simulation import Faults
from labeling.simulated.simulation import Simulation, simulate
from storage.clock import now
from storage.engine import reading
from storage.errors import BadInput, Unavailable
from storage.tables import Assignment, AssignmentState, Judgment, Project, Task, TaskStatus
from tests.labeling.stage import Stage, set_stage

OVERLAP = 2
ONE_LEASE = timedelta(seconds=0.3)


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project, overlap=OVERLAP)
    stage.change("gold", rate=0.0, repeat_rate=0.0)
    return stage


def run(
    stage: Stage, judgments: int, faults: Faults, fill_pool: Callable[[], int] = lambda: 0
) -> Simulation:
    return simulate(
        stage.engine,
        project=stage.project,
        annotators=4,
        judgments=judgments,
        noise=0.0,
        preference=lambda _, completion: float(completion.split(".")[1]),
        seed=1,
        minutes=5,
        fill_pool=fill_pool,
        faults=faults,
    )


def test_crashes_and_abandoned_tasks_lose_nothing_and_store_nothing_twice(stage: Stage) -> None:
    for number in range(8):
        stage.add_task(f"t{number}", k=2)
    faults = Faults(concurrency=3, crash_rate=0.4, abandon_rate=0.15, lease_seconds=0.3)
    done = run(stage, 8 * OVERLAP, faults)
    assert done.judgments == 8 * OVERLAP
    assert done.crashes > 0
    with reading(stage.engine) as session:
        judgments = session.exec(select(Judgment)).all()
        tasks = session.exec(select(Task)).all()
        assignments = session.exec(select(Assignment)).all()
    assert len(judgments) == done.judgments
    assert set(Counter(judgment.task_id for judgment in judgments).values()) == {OVERLAP}
    assert len({(each.task_id, each.annotator_id) for each in judgments}) == len(judgments)
    # The preference is the number in the text, which is the task position: the last is best.
    assert {tuple(judgment.ranks) for judgment in judgments} == {(2, 1)}
    assert {(task.status, task.judged) for task in tasks} == {(TaskStatus.DONE, OVERLAP)}
    for each in assignments:
        assert each.state != AssignmentState.LEASED or each.expires_at < now() + ONE_LEASE


def test_a_pool_that_runs_out_is_filled_once_nobody_finds_a_task(stage: Stage) -> None:
    def fill_pool() -> int:
        stage.add_task(f"filled {len(filled)}", k=2)
        filled.append(1)
        return 1

    filled: list[int] = []
    done = run(stage, 6, Faults(concurrency=2), fill_pool)
    assert (done.judgments, done.tasks_added) == (6, 3)


def test_a_pool_that_stays_empty_ends_it(stage: Stage) -> None:
    stage.add_task("t", k=2)
    with pytest.raises(Unavailable, match="2 of 5 judgments"):
        run(stage, 5, Faults(concurrency=2))


@pytest.mark.parametrize("given", [{"concurrency": 0}, {"crash_rate": 1.0}, {"abandon_rate": -0.1}])
def test_rates_that_do_not_fit_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        Faults(**given)  # type: ignore[arg-type]
