"""What the commands of `train` and `evaluate` do: run a stage, show progress, print its metrics."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ui.cli.frame import Options, stepwise

if TYPE_CHECKING:
    from storage.settings import Settings

Overrides = dict[str, dict[str, Any]]
HIDDEN = ("curve", "samples", "best_samples", "worst_samples")  # too long for a summary in words


def run_reward(
    options: Options, *, data: Path, tuning: str | None, out: Path, heldout_share: float,
    max_rankings: int | None, overrides: Overrides, **common: Any,
) -> None:  # fmt: skip
    """Fit a reward model to a file's rankings."""

    def stage(run: Any) -> dict[str, Any]:
        from reward.stages.reward import RewardRequest, train_reward_stage

        return train_reward_stage(RewardRequest(data, out, heldout_share, max_rankings or 0), run)

    together = tuning != "feature"
    _run(options, stage, tuning=tuning, out=out, overrides=overrides, together=together, **common)


def run_sft(options: Options, *, data: Path, out: Path, **common: Any) -> None:
    """Fine-tune on a file's demonstrations."""

    def stage(run: Any) -> dict[str, Any]:
        from reward.stages.sft import SFTRequest, train_sft_stage

        return train_sft_stage(SFTRequest(data, out), run)

    _run(options, stage, out=out, together=True, **common)


def run_ppo(
    options: Options, *, prompts: Path, reward: Path, out: Path, sft: Path | None,
    optimizer: str | None, data: Path | None, iterations: int | None, tuning: str | None,
    overrides: Overrides, **common: Any,
) -> None:  # fmt: skip
    """Move a policy up a reward model."""

    def stage(run: Any) -> dict[str, Any]:
        from reward.stages.ppo import PPORequest, train_ppo_stage

        request = PPORequest(prompts, reward, out, sft, optimizer or "", data, iterations or 0)
        return train_ppo_stage(request, run)

    _run(options, stage, tuning=tuning, out=out, overrides=overrides, together=True, **common)


def run_evaluate(
    options: Options, *, policy: str, against: str, prompts: Path, reward: Path | None,
    tasks: tuple[str, ...], task_folder: Path | None, task_limit: int | None,
    task_few_shot: int | None, task_chat: bool | None, task_batch: int | None,
    second_reward: Path | None, examples: Path | None, samples: Path | None, **common: Any,
) -> None:  # fmt: skip
    """Compare two policies on a file's prompts."""

    def stage(run: Any) -> dict[str, Any]:
        from reward.stages.evaluate import EvaluateRequest, evaluate_stage

        request = EvaluateRequest(
            policy, against, prompts, reward, tasks, task_folder, task_limit, second_reward,
            examples, samples, task_few_shot, task_chat, task_batch,
        )  # fmt: skip
        return evaluate_stage(request, run)

    _run(options, stage, **common)


def _run(
    options: Options,
    stage: Callable[[Any], dict[str, Any]],
    *,
    tuning: str | None = None,
    out: Path | None = None,
    as_json: bool,
    overrides: Overrides,
    seed: int | None,
    model: str | None,
    generator: str | None = None,
    together: bool = False,
) -> None:
    """Run a stage with what libraries print kept off stdout, and print its metrics there.

    `together`: several processes may train it, each of which is this command again.
    """
    from storage.settings import load_settings

    settings = load_settings(
        home=options.home, project=options.project, model=model, seed=seed, generator=generator
    )
    _prepare_libraries(settings.model)
    if together and settings.processes > 1 and "WORLD_SIZE" not in os.environ:
        run_in_processes(settings)
        return
    first = os.environ.get("RANK", "0") == "0"
    from reward.running.parent_watch import exit_when_parent_dies
    from reward.stages.model import StageRun

    exit_when_parent_dies()

    with redirect_stdout(sys.stderr), _home(settings.home):
        metrics = stage(
            StageRun(
                settings=settings,
                tuning=tuning or "",
                overrides=overrides,
                progress=stepwise() if first else lambda label, share: None,
                say=lambda line: click.echo(line, err=True) if first else None,
            )
        )
    if not first:
        return
    if as_json:
        where = {"out": str(out)} if out else {}
        click.echo(json.dumps({**metrics, **where}, indent=2, ensure_ascii=False))
        return
    for line in _in_words(metrics):
        click.echo(line)
    if out:
        click.echo(f"Written to {out}.")


def run_in_processes(settings: "Settings") -> None:
    """Start this very command in several processes, and relay what they print."""
    from reward.language_models.devices import find_device
    from reward.running.launcher import Launch, ProcessesFailed, run_together

    launch = Launch(
        processes=settings.processes,
        device=find_device(settings.device).type,
        config=settings.launch_config,
        accelerate=settings.launcher == "accelerate",
        threads=settings.threads,
        silent_seconds=60 * settings.step_stall_minutes,
    )
    said: list[str] = []

    def complain(line: str) -> None:
        said.append(line)
        click.echo(line, err=True)

    try:
        run_together(launch, "ui.cli", *sys.argv[1:], on_line=click.echo, on_error=complain)
    except ProcessesFailed as error:
        # A process that ended by itself has said why.
        if said and "exit code" in str(error):
            raise click.exceptions.Exit(1) from error
        raise


@contextmanager
def _home(home: Path) -> Iterator[None]:
    """Let whatever reads the settings anew find the folder that `--home` names."""
    before = os.environ.get("RANKLOOP_HOME")
    os.environ["RANKLOOP_HOME"] = str(home)
    try:
        yield
    finally:
        os.environ.pop("RANKLOOP_HOME")
        if before is not None:
            os.environ["RANKLOOP_HOME"] = before


def _prepare_libraries(model: str) -> None:
    """Set what libraries read when they are imported, unless the environment says otherwise."""
    from reward.language_models.models import is_local

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if is_local(model):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _in_words(metrics: Mapping[str, Any], before: str = "") -> list[str]:
    """Return one line a figure; rows of a table begin with their first field."""
    lines = []
    for name, value in metrics.items():
        words = f"{before}{name.replace('_', ' ')}"
        if name in HIDDEN:
            continue
        if isinstance(value, Mapping) and not {"value", "low", "high"} <= set(value):
            lines += _in_words(value, f"{words}: ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for row in value:
                lines += _in_words(row, f"{words}: {next(iter(row.values()))}: ")
        else:
            lines.append(f"{words}  {_word(value)}")
    return lines


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return f"{_word(value['value'])} [{_word(value['low'])}, {_word(value['high'])}]"
    if isinstance(value, list):
        return "[" + ", ".join(_word(each) for each in value) + "]"
    return "–" if value is None else str(value)
