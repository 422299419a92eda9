"""Our training of a reward model on whole rankings against TRL's RewardTrainer on their pairs.

    python -m benchmarks.reward_against_trl --model FOLDER                 generated answers
    python -m benchmarks.reward_against_trl --model FOLDER --data FILE     answers of a file

Both sides get the same rankings, LoRA rank, threads, micro-batch in sequences and number of
optimiser steps, in fp32; each is a process of its own, and only one works at a time. A turn is a
pass over the rankings. Generated answers are ranked by how many exclamation marks they have in a
hundred tokens; those of a file by a programmatic preference, and a ranking that has fewer than K
is filled up with answers to other prompts.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks import readme
from benchmarks.peers.reward_workload import Ranking, write_rankings
from benchmarks.peers.workload import random_prompts
from benchmarks.ppo_against_trl import DOCS, ROOT, Side
from labeling.imports.ranking_files import RankedText, read_rankings
from labeling.simulated.preferences import load_preference

PROMPT_TOKENS = (20, 60)
ANSWER_TOKENS = (20, 80)
MOST_MARKS = 0.5  # share of exclamation marks in the best of the generated answers
LONGEST = 200  # tokens of a prompt or an answer of a file; longer ones are left out


@dataclass(frozen=True)
class Result:
    """What one side took for each pass over rankings of K, and how well it predicts."""

    name: str
    passes: list[dict[str, Any]]
    last: dict[str, Any]  #: the report of the turn after the last pass
    trained: int
    peak_mib: float

    @property
    def first(self) -> float:
        """Return the seconds of the first pass, the frozen layers' activations included."""
        return float(self.passes[0]["seconds"])

    @property
    def later(self) -> float:
        """Return the median seconds of the later passes."""
        return statistics.median(one["seconds"] for one in self.passes[1:] or self.passes)


def main() -> None:
    """Take turns for each K, print the tables, and put them into the documentation if wanted."""
    options, rest = _options()
    texts = []
    for k in options.k:
        texts.append(_compared(options, rest, k))
        print(f"{texts[-1]}\n", flush=True)
    if options.docs:
        readme.put("reward", "\n\n".join(texts), file=DOCS)


def _compared(options: argparse.Namespace, rest: list[str], k: int) -> str:
    rankings = _rankings(options, k)
    train, heldout = rankings[: options.rankings], rankings[options.rankings :]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rankings.json"
        write_rankings(file, train, heldout)
        found = _take_turns(_sides(options, rest, file), options.passes)
    lines = [
        f"**K = {k}**: {len(train)} rankings, {_pairs(train)} pairs a pass, "
        f"{options.passes} passes in turns; held out: {_pairs(heldout)} pairs.",
        "",
        *_table(found, _pairs(train)),
        "",
        *_floors(found, train),
    ]
    return "\n".join(lines)


def _sides(options: argparse.Namespace, rest: list[str], file: Path) -> list[Side]:
    common = ["--model", str(options.model), "--rankings", str(file)]
    common += ["--passes", str(options.passes), *rest]
    top = options.top_layers
    environment = {
        **os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip

    def side(name: str, module: str, *more: str) -> Side:
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", *common, *more]
        return Side(name, command, environment)

    return [
        side("TRL's RewardTrainer, pairs, full depth", "trl_reward"),
        side("ours, packed, full depth", "our_reward", "--top-layers", "0"),
        side(f"ours, packed, top {top} layers on a cached trunk", "our_reward",
             "--top-layers", str(top)),
    ]  # fmt: skip


def _take_turns(sides: Sequence[Side], passes: int) -> list[Result]:
    for number in range(passes):
        for side in sides:
            side.turn()
            print(f"{number + 1}/{passes} {side.name}: {side.reports[-1]['seconds']:.1f} s",
                  file=sys.stderr, flush=True)  # fmt: skip
    found = []
    for side in sides:
        side.turn()
        side.end()
        *done, last = side.reports
        peak = max(one["peak_mib"] for one in done)
        found.append(Result(side.name, done, last, side.trained, peak))
    return found


def _table(found: Sequence[Result], pairs: int) -> list[str]:
    theirs = found[0]
    lines = [
        "| who | first pass, s | of it the trunk, once, s | a later pass, s | pairs/s | "
        "times as fast | first pass: times as fast | peak MiB | weights trained | "
        "held-out accuracy |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in found:
        lines.append(
            f"| {one.name} | {one.first:.1f} | {one.passes[0]['trunk_seconds']:.1f} | "
            f"{one.later:.1f} | {pairs / one.later:.1f} | {theirs.later / one.later:.2f} | "
            f"{theirs.first / one.first:.2f} | {one.peak_mib:.0f} | "
            f"{one.trained / 1e6:.1f} M | {one.last['accuracy']:.3f} |"
        )
    return lines


def _floors(found: Sequence[Result], train: Sequence[Ranking]) -> list[str]:
    """Return what the arithmetic alone takes: 2 operations a weight and token forward, 2 back."""
    speed = max(one.last["operations_per_second"] for one in found[1:])
    weights = found[1].last["layer_weights"]
    lines = [
        f"Arithmetic alone, at the {speed / 1e9:.0f} GFLOP/s of a large fp32 product here "
        f"({weights / 1e6:.0f} M weights in the layers):",
        "",
        "| who | tokens a pass | TFLOP, first pass | floor, s | TFLOP, later pass | floor, s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for number, one in enumerate(found):
        tokens = sum(each.packed_tokens if number else each.pair_tokens for each in train)
        shared = one.last.get("trunk_share", 0.0)
        later = 4 * weights * (1 - shared) * tokens
        first = later + 2 * weights * shared * tokens
        lines.append(
            f"| {one.name} | {tokens} | {first / 1e12:.2f} | {first / speed:.1f} | "
            f"{later / 1e12:.2f} | {later / speed:.1f} |"
        )
    return lines


def _pairs(rankings: Sequence[Ranking]) -> int:
    return sum(len(one.pairs) for one in rankings)


# -- rankings ----------------------------------------------------------------------------------


def _rankings(options: argparse.Namespace, k: int) -> list[Ranking]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    count = options.rankings + options.heldout
    if options.data is None:
        return generated_rankings(tokenizer, count, k, options.seed)
    rankings = read_rankings(options.data)
    found = filled_rankings(tokenizer, rankings, k, options.preference, options.seed)
    if len(found) < count:
        raise SystemExit(
            f"{options.data} gives {len(found)} rankings of {k} short answers, and "
            f"{count} are needed; lower --rankings or --heldout."
        )
    return found[:count]


def generated_rankings(tokenizer: Any, count: int, k: int, seed: int) -> list[Ranking]:
    """Return rankings of answers cut from one text, the more exclamation marks the better."""
    drawn = random.Random(seed)
    mark = tokenizer("!", add_special_tokens=False)["input_ids"][0]
    rankings = []
    for number, prompt in enumerate(random_prompts(tokenizer, count, *PROMPT_TOKENS, seed)):
        texts = random_prompts(tokenizer, k, *ANSWER_TOKENS, seed * count + number + 1)
        best_first = list(range(k))
        drawn.shuffle(best_first)
        answers = []
        for text, place in zip(texts, best_first, strict=True):
            marks = round(len(text) * MOST_MARKS * (k - 1 - place) / max(1, k - 1))
            where = set(drawn.sample(range(len(text)), marks))
            body = [mark if at in where else token for at, token in enumerate(text)]
            answers.append([*body, tokenizer.eos_token_id])
        rankings.append(Ranking(prompt, answers, [place + 1 for place in best_first]))
    return rankings


def filled_rankings(
    tokenizer: Any, rankings: Sequence[RankedText], k: int, preference: str, seed: int
) -> list[Ranking]:
    """Return a ranking of K answers, no two of a rank, for each prompt of a file's rankings.

    Where a prompt has fewer such answers, those of other prompts, in the order of the seed, join.
    """
    from reward.generation.conversations import answer_ids, prompt_ids

    level = load_preference(preference)
    drawn = random.Random(seed)
    others = [text for one in rankings for text in one.completions]
    found = []
    for one in {each.prompt_sha256: each for each in rankings}.values():
        prompt = prompt_ids(tokenizer, one.messages, "")
        chosen: dict[float, list[int]] = {}
        for text in chain(one.completions, drawn.sample(others, len(others))):
            ids = answer_ids(tokenizer, text, ended=True, end_token=tokenizer.eos_token_id)
            if len(ids) <= LONGEST:
                chosen.setdefault(level(one.messages, text), ids)
            if len(chosen) == k:
                break
        if len(chosen) == k and len(prompt) <= LONGEST:
            best_first = sorted(chosen, reverse=True)
            ranks = [best_first.index(value) + 1 for value in chosen]
            found.append(Ranking(prompt, list(chosen.values()), ranks))
    drawn.shuffle(found)
    return found


def _options() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reward_against_trl",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Every other option goes to both sides; see benchmarks/peers/reward_workload.py.",
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of the language model")
    parser.add_argument("--k", type=int, nargs="+", default=[4, 9], help="answers of a ranking")
    parser.add_argument("--rankings", type=int, default=8, help="of a pass")
    parser.add_argument("--heldout", type=int, default=16, help="rankings to be tested on")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--top-layers", type=int, default=8)
    parser.add_argument("--data", type=Path, help="rankings: JSONL, CSV or Parquet")
    parser.add_argument("--preference", default="shorter", help="what ranks the answers of --data")
    parser.add_argument("--seed", type=int, default=0, help="of the rankings")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs")
    options, rest = parser.parse_known_args()
    options.model = options.model.absolute()
    return options, rest


if __name__ == "__main__":
    main()
