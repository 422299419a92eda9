"""Agreement and reliability beside krippendorff, crowd-kit and choix, on the same numbers.

    python -m benchmarks.agreement --work DIR [--labels 1000000]

The libraries are installed from PyPI into an environment of their own under `--work`. Each measure
is a process of its own on one thread; only one works at a time. Seconds are the processor's and
leave out imports and the reading of the data; ours count from plain arrays, so that the tables that
a method needs are part of its time. The last column is how far the two results lie apart.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import readme
from benchmarks.label_errors import DOCS

ROOT = Path(__file__).parent.parent
PEERS = ("krippendorff==0.9.0", "crowd-kit==1.4.2", "choix==0.4.1")
RATERS, ITEMS, COMPLETIONS = 100, 100, 6


@dataclass(frozen=True)
class Contest:
    """A method of ours, the library's, and in which field of what was found they are compared."""

    title: str
    ours: str
    library: str
    theirs: str
    field: str
    like: str = "values"  #: values, differences (of log-abilities) or order (rank correlation)
    part: float = 1.0  #: share of the labels; the library would take an hour for all


CONTESTS = (
    Contest("Krippendorff's alpha, nominal and ordinal", "krippendorff_alpha", "krippendorff",
            "krippendorff_alpha", "nominal"),
    Contest("the same, ours with an interval", "krippendorff_alpha_with_interval", "krippendorff",
            "krippendorff_alpha", "ordinal"),
    Contest("Majority", "majority", "crowd-kit", "majority", "shares"),
    Contest("Dawid-Skene to convergence, as many iterations", "dawid_skene", "crowd-kit",
            "dawid_skene", "shares"),
    Contest("Dawid-Skene, its own stopping rule", "dawid_skene", "crowd-kit",
            "dawid_skene_default", "shares"),
    Contest("Bradley-Terry", "bradley_terry", "choix", "bradley_terry", "scores", "differences"),
    Contest("Bradley-Terry", "bradley_terry", "crowd-kit", "bradley_terry_crowd_kit", "scores",
            "differences"),
    Contest("Bradley-Terry with rater ability", "crowd_bradley_terry", "crowd-kit",
            "crowd_bradley_terry", "scores", "order", 0.03),
    Contest("Plackett-Luce", "plackett_luce", "choix", "plackett_luce", "scores", "differences"),
)  # fmt: skip


class Bench:
    """Runs methods of either side, each once, and keeps what they found."""

    def __init__(self, work: Path, labels: int) -> None:
        """Draw the data, and install the libraries where they are not."""
        self.work = work
        self.python = _environment(work / "peers")
        self.labels = labels
        self.found: dict[tuple[bool, str], Mapping[str, Any]] = {}
        self.iterations = 0

    def data(self, part: float) -> Path:
        """Return the file of the data of a share of the labels."""
        file = self.work / f"agreement-{round(part * self.labels)}-{self.iterations}.npz"
        if not file.exists():
            arrays: dict[str, Any] = drawn(round(part * self.labels))
            np.savez(file, **arrays, iterations=self.iterations)
        return file

    def run(self, name: str, *, ours: bool, part: float = 1.0) -> Mapping[str, Any]:
        """Return what a method found, with its seconds."""
        if (ours, name) not in self.found:
            out = self.work / f"{'our' if ours else 'their'}-{name}.npz"
            module = ROOT / "benchmarks" / "peers" / "agreement_peers.py"
            command = [sys.executable, "-m", "benchmarks.peers.our_agreement"]
            if not ours:
                command = [str(self.python), str(module)]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            subprocess.run(
                [*command, name, str(self.data(part)), str(out)],
                cwd=ROOT,
                env=environment,
                check=True,
            )
            self.found[ours, name] = dict(np.load(out))
            print(f"{'ours' if ours else 'theirs'}: {name}: "
                  f"{float(self.found[ours, name]['seconds']):.2f} s", file=sys.stderr)  # fmt: skip
        return self.found[ours, name]

    def with_iterations(self) -> None:
        """Tell the library how many iterations ours made, so that both do the same work."""
        self.iterations = int(self.run("dawid_skene", ours=True)["iterations"])


def drawn(labels: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return labels of raters with a confusion of their own, and pairs and rankings by ability."""
    rng = np.random.default_rng(seed)
    units = labels // 3
    truth = rng.integers(0, 3, units)
    unit = np.arange(labels) % units
    # Three different raters a unit.
    rater = (rng.integers(0, RATERS, units)[unit] + 31 * (np.arange(labels) // units)) % RATERS
    accuracy = rng.uniform(0.5, 0.95, RATERS)
    right = rng.random(labels) < accuracy[rater]
    label = np.where(right, truth[unit], (truth[unit] + rng.integers(1, 3, labels)) % 3)
    counts = np.bincount(unit * 3 + label, minlength=units * 3).reshape(-1, 3)
    quality = rng.normal(size=ITEMS)
    first = rng.integers(0, ITEMS, labels)
    second = (first + rng.integers(1, ITEMS, labels)) % ITEMS
    chance = 1 / (1 + np.exp(quality[second] - quality[first]))
    ability = rng.uniform(0.6, 1.0, RATERS)
    coin = rng.random(labels) < chance
    said = np.where(rng.random(labels) < ability[rater], coin, ~coin)
    gumbel = quality[:COMPLETIONS] + rng.gumbel(size=(labels // 15, COMPLETIONS))
    return {
        "unit": unit, "rater": rater, "label": label, "counts": counts,
        "better": np.where(said, first, second), "worse": np.where(said, second, first),
        "pair_rater": rater, "items": np.array(ITEMS), "quality": quality, "ability": ability,
        "ranks": np.argsort(np.argsort(-gumbel, axis=1), axis=1) + 1,
    }  # fmt: skip


def apart(contest: Contest, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Return in words how far two results lie apart."""
    one, other = np.asarray(ours[contest.field]), np.asarray(theirs[contest.field])
    if contest.like == "order":
        mine, its = (np.argsort(np.argsort(each)).astype(float) for each in (one, other))
        return f"rank correlation {np.corrcoef(mine, its)[0, 1]:.3f}"
    if contest.like == "differences":
        one, other = one - one.mean(), other - other.mean()
    return f"{np.abs(one - other).max():.0e}"


def table(bench: Bench, contests: tuple[Contest, ...]) -> str:
    """Return the table of all contests."""
    lines = [
        "| measure | library | its seconds | ours | ratio | largest difference |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in contests:
        ours = bench.run(one.ours, ours=True, part=one.part)
        theirs = bench.run(one.theirs, ours=False, part=one.part)
        title = one.title
        if one.part < 1:
            title += f" ({round(one.part * bench.labels):,} pairs)"
        seconds = float(theirs["seconds"]), float(ours["seconds"])
        lines.append(
            f"| {title} | {one.library} | {seconds[0]:.2f} | {seconds[1]:.2f} | "
            f"{seconds[0] / seconds[1]:.1f} | {apart(one, ours, theirs)} |"
        )
    return "\n".join(lines)


def _environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PEERS], check=True)
    return python


def main() -> None:
    """Run every contest, print the table, and put it into the documentation if wanted."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of data and libraries")
    parser.add_argument("--labels", type=int, default=1_000_000, help="labels, and pairs")
    parser.add_argument("--write", action="store_true", help="put the table into docs/agreement.md")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.work, options.labels)
    bench.with_iterations()
    text = f"{options.labels:,} labels of {RATERS} raters; as many pairs of {ITEMS} items; "
    text += f"{options.labels // 15:,} rankings of {COMPLETIONS}.\n\n{table(bench, CONTESTS)}"
    print(text)
    if options.write:
        readme.put("agreement-speed", text, file=DOCS)


if __name__ == "__main__":
    main()
