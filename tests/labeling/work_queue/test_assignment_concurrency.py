"""Several processes claim and judge the same tasks at once, on SQLite and on PostgreSQL."""

from collections import Counter
from typing import Any

from sqlalchemy import Engine
from sqlmodel import select

from labeling.judging.judgments import submit_judgment
from labeling.work_queue.assignment import next_assignment
from storage.engine import build_engine, reading, writing
from storage.tables import Assignment, Judgment, Project, Task, TaskStatus
from tests.forked import forked
from tests.labeling.stage import set_stage

PROCESSES = 3
TASKS = 12
OVERLAP = 2


def judge_all(url: str, project_id: int, annotator_ids: list[int], failures: Any) -> None:
    """Judge in turns until no account can have a task; every step is sent twice."""
    engine = build_engine(url)
    try:
        waiting = list(annotator_ids)
        while waiting:
            for annotator_id in list(waiting):
                with writing(engine) as session:
                    task = next_assignment(
                        session, project_id=project_id, annotator_id=annotator_id, minutes=5
                    )
                if task is None:
                    waiting.remove(annotator_id)
                    continue
                for _ in range(2):
                    with writing(engine) as session:
                        submit_judgment(
                            session,
                            assignment_id=task.assignment_id,
                            annotator_id=annotator_id,
                            ranks=[1, 2],
                            milliseconds=1,
                            nonce=f"{task.assignment_id}",
                        )
    except Exception as error:
        failures.put(f"{type(error).__name__}: {error}")
        raise
    finally:
        engine.dispose()


def test_processes_never_lend_above_the_overlap(engine: Engine, project: Project) -> None:
    stage = set_stage(engine, project, overlap=OVERLAP)
    for number in range(TASKS):
        stage.add_task(f"t{number}", k=2)
    annotators = [stage.account(f"ann-{number}") for number in range(4)]
    url = engine.url.render_as_string(hide_password=False)
    context = forked()
    failures = context.Queue()
    # Every account works in every process at once, like one person with several tabs.
    processes = [
        context.Process(target=judge_all, args=(url, stage.project_id, annotators, failures))
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0] * PROCESSES, failures.get()
    with reading(engine) as session:
        judgments = session.exec(select(Judgment)).all()
        assignments = session.exec(select(Assignment)).all()
        assert set(session.exec(select(Task.status))) == {TaskStatus.DONE}
    assert set(Counter(judgment.task_id for judgment in judgments).values()) == {OVERLAP}
    assert len({(row.task_id, row.annotator_id) for row in assignments}) == len(judgments)
    assert all(judgment.supersedes_id is None for judgment in judgments)
