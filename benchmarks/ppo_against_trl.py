"""Our PPO against the PPO of trl 1.12, the last that TRL had: an iteration each, in turns.

    python -m benchmarks.ppo_against_trl --model FOLDER               seconds and memory
    python -m benchmarks.ppo_against_trl --model FOLDER --learn       the reward curves

trl 1.12 is installed (without its dependencies, which are ours) into `--work`, and runs with the
same torch and transformers. Both sides get the same prompts, lengths, epochs, micro-batches and
LoRA rank; each is a process of its own, and only one works at a time. A median leaves the first
iteration out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks import readme
from benchmarks.curve_plot import Axes, draw
from benchmarks.peers.workload import MARK
from reward.training.allocator import allocator_environment

ROOT = Path(__file__).parent.parent
PEER = "trl==1.12.0"
DOCS = ROOT / "docs" / "training-speed.md"
PLOT = ROOT / "docs" / "ppo-curves.svg"


@dataclass(frozen=True)
class TopLayers:
    """How many layers are trained above a cached trunk, and how many of these are recomputed."""

    trained: int
    recomputed: int = 0

    @classmethod
    def parse(cls, text: str) -> "TopLayers":
        """Read `12` or `12/6`; raise `ValueError` for anything else."""
        trained, _, recomputed = text.partition("/")
        return cls(int(trained), int(recomputed or 0))

    def __str__(self) -> str:
        """Return how a table names it."""
        again = f", {self.recomputed} of them recomputed" if self.recomputed else ""
        return f"top {self.trained} layers on a cached trunk{again}"

    @property
    def arguments(self) -> list[str]:
        """Return the options of our peer."""
        return ["--top-layers", str(self.trained), "--recomputed-layers", str(self.recomputed)]


class Side:
    """A process that does an iteration whenever it is told to."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Start it; it reports once that it is ready."""
        self.name = name
        self.reports: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.trained = self._answer()["trained"]

    def turn(self) -> None:
        """Let it do one iteration."""
        pipe = self._pipe(self.process.stdin)
        pipe.write("go\n")
        pipe.flush()
        self.reports.append(self._answer())

    def end(self) -> None:
        """Let it go."""
        self._pipe(self.process.stdin).close()
        self.process.wait(timeout=60)

    def _answer(self) -> dict[str, Any]:
        for line in self._pipe(self.process.stdout):
            if line.startswith(MARK):
                found: dict[str, Any] = json.loads(line.removeprefix(MARK))
                return found
        raise SystemExit(f"{self.name} ended before it was done; its error stands above.")

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe

    @property
    def seconds(self) -> float:
        """Return the median of an iteration, the first left out."""
        return statistics.median(one["seconds"] for one in self.reports[1:] or self.reports)

    @property
    def peak_mib(self) -> float:
        """Return the peak of resident memory."""
        return max(one["peak_mib"] for one in self.reports)


def main() -> None:
    """Take turns and print a table."""
    options, rest = _options()
    peer = options.work / PEER
    if not peer.exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
        subprocess.run([*install, str(peer), PEER], check=True)
    text = _learning(options, rest, peer) if options.learn else _speed(options, rest, peer)
    print(text)
    if options.learn and options.curves:
        _keep_curves(options, text)
    if options.docs:
        name = "learning-curves" if options.learn else "ppo"
        readme.put(name, f"{_command(sys.argv[1:])}\n\n{text}", file=DOCS)


def _command(words: list[str]) -> str:
    """Return how this run was called, without the names of files and folders of this machine."""
    kept, rest = [], iter(words)
    for word in rest:
        if word in ("--model", "--work", "--curves", "--title"):
            next(rest, None)
        elif word != "--docs":
            kept.append(word)
    return " ".join(["`python -m benchmarks.ppo_against_trl --model FOLDER", *kept]) + "`"


def _side(name: str, options: argparse.Namespace, rest: list[str], peer: Path | None) -> Side:
    common = ["--model", str(options.model), "--iterations", str(options.iterations), *rest]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONPATH": str(ROOT)}
    if options.allocator == "tcmalloc":
        environment |= allocator_environment(os.environ)
    if peer is None:
        return Side(name, [sys.executable, "-m", "benchmarks.peers.our_ppo", *common], environment)
    script = ROOT / "benchmarks" / "peers" / "trl_ppo.py"
    environment |= {"PYTHONPATH": str(peer), "TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1"}
    return Side(name, [sys.executable, "-W", "ignore", str(script), *common], environment)


def _speed(options: argparse.Namespace, rest: list[str], peer: Path) -> str:
    sides = [
        _side("trl 1.12, full depth", options, rest, peer),
        _side("ours, full depth", options, [*rest, "--top-layers", "0"], None),
        *(_side(f"ours, {top}", options, [*rest, *top.arguments], None)
          for top in options.top_layers),
    ]  # fmt: skip
    for number in range(options.iterations):
        for side in sides:
            side.turn()
            print(f"{number + 1}/{options.iterations} {side.name}: "
                  f"{side.reports[-1]['seconds']:.1f} s", file=sys.stderr, flush=True)  # fmt: skip
    for side in sides:
        side.end()
    theirs = sides[0]
    allocator = {"tcmalloc": "tcmalloc", "system": "the system's allocator"}[options.allocator]
    lines = [
        f"{options.iterations} iterations each, in turns; medians of all but the first. Both sides "
        f"on {allocator}.",
        "",
        "| who | s an iteration | times as fast | peak MiB | share of TRL's | weights trained |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for side in sides:
        lines.append(
            f"| {side.name} | {side.seconds:.1f} | {theirs.seconds / side.seconds:.2f} | "
            f"{side.peak_mib:.0f} | {side.peak_mib / theirs.peak_mib:.3f} | "
            f"{side.trained / 1e6:.1f} M |"
        )
    return "\n".join(lines)


def _learning(options: argparse.Namespace, rest: list[str], peer: Path) -> str:
    lines = [
        "| seed | who | mean reward of each iteration | mean of the last three |",
        "| --- | --- | --- | --- |",
    ]
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        extra = [*rest, "--learn", "--stop", "--seed", str(seed)]
        sides = [
            _side("trl 1.12", options, extra, peer),
            _side("ours, full depth", options, [*extra, "--top-layers", "0"], None),
            _side("ours, cached trunk", options,
                  [*extra, *options.top_layers[0].arguments], None),
        ]  # fmt: skip
        for _ in range(options.iterations):
            for side in sides:
                side.turn()
        for side in sides:
            side.end()
            scores = [one["score"] for one in side.reports]
            curve = " ".join(f"{score:+.2f}" for score in scores)
            lines.append(
                f"| {seed} | {side.name} | {curve} | {statistics.fmean(scores[-3:]):+.2f} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def _keep_curves(options: argparse.Namespace, text: str) -> None:
    """Add this run's curves to those of other models in `--curves`, and draw all of them."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]
    curves: dict[str, list[list[float]]] = {}
    for _, who, curve, _ in rows:
        curves.setdefault(who, []).append([float(score) for score in curve.split()])
    known = json.loads(options.curves.read_text()) if options.curves.exists() else {}
    known[options.title] = curves
    options.curves.write_text(json.dumps(known))
    panels = {
        title: {who: _mean_curve(runs) for who, runs in sides.items()}
        for title, sides in known.items()
    }
    draw(panels, PLOT, Axes(low=-1.0, high=1.0, step=0.5, guide=0.0, logarithmic=False))


def _mean_curve(runs: list[list[float]]) -> dict[int, float]:
    steps = zip(*runs, strict=True)
    return {at: statistics.fmean(scores) for at, scores in enumerate(steps, start=1)}


def _options() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ppo_against_trl",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Every other option goes to both sides; see benchmarks/peers/arguments.py.",
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of the language model")
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"), help="for trl 1.12")
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument(
        "--top-layers",
        type=TopLayers.parse,
        nargs="+",
        default=[TopLayers(8), TopLayers(12), TopLayers(12, recomputed=8)],
        metavar="N[/R]",
        help="N trained above a cached trunk, the lowest R of them recomputed for the gradient; "
        "reward curves are of the first",
    )
    parser.add_argument(
        "--allocator",
        choices=("tcmalloc", "system"),
        default="tcmalloc" if allocator_environment(os.environ) else "system",
        help="of both sides; the worker gives its trainers tcmalloc where it is installed",
    )
    parser.add_argument("--learn", action="store_true", help="compare reward curves")
    parser.add_argument("--seeds", type=int, default=3, help="of the reward curves")
    parser.add_argument("--first-seed", type=int, default=0, help="to go on where a run ended")
    parser.add_argument("--curves", type=Path, help="JSON that keeps curves, to be drawn together")
    parser.add_argument("--title", default="SmolLM2-135M", help="of these curves in the plot")
    parser.add_argument("--docs", action="store_true", help="put the table into docs")
    options, rest = parser.parse_known_args()
    if options.allocator == "tcmalloc" and not allocator_environment(os.environ):
        parser.error("tcmalloc is not installed (libtcmalloc-minimal4), or LD_PRELOAD is set")
    options.model, options.work = options.model.absolute(), options.work.absolute()
    return options, rest


if __name__ == "__main__":
    main()
