"""Every tuning method on the same rankings: what it trains, what it costs, what it learns.

python -m benchmarks.tuning_methods --data rankings.jsonl       a file of rankings or pairs
python -m benchmarks.tuning_methods --home HOME --docs          a judged home; table into the docs
python -m benchmarks.tuning_methods --completions DIR           a simulated preference on what
                                                                benchmarks.simulated_rankings wrote

Each method is one run of `rankloop train reward`, in a process of its own: processor seconds and
peak memory are those of the whole command, with nothing left over from the method before. Runs of
several seeds share a line: their held-out comparisons are pooled by their mean, its interval the
widest.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import readme
from benchmarks.efficiency_data import NOISE, simulated
from benchmarks.measured_process import rankloop
from reward.tuning.method import TUNINGS

DOCS = Path(__file__).parent.parent / "docs" / "tuning.md"
HEAD = [
    "| method | trainable parameters | peak memory | processor s | held-out accuracy [95 %] |",
    "| --- | ---: | ---: | ---: | --- |",
]


def main() -> None:
    """Fit every method, and print the table."""
    options = _options()
    with TemporaryDirectory() as folder:
        data = options.data or _written(options, Path(folder))
        rows = [_fitted(method, data, Path(folder), options) for method in options.methods]
    text = "\n".join([*HEAD, *(_line(row) for row in rows if row), "", _caption(rows, options)])
    print(text)
    if options.docs:
        readme.put("tuning-methods", text, file=DOCS)


def _written(options: argparse.Namespace, folder: Path) -> Path:
    """Return a file of the rankings of a home, or of a simulated preference."""
    if options.home:
        return _exported(options.home, folder)
    found = simulated(options.completions, options.preference, options.seeds[0])
    if len(found.train) < options.rankings:
        raise SystemExit(
            f"{options.completions} has {len(found.train)} rankings by {options.preference}, not "
            f"the {options.rankings} of --rankings; let benchmarks.simulated_rankings go on."
        )
    rows = [
        {
            "messages": one.messages,
            "completions": one.completions,
            "ranks": one.ranks,
            "split": side,
        }
        for side, rankings in (("train", found.train[: options.rankings]), ("test", found.test))
        for one in rankings
    ]
    data = folder / "rankings.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return data


def _exported(home: Path, folder: Path) -> Path:
    """Write a home's preferences, of both splits, to one file."""
    out = folder / "preferences"
    _run(rankloop("export", "preferences", "--format", "trl", "--out", str(out)), home)
    rows = [(out / f"{split}.jsonl").read_text(encoding="utf-8") for split in ("train", "test")]
    data = folder / "rankings.jsonl"
    data.write_text("".join(rows), encoding="utf-8")
    return data


def _fitted(
    method: str, data: Path, folder: Path, options: argparse.Namespace
) -> dict[str, Any] | None:
    """Return a method's figures over all seeds, or None where a run failed."""
    runs = []
    for seed in options.seeds:
        out = folder / f"{method}-{seed}"
        command = rankloop("train", "reward", "--data", str(data), "--tuning", method)
        command += ["--out", str(out), "--seed", str(seed), "--json"]
        command += ["--model", options.model] if options.model else []
        for size in [*options.set, *_own_sizes(method, options.own)]:
            command += ["--set", size]
        before = _processor_seconds()
        try:
            runs.append(json.loads(_run(command, options.home)))
        except subprocess.CalledProcessError as error:
            print(f"{method}: {error.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            return None
        runs[-1]["seconds"] = _processor_seconds() - before
        print(f"{method}, seed {seed}: {runs[-1]['accuracy']:.3f}", file=sys.stderr, flush=True)
    return {
        "method": method,
        "parameters": int(runs[0]["trainable_parameters"]),
        "peak_mib": max(run["peak_memory_mb"] for run in runs),
        "seconds": fmean(run["seconds"] for run in runs),
        "accuracy": fmean(run["accuracy"] for run in runs),
        "low": min(run["accuracy_ci"][0] for run in runs),
        "high": max(run["accuracy_ci"][1] for run in runs),
        "pairs": int(runs[0]["pairs"]),
        "rankings": int(runs[0]["train_rankings"]),
    }


def _processor_seconds() -> float:
    """Return what processes that have ended took, which other work on the machine hardly moves."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _own_sizes(method: str, given: Sequence[str]) -> list[str]:
    """Return the sizes of `METHOD:SECTION.FIELD=VALUE` that are this method's."""
    split = [one.partition(":") for one in given]
    return [size for name, _, size in split if name == method]


def _run(command: Sequence[str], home: Path | None) -> str:
    environment = {**os.environ, **({"RANKLOOP_HOME": str(home)} if home else {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def _line(row: dict[str, Any]) -> str:
    return (
        f"| `{row['method']}` | {row['parameters']:,} | {row['peak_mib']:.0f} MiB "
        f"| {row['seconds']:.0f} | {row['accuracy']:.2f} [{row['low']:.2f}, {row['high']:.2f}] |"
    )


def _caption(rows: Sequence[dict[str, Any] | None], options: argparse.Namespace) -> str:
    fitted = next((row for row in rows if row), None)
    if fitted is None:
        raise SystemExit("No method could be fitted.")
    sizes = ", ".join([*options.set, *options.own]) or "the profile's"
    seeds = ", ".join(str(seed) for seed in options.seeds)
    source = (
        f"Simulated preference `{options.preference}`, {NOISE:.0%} noise, "
        if options.completions
        else ""
    )
    return (
        f"{source}{fitted['rankings']} rankings to train on, {fitted['pairs']} held-out "
        f"comparisons; seeds {seeds}; sizes: {sizes}. Peak memory is that of the whole process."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tuning_methods",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--home", type=Path, help="a judged home; its model is the setting's")
    source.add_argument("--data", type=Path, help="a file that `rankloop train reward` reads")
    source.add_argument(
        "--completions", type=Path, metavar="DIR", help="folder of benchmarks.simulated_rankings"
    )
    parser.add_argument("--preference", default="polite", help="what ranks --completions")
    parser.add_argument("--rankings", type=int, default=100, help="of them to train on")
    parser.add_argument("--model", help="folder or id (default: the setting, RANKLOOP_MODEL)")
    parser.add_argument("--methods", nargs="*", default=[*TUNINGS, "feature"], metavar="METHOD")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.FIELD=VALUE")
    parser.add_argument("--own", nargs="*", default=[], metavar="METHOD:SECTION.FIELD=VALUE")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/tuning.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
