"""The card of a stage's folder: what it is, was made with and reached, and how it is read."""

from collections.abc import Mapping
from typing import Any

WHAT = {
    "reward": ("A reward model", "It scores an answer to a prompt; higher is better."),
    "sft": ("A fine-tuned policy", "It imitates demonstrations."),
    "ppo": ("A policy trained by reinforcement learning", "It answers for a reward model's score."),
}
LOADS = {
    "reward": "It is read by `rankloop train ppo --reward` and `rankloop evaluate --reward`.",
    "sft": "It is read by `rankloop train ppo --sft` and `rankloop evaluate --policy`.",
    "ppo": "It is read by `rankloop evaluate --policy`.",
}


def card_of(made_with: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Return the README of a stage's folder, in Markdown."""
    stage = made_with["stage"]
    title, meaning = WHAT[stage]
    rows = [
        ("model", made_with.get("model", "none: it reads text")),
        ("tuning", made_with["tuning"]),
        ("seed", made_with["seed"]),
        *((key, value) for key, value in _data(made_with)),
    ]
    made = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows)
    reached = "\n".join(
        f"| {name} | {_cell(value)} |"
        for name, value in metrics.items()
        if not isinstance(value, Mapping) and not _is_long(value)
    )
    return f"""# {title}

{meaning} Made by `rankloop train {stage}` (Rankloop {made_with["versions"]["rankloop"]}).
{LOADS[stage]}

| made with | |
|---|---|
{made}

Every size is in `settings.json`.

| measured | |
|---|---|
{reached}
"""


def _data(made_with: Mapping[str, Any]) -> list[tuple[str, Any]]:
    files = ("data", "prompts", "heldout")
    return [
        (name, f"{made_with[name]['file']} (SHA-256 {made_with[name]['sha256']})")
        for name in files
        if isinstance(made_with.get(name), Mapping)
    ]


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, Mapping) for each in value)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "[" + ", ".join(_cell(each) for each in value) + "]"
    return str(value).replace("|", "\\|").replace("\n", " ")
