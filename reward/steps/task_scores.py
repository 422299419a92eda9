"""Tasks of lm-eval in a round: what the candidate and the live policy score on each.

No check of the gate reads them, and a round is not lost for a task that cannot be run. The bare
model is run in the first round alone, where it is the live policy: in later ones it would cost half
as much again for what is known.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from reward.evaluating.harness import TaskScores, run_set_tasks
from reward.running.lease import LeaseLost
from reward.steps.outcome import StepContext
from storage.errors import RankloopError

log = logging.getLogger(__name__)

SECONDS = 5.0  # between two reports of how far a task is


def task_scores(
    context: StepContext, adapters: Mapping[str, str | None], *, done: int
) -> dict[str, Any]:
    """Run the tasks of the setting `evaluation.tasks` on policies, named with their adapters.

    Returns the metrics `tasks`, a row for each policy and task or part of a group, and
    `tasks_not_run`, a row with the reason for each task that cannot be run; nothing where no task
    is set. `done` is how many parts of the evaluation came before. Raises `LeaseLost`.
    """
    tasks = context.runtime.profile.evaluation.tasks
    if not tasks:
        return {}
    rows: list[dict[str, Any]] = []
    not_run: list[dict[str, str]] = []
    for index, task in enumerate(tasks, start=1):
        try:
            for name, adapter in adapters.items():
                rows += _rows(task, name, _run(context, task, name, adapter))
        except LeaseLost:
            raise
        except RankloopError as error:
            log.warning("Task %s was not run: %s", task, error)
            not_run.append({"task": task, "reason": str(error)})
        context.report(done + index, done + len(tasks), {})
    return {"tasks": rows, "tasks_not_run": not_run}


def _run(context: StepContext, task: str, policy: str, adapter: str | None) -> TaskScores:
    runtime = context.runtime
    context.working(f"running {task} on the {policy} policy")
    return run_set_tasks(
        runtime.backbone,
        adapter,
        [task],
        runtime.profile.evaluation,
        # The same in every round, so that its policies are shown the same examples.
        seed=runtime.settings.seed,
        progress=_progress(context, task, policy),
    )


def _progress(context: StepContext, task: str, policy: str) -> Callable[[int, int], None]:
    said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said >= SECONDS:
            context.working(f"running {task} on the {policy} policy, {done}/{total}")
            said = time.monotonic()

    return progress


def _rows(task: str, policy: str, scores: TaskScores) -> list[dict[str, Any]]:
    """Return a row for each of the scores; `part` says that another row is what was asked for."""
    return [
        {"task": name, "policy": policy, "part": name != task and task in scores, "figures": found}
        for name, found in scores.items()
    ]
