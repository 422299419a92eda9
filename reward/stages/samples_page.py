"""The completions of an evaluation side by side, as a page of Markdown.

What a model wrote stands in fences that nothing in it can close, its unseen characters as escapes.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.errors import Conflict, Unavailable
from storage.printable import printable

SIDES = ("policy", "against")
PARTS = {
    "best_samples": "Best: where the policy gained most",
    "worst_samples": "Worst: where the policy lost most",
    "samples": "Others",
}


def check_free(file: Path) -> None:
    """Raise `Conflict` where there is such a file, `Unavailable` where none can be made."""
    if file.exists():
        raise Conflict(f"{file} exists; name a new file for the samples.")
    if not file.parent.is_dir():
        raise Unavailable(f"There is no folder {file.parent} to write {file.name} to; make it.")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise Unavailable(f"{file} cannot be written; name a file in a folder you can write to.")


def write_samples(file: Path, report: Mapping[str, Any]) -> None:
    """Write the page of a report; raise `Conflict` or `Unavailable` where that cannot be done."""
    check_free(file)
    try:
        file.write_text(samples_page(report), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise Unavailable(
            f"{file} cannot be written ({error.strerror}); name a file that you can write to."
        ) from error


def samples_page(report: Mapping[str, Any]) -> str:
    """Return the page of what `evaluate_stage` returned.

    Best and worst are by the reward model's scores; without one there are others alone.
    """
    heads = [f"- {name}: {_span(report[name])}" for name in SIDES]
    heads.append(f"- reward model: {_span(report['reward']) if report['reward'] else 'none'}")
    if report["win_rate"] is not None:
        low, high = report["win_rate_ci"]
        heads.append(f"- win rate: {report['win_rate']:.3f} [{low:.3f}, {high:.3f}]")
    parts = ["# Completions side by side", "\n".join(heads)]
    for name, title in PARTS.items():
        rows = report[name]
        if rows:
            parts.append(f"## {title} ({len(rows)})")
        for number, row in enumerate(rows, start=1):
            parts += [f"### {number}. {_gain(row)}", "Prompt:", _fenced(row["prompt"])]
            for side in SIDES:
                parts += [_label(row, side), _fenced(row[side])]
    return "\n\n".join(parts) + "\n"


def _gain(row: Mapping[str, Any]) -> str:
    ours, theirs = (row.get(f"{side}_reward") for side in SIDES)
    return "Not scored" if ours is None or theirs is None else f"Gain {ours - theirs:+.3f}"


def _label(row: Mapping[str, Any], side: str) -> str:
    score = row.get(f"{side}_reward")
    return f"{side.capitalize()}:" if score is None else f"{side.capitalize()}, score {score:.3f}:"


def _fenced(text: str) -> str:
    fence, shown = "`" * max(3, _longest_run(text) + 1), printable(text, keep="\n\t")
    return f"{fence}text\n{shown}\n{fence}"


def _span(text: str) -> str:
    """Return a text as code within a line; the blanks keep its own backticks from the mark."""
    mark = "`" * (_longest_run(text) + 1)
    inner = printable(text)
    return f"{mark} {inner} {mark}" if "`" in inner else f"{mark}{inner}{mark}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
