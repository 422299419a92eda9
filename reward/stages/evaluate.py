"""The evaluation alone: two policies answer the prompts of a file, side by side.

Win rates are by a reward model, and by a second one, with a bootstrap interval over prompts. The
bare model answers, too, where neither policy is it, and with examples before the prompt where a
file of rankings has some. Everything else that is measured is in
`reward/evaluating/evaluation.py`. Called by `rankloop evaluate`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from labeling.imports.prompt_files import NewPrompt
from labeling.imports.ranking_files import read_rankings
from reward.evaluating.evaluation import AGAINST, CANDIDATE, EvaluationReport, evaluate_policies
from reward.evaluating.few_shot import best_examples, ids_with_examples
from reward.evaluating.harness import check_tasks, run_set_tasks, task_folder
from reward.evaluating.policy_figures import REWARD_MODEL
from reward.evaluating.side_by_side import side_by_side
from reward.generation.conversations import Messages
from reward.generation.generator import Generator
from reward.generation.policy_generator import policy_generator
from reward.stages.enough_memory import enough_memory
from reward.stages.examples import prompts_with_room, read_demonstrated_prompts
from reward.stages.model import StageModel, StageRun
from reward.stages.result import Meter, read_settings
from reward.stages.roles import check_policy, check_reward, load_judge, load_policy, tuning_of
from reward.stages.samples_page import check_free, write_samples
from reward.training.learning_rates import learning_rates
from storage.errors import BadInput, RankloopError
from storage.finite_json import finite

BASE = "base"  # the bare model, on the command line
GONE = {  # what a folder that a policy was trained with was, and what to do without it
    "reward": "reward model, is gone; give one with --reward",
    "sft": "reference, is gone; KL cannot be measured without it. Put it back",
}


@dataclass(frozen=True)
class EvaluateRequest:
    """What `rankloop evaluate` was asked; a policy is a folder or `base`, the bare model."""

    policy: str
    against: str
    prompts: Path
    reward: Path | None = None
    tasks: tuple[str, ...] = ()  #: of lm-eval, to run on both
    task_folder: Path | None = None  #: YAML tasks of one's own
    task_limit: int | None = None  #: documents of each task, at most
    second_reward: Path | None = None  #: another reward model, fitted to other data
    examples: Path | None = None  #: rankings whose best completions the few-shot model is shown
    samples: Path | None = None  #: page of completions side by side to write, in Markdown
    task_few_shot: int | None = None  #: examples before each document
    task_chat: bool | None = None  #: put documents through the model's chat template
    task_batch: int | None = None  #: sequences of a task that are scored together


@enough_memory("lower --set generation.batch=N or --set sampling.max_new_tokens=N")
def evaluate_stage(request: EvaluateRequest, run: StageRun) -> dict[str, Any]:
    """Compare two policies; return the report as JSON.

    Raises `BadInput`, `Conflict` or `Unavailable` in one sentence.
    """
    if request.samples is not None:
        check_free(request.samples)
    folders = [_folder(request.policy), _folder(request.against)]
    texts, demonstrations = read_demonstrated_prompts(request.prompts)
    run = _with_tasks(request, run)
    sizes = run.profile.evaluation
    if request.task_folder and not sizes.tasks:
        raise BadInput("--task-folder holds tasks that nothing names; name them with --task.")
    if sizes.tasks:
        check_tasks(sizes.tasks, folder=task_folder(sizes))
    reward = request.reward or _own(folders, "reward", run)
    for given in (reward, request.second_reward):
        if given is not None:
            check_reward(given)
    if request.second_reward and reward is None:
        raise BadInput("A second reward model needs a first one; name it with --reward.")
    examples = _examples(request, run, texts)
    run = replace(run, tuning=_tuning(folders))
    model = run.load()
    meter = Meter(model.device)
    prompts = prompts_with_room(model, texts)
    judge = load_judge(model, reward, run.progress) if reward else None
    second = None
    if request.second_reward:
        second = load_judge(model, request.second_reward, run.progress, adapter="second_reward")
    policy, against = (
        load_policy(model, folder, name) if folder else None
        for folder, name in zip(folders, ("policy", "live"), strict=True)
    )
    try:
        report = evaluate_policies(
            model.backbone,
            policy,
            against,
            prompts,
            scorer=judge,
            second=second,
            sampling=model.profile.sampling,
            settings=model.profile.evaluation,
            seed=model.seed,
            batch_size=model.profile.generation.batch,
            reference=_reference(model, folders, run),
            demonstrations=demonstrations,
            few_shot=_few_shot(model, texts, prompts, examples),
            generator=partial(
                _generator, model, dict(zip(("policy", "live"), folders, strict=True))
            ),
            on_policy=lambda name: run.say(f"sampling {_named(request).get(name, name)}"),
        )
    except FloatingPointError as error:
        raise BadInput(
            f"{error}: a policy was trained until its weights ran away; train it again with a "
            f"lower learning rate{_rates(folders)}."
        ) from error
    found: dict[str, Any] = finite(
        {
            **_win(report),
            **report.as_dict(),
            **_tasks(request, model, {"policy": policy, "against": against}, run),
            "policy": request.policy,
            "against": request.against,
            "reward": str(reward) if reward else None,
            "second_reward": str(request.second_reward) if request.second_reward else None,
            "seed": model.seed,
            "seconds": meter.seconds,
            "peak_memory_mb": meter.peak_memory_mb,
            **side_by_side(
                [one.messages for one in texts],
                ("policy", report.candidate),
                ("against", report.policies[AGAINST]),
                model.profile.evaluation,
            ),
        }
    )
    if request.samples is not None:
        try:
            write_samples(request.samples, found)
        except RankloopError as error:
            # Minutes of sampling must not be lost with the page.
            run.say(f"the completions side by side were not written: {error}")
        else:
            run.say(f"completions side by side written to {request.samples}")
    return found


def _rates(folders: Sequence[Path | None]) -> str:
    """Return in brackets the settings of the rates that the policies were trained with."""
    made = [read_settings(folder) for folder in folders if folder]
    found = [
        rate
        for one in made
        if "stage" in one
        for rate in learning_rates(one["stage"], one.get("optimizer", "ppo"))
    ]
    return f" ({', '.join(dict.fromkeys(found))})" if found else ""


def _generator(
    model: StageModel, folders: Mapping[str | None, Path | None], adapter: str | None
) -> AbstractContextManager[Generator]:
    """Return what samples a policy, or the bare model: a server where a setting names one."""
    return policy_generator(
        model.settings,
        model.backbone,
        adapter,
        folders.get(adapter),
        batch_size=model.profile.generation.batch,
    )


def _examples(
    request: EvaluateRequest, run: StageRun, prompts: Sequence[NewPrompt]
) -> list[Messages]:
    """Return the examples of the few-shot model, none of them a prompt that is answered."""
    if request.examples is None:
        return []
    if run.profile.evaluation.few_shot == 0:
        raise BadInput(
            "Setting training.evaluation.few_shot is 0, so that nothing of --examples would be "
            "shown; give --set evaluation.few_shot=N, or leave --examples out."
        )
    asked = [one.messages for one in prompts]
    rankings = [one for one in read_rankings(request.examples) if one.messages not in asked]
    found = best_examples(
        ((one.messages, one.completions, one.ranks) for one in rankings),
        run.profile.evaluation.few_shot,
    )
    if not found:
        raise BadInput(
            f"{request.examples}: it has no example to show. One is a ranking with one best "
            "completion, of a prompt of one turn that is not among --prompts."
        )
    return found


def _few_shot(
    model: StageModel,
    texts: Sequence[NewPrompt],
    prompts: Sequence[list[int]],
    examples: Sequence[Messages],
) -> list[list[int]]:
    """Return each prompt with examples before it, as it is where none fits; empty without any."""
    if not examples:
        return []
    room = model.backbone.context_length - model.profile.sampling.max_new_tokens
    return [
        ids_with_examples(
            model.backbone.tokenizer,
            text.messages,
            examples,
            system_prompt=model.settings.system_prompt,
            room=room,
        )
        or ids
        for text, ids in zip(texts, prompts, strict=True)
    ]


def _folder(given: str) -> Path | None:
    if given == BASE:
        return None
    check_policy(Path(given))
    return Path(given)


def _tuning(folders: list[Path | None]) -> str:
    found = {tuning_of(folder) for folder in folders if folder}
    if len(found) > 1:
        raise BadInput(
            f"The policies were trained with different tuning methods ({', '.join(sorted(found))}),"
            " which cannot share a backbone; compare each with base."
        )
    return found.pop() if found else ""


def _own(folders: list[Path | None], name: str, run: StageRun) -> Path | None:
    """Return the folder `name` that the first policy which names one was trained with."""
    for folder in folders:
        named = read_settings(folder).get(name) if folder else None
        if named and not Path(named).is_dir():
            raise BadInput(f"The folder {named}, which {folder} names as its {GONE[name]}.")
        if named:
            run.say(f"{name}: {named}, which {folder} was trained with")
            return Path(named)
    return None


def _reference(model: StageModel, folders: list[Path | None], run: StageRun) -> str | None:
    own = _own(folders[:1], "sft", run)
    return load_policy(model, own, "reference") if own else None


def _with_tasks(request: EvaluateRequest, run: StageRun) -> StageRun:
    """Return the run with what was asked of tasks laid over the section `evaluation`."""
    given = {
        "tasks": request.tasks or None,
        "task_folder": str(request.task_folder) if request.task_folder else None,
        "task_limit": request.task_limit,
        "task_few_shot": request.task_few_shot,
        "task_chat": request.task_chat,
        "task_batch": request.task_batch,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    sizes = {**run.overrides.get("evaluation", {}), **asked}
    return replace(run, overrides={**run.overrides, "evaluation": sizes})


def _tasks(
    request: EvaluateRequest, model: StageModel, adapters: Mapping[str, str | None], run: StageRun
) -> dict[str, Any]:
    """Run lm-eval's tasks on both policies: task → policy → metrics."""
    settings = model.profile.evaluation
    if not settings.tasks:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for name, adapter in adapters.items():
        label = f"running {', '.join(settings.tasks)} on {getattr(request, name)}"
        run.progress(label, 0.0)
        results = run_set_tasks(
            model.backbone,
            adapter,
            settings.tasks,
            settings,
            seed=model.seed,
            progress=partial(_progress, run, label),
        )
        for task, metrics in results.items():
            found.setdefault(task, {})[name] = metrics
    return {"tasks": found}


def _progress(run: StageRun, label: str, done: int, total: int) -> None:
    run.progress(label, done / total)


def _named(request: EvaluateRequest) -> Mapping[str, str]:
    return {CANDIDATE: request.policy, AGAINST: request.against}


def _win(report: EvaluationReport) -> dict[str, Any]:
    won = report.win_rate(AGAINST, REWARD_MODEL)
    if won is None:
        return {"win_rate": None, "win_rate_ci": None}
    return {"win_rate": won.value, "win_rate_ci": [won.low, won.high]}
