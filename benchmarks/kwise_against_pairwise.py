"""People's rankings learned whole, or as pairs, at equal forward passes.

    python -m benchmarks.kwise_against_pairwise --data oasst_ranked.jsonl.gz --model FOLDER

A ranking of K completions is read twice as one example, all of its pairs compared each time: 2K
forward passes. The pairwise side reads K pairs of it, a ring through its completions in random
order: 2K forward passes as well, one comparison for two of them. Rankings of two completions are
left out, since both ways are the same there. The held-out rankings, optimiser steps, learning rate
and seeds are the same, and every prompt weighs the same. Each fit is one `rankloop train reward`.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import readme
from benchmarks.measured_process import rankloop
from labeling.imports.prompts import split_of
from labeling.imports.ranking_files import RankedText, read_rankings
from storage.tables import Split

DOCS = Path(__file__).parent.parent / "docs" / "training.md"
HELDOUT_SHARE = 0.3
RANKINGS_PER_STEP = 4


def main() -> None:
    """Fit both ways with every seed, and print the table."""
    options = _options()
    rankings = [
        one
        for one in read_rankings(options.data)
        if len(one.ranks) > 2 and _characters(one) <= options.longest
    ]
    train, heldout = _divided(rankings)
    completions = fmean(len(one.ranks) for one in train)
    with TemporaryDirectory() as name:
        folder = Path(name)
        found: dict[str, list[dict[str, Any]]] = {"whole": [], "pairs": []}
        for seed in options.seeds:
            sides = {
                "whole": ([_row(one) for one in train], 2, RANKINGS_PER_STEP),
                "pairs": (list(_pairs(train, seed)), 1, round(RANKINGS_PER_STEP * completions / 2)),
            }
            for side, (rows, epochs, at_once) in sides.items():
                data = folder / f"{side}-{seed}.jsonl"
                rows = [{**row, "split": "train"} for row in rows]
                rows += [{**_row(one), "split": "test"} for one in heldout]
                data.write_text("".join(json.dumps(row) + "\n" for row in rows))
                found[side].append(_fit(data, seed, epochs, at_once, options))
                print(f"seed {seed}, {side}: {found[side][-1]['accuracy']:.3f}", file=sys.stderr)
    text = _table(found, train, heldout, options.longest)
    print(text)
    if options.docs:
        readme.put("kwise", text, file=DOCS)


def _characters(one: RankedText) -> float:
    return sum(len(said["content"]) for said in one.messages) + max(map(len, one.completions))


def _divided(rankings: Sequence[RankedText]) -> tuple[list[RankedText], list[RankedText]]:
    split = [split_of(one.prompt_sha256, HELDOUT_SHARE) for one in rankings]
    both = list(zip(rankings, split, strict=True))
    return (
        [one for one, where in both if where is Split.TRAIN],
        [one for one, where in both if where is Split.HELDOUT],
    )


def _row(one: RankedText) -> dict[str, Any]:
    return {"messages": one.messages, "completions": one.completions, "ranks": one.ranks}


def _pairs(rankings: Sequence[RankedText], seed: int) -> Iterator[dict[str, Any]]:
    """Yield K pairs of each ranking: a ring through its completions, so each is in two."""
    chance = random.Random(seed)
    for one in rankings:
        ring = chance.sample(range(len(one.ranks)), len(one.ranks))
        for first, second in zip(ring, [*ring[1:], ring[0]], strict=True):
            pair = [first, second]
            yield {
                "messages": one.messages,
                "completions": [one.completions[each] for each in pair],
                "ranks": _dense([one.ranks[each] for each in pair]),
                "weight": 1 / len(ring),
            }


def _dense(ranks: Sequence[int]) -> list[int]:
    known = sorted(set(ranks))
    return [known.index(rank) + 1 for rank in ranks]


def _fit(
    data: Path, seed: int, epochs: int, at_once: int, options: argparse.Namespace
) -> dict[str, Any]:
    command = rankloop("train", "reward", "--data", str(data), "--seed", str(seed), "--json")
    command += ["--out", str(data.with_suffix("")), "--model", str(options.model)]
    sizes = {"epochs": epochs, "rankings_per_step": at_once, "max_steps": 10_000}
    for name, value in sizes.items():
        command += ["--set", f"reward.{name}={value}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    metrics: dict[str, Any] = json.loads(done.stdout)
    return metrics


def _table(
    found: dict[str, list[dict[str, Any]]],
    train: Sequence[RankedText],
    heldout: Sequence[RankedText],
    longest: float,
) -> str:
    forwards = 2 * sum(len(one.ranks) for one in train)
    words = {"whole": "K-wise: all pairs of a ranking", "pairs": "pairwise: a ring of K pairs"}
    left_out = (
        ""
        if longest == inf
        else (
            f" Rankings whose prompt and longest completion have over {longest:,.0f} characters "
            "together are left out."
        )
    )
    largest = max(len(one.ranks) for one in train)
    lines = [
        f"{len(train)} rankings of 3 to {largest} completions to train on, {len(heldout)} held out "
        f"({found['whole'][0]['pairs']} comparisons); {forwards} "
        f"forward passes of completions on both sides.{left_out}",
        "",
        "| trained on | held-out accuracy of each seed | mean | 95 % of each seed | seconds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for side, runs in found.items():
        each = " ".join(f"{run['accuracy']:.3f}" for run in runs)
        low = min(run["accuracy_ci"][0] for run in runs)
        high = max(run["accuracy_ci"][1] for run in runs)
        lines.append(
            f"| {words[side]} | {each} | {fmean(run['accuracy'] for run in runs):.3f} "
            f"| within {low:.2f} to {high:.2f} | {fmean(run['seconds'] for run in runs):.0f} |"
        )
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kwise_against_pairwise",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="rankings of people")
    parser.add_argument("--model", type=Path, required=True, help="folder of the language model")
    parser.add_argument(
        "--longest",
        type=float,
        default=inf,
        metavar="CHARACTERS",
        help="leave out rankings whose prompt and longest completion are longer together",
    )
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--docs", action="store_true", help="put the table into docs/training.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
