"""Any task of the `lm-eval` harness on a policy: MMLU, GLUE, BIG-bench, or one's own.

lm-eval is an optional extra (`pip install rankloop[eval]`). A task's data comes from where its YAML
says: the Hugging Face Hub for the tasks that lm-eval ships, or local files for one's own.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reward.language_models.backbone import Backbone
from storage.errors import BadInput, Unavailable

BOOTSTRAPS = 1000  # for the standard errors of metrics that are no means, such as BLEU


def run_tasks(
    backbone: Backbone,
    adapter: str | None,
    tasks: Sequence[str],
    *,
    folder: Path | None = None,
    limit: int | None = None,
    few_shot: int | None = None,
    chat: bool = False,
    batch_size: int = 16,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Run tasks on a policy and return each task's metrics, with `_stderr` where lm-eval has one.

    Args:
        backbone: the model.
        adapter: the policy, None for the bare model.
        tasks: names of tasks or groups; with `folder`, its tasks come before lm-eval's own.
        folder: YAML tasks of one's own.
        limit: documents of each task, at most.
        few_shot: examples before each document, instead of the task's own number.
        chat: put documents through the model's chat template.
        batch_size: sequences scored together.
        seed: of the choice of examples and of sampling.

    Raises `Unavailable` where lm-eval is not installed or a task's data cannot be had, `BadInput`
    naming a task that does not exist or a folder that is none.
    """
    check_tasks(tasks, folder=folder)
    from lm_eval.evaluator import simple_evaluate

    from reward.evaluating.harness_model import PolicyLM

    manager = _task_manager(tuple(tasks), folder)
    model = PolicyLM(backbone, adapter, batch_size=batch_size, seed=seed)
    try:
        found: Any = simple_evaluate(
            model=model,
            tasks=list(tasks),
            task_manager=manager,
            num_fewshot=few_shot,
            limit=limit,
            apply_chat_template=chat,
            bootstrap_iters=BOOTSTRAPS,
            log_samples=False,
            random_seed=None,
            numpy_random_seed=None,
            torch_random_seed=None,
            fewshot_random_seed=seed,
        )
    except OSError as error:
        raise Unavailable(
            f"The data of {', '.join(tasks)} cannot be had ({str(error).splitlines()[0]}); run it "
            "once where there is a network, or point the task at local files."
        ) from error
    return {name: _figures(metrics) for name, metrics in found["results"].items()}


def check_tasks(tasks: Sequence[str], *, folder: Path | None = None) -> None:
    """Raise what `run_tasks` would of tasks that cannot be run, before any work is done."""
    if find_spec("lm_eval") is None:
        raise Unavailable("lm-eval is not installed; run: pip install rankloop[eval]")
    _task_manager(tuple(tasks), folder)


@cache
def _task_manager(tasks: tuple[str, ...], folder: Path | None) -> Any:
    from lm_eval.tasks import TaskManager

    if folder is not None and not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; give one that holds YAML tasks.")
    # lm-eval's own index of thousands of files is read only where it is needed.
    manager: Any = None
    for with_own in (False, True) if folder is not None else (True,):
        manager = TaskManager(include_path=folder, include_defaults=with_own)
        unknown = [name for name in tasks if name not in manager.all_tasks]
        if not unknown:
            return manager
    where = f"in {folder} or lm-eval" if folder is not None else "in lm-eval"
    raise BadInput(f"There is no task {unknown[0]} {where}.")


def _figures(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a task; lm-eval calls them `metric,filter`, and `none` is no filter."""
    return {
        name.removesuffix(",none").replace(",", "/"): float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
