"""What both trainers of reward models are given: the same rankings as token ids, and options."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from labeling.judging.rankings import pairs_of


@dataclass(frozen=True)
class Ranking:
    """The prompt's ids, the K answers' ids, and their ranks (1 is best, none alike)."""

    prompt: list[int]
    answers: list[list[int]]
    ranks: list[int]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Return every (better, worse) pair of positions."""
        return pairs_of(self.ranks)

    @property
    def packed_tokens(self) -> int:
        """Return how many tokens it has as one sequence, the prompt once."""
        return len(self.prompt) + sum(map(len, self.answers))

    @property
    def pair_tokens(self) -> int:
        """Return how many tokens its pairs have, each answer read anew in every pair."""
        lengths = [len(self.prompt) + len(answer) for answer in self.answers]
        return sum(lengths[better] + lengths[worse] for better, worse in self.pairs)


def write_rankings(file: Path, train: Sequence[Ranking], heldout: Sequence[Ranking]) -> None:
    """Write both parts as JSON."""
    parts = {"train": train, "heldout": heldout}
    file.write_text(json.dumps({name: [asdict(r) for r in rows] for name, rows in parts.items()}))


def read_rankings(file: Path) -> tuple[list[Ranking], list[Ranking]]:
    """Return the rankings to train on and the held-out ones."""
    parts = json.loads(file.read_text())
    train, heldout = ([Ranking(**row) for row in parts[name]] for name in ("train", "heldout"))
    return train, heldout


def reward_arguments(description: str | None) -> argparse.Namespace:
    """Parse the options that both sides understand."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", required=True, help="folder of a causal language model")
    parser.add_argument("--rankings", type=Path, required=True, help="what write_rankings wrote")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--rankings-per-step", type=int, default=2)
    parser.add_argument("--micro-batch", type=int, default=0,
                        help="TRL's only, in sequences; 0: as many as ours")  # fmt: skip
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--top-layers", type=int, default=0, help="ours only; 0: full depth")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--warmup-steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()
