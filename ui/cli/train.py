"""The commands that run one stage of training on files: `train` and `evaluate`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from storage.seeds import LARGEST_SEED
from ui.cli.frame import Command, Group, Options, pass_options
from ui.cli.section_values import section_values

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
TUNINGS = ("lora", "full", "head", "prompt", "prefix", "adapter", "bitfit")
OPTIMIZERS = ("ppo", "rloo", "grpo", "dpo")
Decorated = Callable[..., Any]


def _common(command: Decorated) -> Decorated:
    """Add the options that every stage has."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON instead of words."),
        click.option("--set", "overrides", multiple=True, metavar="SECTION.FIELD=VALUE",
                     callback=section_values, help="Change one size of the device's profile; "
                     "repeatable (docs/training.md)."),
        click.option("--seed", type=click.IntRange(0, LARGEST_SEED),
                     help="Seed (default: the setting seed, 0)."),
        click.option("--model", metavar="FOLDER|ID",
                     help="Model to work on (default: the setting, RANKLOOP_MODEL)."),
    ):  # fmt: skip
        command = option(command)
    return command


def _tuning(*methods: str, default: str = "the setting, lora") -> Callable[[Decorated], Decorated]:
    return click.option(
        "--tuning", type=click.Choice(methods),
        help=f"What of the model is trained (docs/tuning.md; default: {default}).",
    )  # fmt: skip


OUT = click.option("--out", type=FOLDER, required=True,
                   help="Folder to make; new, empty, or of the same run cut off.")  # fmt: skip


@click.group(cls=Group, example="rankloop train reward --data preferences.jsonl --out reward")
def train() -> None:
    """Run one stage of training on files, without a project.

    Progress goes to stderr. The folder that comes out holds the weights, settings.json,
    metrics.json, curves for TensorBoard and a card; a run that was cut off goes on when it is
    started again.
    """


@train.command(
    "reward", example="rankloop train reward --data preferences.jsonl --tuning lora --out reward"
)
@click.option("--data", type=FILE, required=True,
              help="Rankings or pairs: JSONL, CSV or Parquet.")  # fmt: skip
@_tuning(*TUNINGS, "feature")
@OUT
@click.option("--heldout-share", type=click.FloatRange(0.0, 0.5), default=0.15, show_default=True,
              help="Share of prompts to test on, where rows do not name both sides.")  # fmt: skip
@click.option("--max-rankings", type=click.IntRange(1), help="Train on the first so many only.")
@_common
@pass_options
def train_reward(options: Options, /, **given: Any) -> None:
    """Fit a reward model to rankings, and test it on comparisons that it never saw."""
    from ui.cli.stages import run_reward

    run_reward(options, **given)


@train.command("sft", example="rankloop train sft --data demonstrations.jsonl --out sft")
@click.option("--data", type=FILE, required=True,
              help="Demonstrations: JSONL, CSV or Parquet with prompt and completion.")  # fmt: skip
@_tuning(*TUNINGS)
@OUT
@_common
@pass_options
def train_sft(options: Options, /, **given: Any) -> None:
    """Fine-tune the model on demonstrations (supervised)."""
    from ui.cli.stages import run_sft

    run_sft(options, **given)


@train.command(
    "ppo", example="rankloop train ppo --prompts prompts.jsonl --reward reward --out policy"
)
@click.option("--prompts", type=FILE, required=True,
              help="Prompts to answer: JSONL, CSV or Parquet.")  # fmt: skip
@click.option("--reward", type=FOLDER, required=True,
              help="Reward model that `train reward` made.")  # fmt: skip
@OUT
@click.option("--sft", type=FOLDER, help="Policy to start from and to measure KL to.")
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), show_default="the setting, else ppo",
              help="How the policy is moved (docs/optimizers.md).")  # fmt: skip
@click.option("--data", type=FILE, help="Rankings or pairs that dpo trains on.")
@click.option("--iterations", type=click.IntRange(1), help="Rollouts (dpo: updates).")
@_tuning(*TUNINGS, default="that of --sft, else the setting")
@_common
@pass_options
def train_ppo(options: Options, /, **given: Any) -> None:
    """Move a policy up a reward model."""
    from ui.cli.stages import run_ppo

    run_ppo(options, **given)


@click.command(
    "evaluate",
    cls=Command,
    example="rankloop evaluate --policy policy --against base --prompts prompts.jsonl",
)
@click.option("--policy", required=True, metavar="FOLDER|base", help="Policy to measure.")
@click.option("--against", required=True, metavar="FOLDER|base", help="Policy to compare it with.")
@click.option("--prompts", type=FILE, required=True,
              help="Prompts that both answer, with or without a completion to hold them "
              "against: JSONL, CSV or Parquet.")  # fmt: skip
@click.option("--reward", type=FOLDER,
              help="Reward model that judges (default: the policy's own).")  # fmt: skip
@click.option("--second-reward", type=FOLDER,
              help="Another reward model that judges, fitted to other data.")  # fmt: skip
@click.option("--examples", type=FILE,
              help="Rankings whose best completions a few-shot model is shown.")  # fmt: skip
@click.option("--samples", type=NEW_FILE,
              help="Markdown page to write: completions side by side, best and worst "
              "first.")  # fmt: skip
@click.option("--generator", metavar="URL",
              help="OpenAI-compatible server that draws both policies' completions (default: the "
              "setting generator, this process).")  # fmt: skip
@click.option("--task", "tasks", multiple=True, metavar="NAME",
              help="Task of lm-eval to run on both; repeatable.")  # fmt: skip
@click.option("--task-folder", type=FOLDER, help="Folder of tasks of one's own (YAML).")
@click.option("--task-limit", type=click.IntRange(1), help="Documents of each task, at most.")
@click.option("--task-few-shot", type=click.IntRange(0),
              help="Examples before each document (default: the task's own number).")  # fmt: skip
@click.option("--task-chat/--no-task-chat", default=None,
              help="Put documents through the model's chat template.")  # fmt: skip
@click.option("--task-batch", type=click.IntRange(1),
              help="Sequences of a task that are scored together.")  # fmt: skip
@_common
@pass_options
def evaluate(options: Options, /, **given: Any) -> None:
    """Compare two policies on the same prompts."""
    from ui.cli.stages import run_evaluate

    run_evaluate(options, **given)
