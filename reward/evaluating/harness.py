"""Any task of the `lm-eval` harness on a policy: MMLU, GLUE, BIG-bench, or one's own.

lm-eval is an optional extra (`pip install rankloop[eval]`). A task's data comes from where its YAML
says: the Hugging Face Hub for the tasks that lm-eval ships, or local files for one's own.
"""

import math
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reward.evaluating.policy_figures import EvaluationSettings
from reward.language_models.backbone import Backbone
from reward.training.out_of_memory import is_out_of_memory
from storage.errors import BadInput, RankloopError, Unavailable

LOCAL_FORMATS = ("json", "csv", "parquet", "text", "arrow")  # what datasets reads from files
PATTERN = ("*", "?", "[", "://")  # in a name of more than one file, or of one elsewhere
BOOTSTRAPS = 1000  # for the standard errors of metrics that are no means, such as BLEU

#: metrics by the name of a task, or of a part of a group; None for what is no finite number
TaskScores = dict[str, dict[str, float | None]]
Progress = Callable[[int, int], None]
Stamp = tuple[tuple[str, int, int], ...]


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
    progress: Progress = lambda done, total: None,
) -> TaskScores:
    """Run tasks on a policy and return each task's metrics, with `_stderr` where lm-eval has one.

    Of a group there are its own metrics, where it has any, and those of its tasks.

    Args:
        backbone: the model.
        adapter: the policy, None for the bare model.
        tasks: names of tasks or groups; with `folder`, its tasks come before lm-eval's own.
        folder: YAML tasks of one's own.
        limit: documents of each task, at most.
        few_shot: examples before each document, instead of the task's own number.
        chat: put documents through the model's chat template.
        batch_size: sequences scored together; halved where memory runs out.
        seed: of the choice of examples and of sampling.
        progress: hears how many of a task's requests are done, and how many there are.

    Raises `Unavailable` where lm-eval is not installed, a task's data cannot be had or memory runs
    out; `BadInput` naming a task that does not exist or cannot be run, or a folder that is none.
    """
    check_tasks(tasks, folder=folder)
    from reward.evaluating.harness_model import PolicyLM

    found: TaskScores = {}
    for task in tasks:
        model = PolicyLM(backbone, adapter, batch_size=batch_size, seed=seed, progress=progress)
        found |= _run(
            task,
            folder,
            model=model,
            limit=limit,
            num_fewshot=few_shot,
            apply_chat_template=chat,
            fewshot_random_seed=seed,
        )
    return found


def run_set_tasks(
    backbone: Backbone,
    adapter: str | None,
    tasks: Sequence[str],
    settings: EvaluationSettings,
    *,
    seed: int,
    progress: Progress = lambda done, total: None,
) -> TaskScores:
    """Run tasks as the section `evaluation` says; returns and raises what `run_tasks` does."""
    return run_tasks(
        backbone,
        adapter,
        tasks,
        folder=task_folder(settings),
        limit=settings.task_limit or None,
        few_shot=settings.task_few_shot,
        chat=settings.task_chat,
        batch_size=settings.task_batch,
        seed=seed,
        progress=progress,
    )


def task_folder(settings: EvaluationSettings) -> Path | None:
    """Return the folder of tasks of one's own that the settings name, None where they do not."""
    return Path(settings.task_folder) if settings.task_folder else None


def check_tasks(tasks: Sequence[str], *, folder: Path | None = None) -> None:
    """Raise what `run_tasks` would of tasks that cannot be found, before any work is done."""
    if find_spec("lm_eval") is None:
        raise Unavailable("lm-eval is not installed; run: pip install rankloop[eval]")
    for task in tasks:
        manager = _manager_of(task, folder)
        for name in _with_members(manager, task):
            _check_data(manager, name)


def _with_members(manager: Any, task: str) -> list[str]:
    """Return the name of a task, or of a group and of everything in it, each once."""
    found = [task]
    for name in found:
        own = (getattr(manager.task_index.get(name), "cfg", None) or {}).get("task")
        named = [one for one in own if isinstance(one, str)] if isinstance(own, list) else []
        new = [one for one in dict.fromkeys(named) if one not in found]
        found += [one for one in new if one in manager.task_index]
    return found


def _check_data(manager: Any, task: str) -> None:
    """Raise `Unavailable` naming a local file that a task reads and that is not there.

    What is on a hub, in a `data_dir` or a pattern is lm-eval's to find.
    """
    entry = manager.task_index.get(task)
    config = getattr(entry, "cfg", None) or {}
    if config.get("dataset_path") not in LOCAL_FORMATS:
        return
    if "data_dir" in (config.get("dataset_kwargs") or {}):
        return
    for name in _data_files(manager, task):
        if not any(mark in name for mark in PATTERN) and not Path(name).is_file():
            raise Unavailable(
                f"The data of {task} cannot be had: {entry.yaml_path} has {name} in dataset_kwargs."
                f"data_files, and seen from {Path.cwd()} there is no such file; write its whole "
                "path."
            )


def _run(task: str, folder: Path | None, *, model: Any, **how: Any) -> TaskScores:
    from lm_eval.evaluator import simple_evaluate

    # All draws of a standard error are one chunk: processes of their own would gain nothing.
    os.environ.setdefault("DISABLE_MULTIPROC", "1")
    manager = _manager_of(task, folder)
    try:
        found: Any = simple_evaluate(
            model=model,
            tasks=[task],
            task_manager=manager,
            bootstrap_iters=BOOTSTRAPS,
            log_samples=False,
            random_seed=None,
            numpy_random_seed=None,
            torch_random_seed=None,
            **how,
        )
    except RankloopError:
        raise
    except Exception as error:
        # A task is templates and functions of its own, so it may raise anything at all.
        if error is model.interrupted:
            raise
        raise _refusal(task, folder, manager, error) from error
    return {name: _figures(metrics) for name, metrics in found["results"].items()}


def _refusal(task: str, folder: Path | None, manager: Any, error: Exception) -> RankloopError:
    """Return what to say of a task that cannot be run, with its folder, its data and the cause."""
    if is_out_of_memory(error):
        return Unavailable(f"There is not enough memory for the task {task}.")
    cause = _cause(error)
    if isinstance(error, OSError):
        return Unavailable(
            f"The data of {task} cannot be had ({cause}); run it once where there is a network, or "
            "point the task at local files."
        )
    where = f" of {folder}" if folder is not None else ""
    files = _data_files(manager, task)
    data = f", whose data is {', '.join(files)}," if files else ""
    return BadInput(f"The task {task}{where}{data} cannot be run ({cause}).")


def _cause(error: BaseException) -> str:
    """Return the first line of what an error came from; libraries wrap it in words of no file."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *lines[:1]])


def _data_files(manager: Any, task: str) -> list[str]:
    """Return the local files that a task names as its data; none where lm-eval does not say."""
    config = getattr(manager.task_index.get(task), "cfg", None) or {}
    named = (config.get("dataset_kwargs") or {}).get("data_files") or {}
    each = named.values() if isinstance(named, dict) else [named]
    return [str(file) for one in each for file in (one if isinstance(one, list | tuple) else [one])]


def _manager_of(task: str, folder: Path | None) -> Any:
    """Return lm-eval's manager that knows a task; raise `BadInput` where none does."""
    if folder is not None and not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; give one that holds YAML tasks.")
    # lm-eval's own index of thousands of files is read only where it is needed.
    for with_own in (False, True) if folder is not None else (True,):
        manager = _manager(folder, _stamp(folder), with_own)
        if task in manager.all_tasks:
            return manager
        if not with_own:
            _check_files(folder)
    where = f"in {folder} or lm-eval" if folder is not None else "in lm-eval"
    raise BadInput(f"There is no task {task} {where}.")


@lru_cache(maxsize=2)
def _manager(folder: Path | None, stamp: Stamp, with_own: bool) -> Any:
    """Return what lm-eval reads of a folder as it is at `stamp`: a worker lives for many rounds."""
    del stamp
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=folder, include_defaults=with_own)


def _stamp(folder: Path | None) -> Stamp:
    found = [(str(file), file.stat()) for file in _task_files(folder)]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)


def _task_files(folder: Path | None) -> list[Path]:
    return [] if folder is None else sorted(folder.rglob("*.yaml"))


def _check_files(folder: Path | None) -> None:
    """Raise `BadInput` naming a file that is no YAML: lm-eval passes it over without a word."""
    import yaml  # type: ignore[import-untyped, unused-ignore]

    for file in _task_files(folder):
        try:
            yaml.compose(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, ValueError, OSError) as error:
            raise BadInput(f"The task file {file} cannot be read ({_place(error)}).") from error


def _place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    return f"line {mark.line + 1}: {problem}" if mark is not None and problem else _cause(error)


def _figures(metrics: dict[str, Any]) -> dict[str, float | None]:
    """Return the numbers of a task; lm-eval calls them `metric,filter`, and `none` is no filter.

    A standard error that is no number is left out: one document has none.
    """
    return {
        name.removesuffix(",none").replace(",", "/"): _finite(value)
        for name, value in metrics.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and (math.isfinite(value) or "_stderr" not in name)
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
