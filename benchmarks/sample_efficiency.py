"""How much a reward model learns from how many rankings: held-out accuracy against their number.

    python -m benchmarks.simulated_rankings --work DIR     once, before
    python -m benchmarks.sample_efficiency --work DIR [--methods …] [--hh FILE] [--oasst FILE]

Rankings of K = 4 real completions with 20 % of the pairs turned round train; rankings of held-out
prompts without noise test. Every result is a line of DIR/results.jsonl and is not computed again.
Ends with a table in Markdown; `--plot FILE.svg` draws it.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.curve_plot import draw
from benchmarks.efficiency_data import Dataset, assistant_rankings, helpful_pairs, simulated
from benchmarks.efficiency_methods import CHEAP, TRAINED, Workshop
from reward.evaluating.intervals import bootstrap_mean
from storage.settings import EMBEDDED_MODEL

RESULTS = "results.jsonl"
SEEDS = 3
SIZES = [25, 50, 100, 200, 400, 800]
# Easy: every pair differs, and every text shows it. Middling: one bit, and most pairs are ties,
# whose noise outweighs the signal. Hard: as rare, and spread over a dozen words.
PREFERENCES = ["shorter", "question", "polite"]


def main() -> None:
    """Measure what is not measured yet; print the table."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    workshop = Workshop(options.work, options.model)
    file = options.work / RESULTS
    known = {_key(row) for row in read_results(file)}
    for data, method, size, seed in _plan(options):
        row = {"dataset": data.name, "method": method, "size": size, "seed": seed}
        if _key(row) in known:
            continue
        row |= measure(workshop, data, method, size, seed)
        with file.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        print(f"{data.name}, {method}, {size}, seed {seed}: {row['accuracy']:.3f}", flush=True)
    rows = read_results(file)
    print(table(rows))
    if options.plot:
        draw(curves(rows, options.drawn or None), options.plot)


def measure(workshop: Workshop, data: Dataset, method: str, size: int, seed: int) -> dict[str, Any]:
    """Fit `method` to the first `size` rankings; return its accuracy on the test's pairs."""
    began = time.perf_counter()
    margins, fit_seconds = workshop.method(method)(data.train[:size], data.test, seed)
    outcomes = [[1.0 if m > 0 else 0.5 if m == 0 else 0.0 for m in one] for one in margins]
    found = bootstrap_mean(outcomes)
    return {
        "accuracy": found.value,
        "low": found.low,
        "high": found.high,
        "pairs": found.values,
        "rankings": len(data.train),
        "fit_seconds": fit_seconds,
        "seconds": time.perf_counter() - began,
    }


def read_results(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a results file, none where there is no file."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


def table(rows: list[dict[str, Any]]) -> str:
    """Return mean accuracy over seeds, and half the range of the seeds, for each size.

    All rankings of a data set, where that is no size of `SIZES`, stand in a column of their own; by
    the noise of a seed some are all ties, so their number may differ from seed to seed.
    """
    sizes = sorted({row["size"] for row in rows if not _is_whole(row)})
    lines = [
        f"| learned from | method | {' | '.join(map(str, sizes))} | all | processor seconds, "
        "largest fit |",
        "|" + " --- |" * (len(sizes) + 4),
    ]
    for (dataset, method), found in _grouped(rows):
        whole = [row for row in found if _is_whole(row)]
        part = [row for row in found if not _is_whole(row)]
        cells = [_cell([row for row in part if row["size"] == size]) for size in sizes]
        counts = sorted({row["size"] for row in whole})
        known = "–".join(map(str, counts[:: len(counts) - 1 or 1]))
        cells.append(f"{_cell(whole)} ({known})" if whole else "–")
        most = max(row["size"] for row in found)
        largest = whole or [row for row in found if row["size"] == most]
        seconds = statistics.median(row["fit_seconds"] for row in largest)
        lines.append(f"| {dataset} | {method} | {' | '.join(cells)} | {seconds:.1f} |")
    return "\n".join(lines)


def _is_whole(row: dict[str, Any]) -> bool:
    return bool(row["size"] not in SIZES and row["size"] == row["rankings"])


def _cell(rows: list[dict[str, Any]]) -> str:
    """Return mean and half range of one cell; the number of seeds where it is not three."""
    values = [row["accuracy"] for row in rows]
    if not values:
        return "–"
    seeds = "" if len(values) == SEEDS else f" [{len(values)} seeds]"
    return f"{statistics.fmean(values):.2f} ± {(max(values) - min(values)) / 2:.2f}{seeds}"


def curves(
    rows: list[dict[str, Any]], methods: list[str] | None
) -> dict[str, dict[str, dict[int, float]]]:
    """Return data set → method → size → mean accuracy, of `methods` (None: all).

    All rankings of a data set are left out, where that is no size of `SIZES`: their number differs
    from seed to seed.
    """
    panels: dict[str, dict[str, dict[int, float]]] = {}
    for (dataset, method), found in _grouped(rows):
        if methods is None or method in methods:
            sizes = sorted({row["size"] for row in found if not _is_whole(row)})
            panels.setdefault(dataset, {})[method] = {
                size: statistics.fmean(r["accuracy"] for r in found if r["size"] == size)
                for size in sizes
            }
    return panels


def _grouped(
    rows: list[dict[str, Any]],
) -> Iterator[tuple[tuple[str, str], list[dict[str, Any]]]]:
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    known = [*CHEAP, *TRAINED]
    methods = sorted({row["method"] for row in rows}, key=known.index)
    for dataset in datasets:
        for method in methods:
            found = [r for r in rows if (r["dataset"], r["method"]) == (dataset, method)]
            if found:
                yield (dataset, method), found


def _plan(options: argparse.Namespace) -> Iterator[tuple[Dataset, str, int, int]]:
    """Give every fit that is wanted; a size that a data set does not have is left out."""
    for seed in options.seeds:
        found = [simulated(options.work, name, seed) for name in options.preferences]
        if options.hh:
            found.append(helpful_pairs(options.hh, seed))
        if options.oasst:
            found.append(assistant_rankings(options.oasst, seed))
        for data in found:
            # With all there is, where that is less than the next size.
            whole = len(data.train)
            sizes = [size for size in options.sizes if size <= whole]
            if whole < max(options.sizes) and options.all:
                sizes.append(whole)
            for method in options.methods:
                for size in sizes:
                    yield data, method, size, seed


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("dataset", "method", "size", "seed"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sample_efficiency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    listed = ", ".join(repr(name) for name in (*CHEAP, *TRAINED))
    parser.add_argument(
        "--work", type=Path, required=True, help="where completions and results lie"
    )
    parser.add_argument("--model", default=EMBEDDED_MODEL, help="folder of the backbone")
    parser.add_argument("--methods", nargs="+", default=list(CHEAP), help=f"of {listed}")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="rankings")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(SEEDS)))
    parser.add_argument("--preferences", nargs="*", default=PREFERENCES)
    parser.add_argument("--hh", type=Path, help="HH-RLHF pairs, .jsonl.gz")
    parser.add_argument("--oasst", type=Path, help="Open-Assistant's ranked sets, .jsonl.gz")
    parser.add_argument("--all", action="store_true", help="also all rankings of a small data set")
    parser.add_argument("--plot", type=Path, help="draw the curves to this SVG file")
    parser.add_argument("--drawn", nargs="*", default=[], help="methods that are drawn")
    return parser.parse_args()


if __name__ == "__main__":
    main()
