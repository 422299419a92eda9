"""Label errors planted among rankings, and how many of them the list of likely errors finds.

    python -m benchmarks.label_errors --work DIR [--real FILE]

`--work` is the folder of `benchmarks.simulated_rankings`, whose completions are ranked by
programmatic preferences; `--real` is a gzip file of people's pairs (`prompt` messages, `chosen`,
`rejected`, `split`), whose own errors are unknown, so that precision there is a lower bound. A
tenth of the rankings is turned upside down. Reward models on sentence embeddings are cross-fitted
by prompt, and every pair is asked of the one that was not fitted to it; pairs are listed by
`labeling.statistics.label_errors`, least probable first. Chance is the share of planted pairs.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy
import pandas

from benchmarks import readme
from benchmarks.efficiency_data import Ranked, helpful_pairs
from benchmarks.efficiency_methods import Workshop
from benchmarks.simulated_rankings import read_completions, true_ranks
from labeling.judging.rankings import pairs_of
from labeling.simulated.preferences import load_preference
from labeling.statistics.label_errors import by_doubt
from storage.settings import EMBEDDED_MODEL

DOCS = Path(__file__).parent.parent / "docs" / "agreement.md"
FOLDS = 5
PLACES = (10, 50, 100, 200)


@dataclass(frozen=True)
class Found:
    """What the list holds of the planted pairs: precision and recall at each of `PLACES`."""

    name: str
    rankings: int
    pairs: int
    planted: int
    precision: list[float]
    recall: list[float]


def main() -> None:
    """Measure every preference, print the table, and put it into the documentation if wanted."""
    options = _options()
    workshop = Workshop(options.work, EMBEDDED_MODEL)
    answered = [one for one in read_completions(options.work) if not one.heldout]
    results = []
    for name in options.preferences:
        score = load_preference(name)
        rankings = [
            Ranked(one.messages, one.completions, one.ended, true_ranks(one, score), one.group)
            for one in answered
        ]
        results.append(_mean(name, rankings, workshop, options))
    if options.real is not None:
        data = helpful_pairs(options.real, 0)
        results.append(_mean("people (HH helpful)", [*data.train], workshop, options))
    text = _table(results)
    print(text)
    if options.write:
        readme.put("label-errors", text, file=DOCS)


def find(
    rankings: Sequence[Ranked], share: float, workshop: Workshop, method: str, seed: int, name: str
) -> Found:
    """Plant errors, cross-fit, list, and count what of them stands on top."""
    rng = numpy.random.default_rng(seed)
    kept = [one for one in rankings if pairs_of(one.ranks)]
    turned = rng.random(len(kept)) < share
    labeled = [_turned(one) if wrong else one for one, wrong in zip(kept, turned, strict=True)]
    pairs = by_doubt(_unseen(labeled, workshop, method, seed))
    planted = turned[pairs["ranking"].to_numpy()]
    hits = numpy.cumsum(planted)
    return Found(
        name=name,
        rankings=len(kept),
        pairs=len(pairs),
        planted=int(planted.sum()),
        precision=[float(hits[place - 1] / place) for place in PLACES],
        recall=[float(hits[place - 1] / planted.sum()) for place in PLACES],
    )


def _unseen(
    labeled: Sequence[Ranked], workshop: Workshop, method: str, seed: int
) -> pandas.DataFrame:
    """Return ranking, better, worse and probability of every pair, out of fold."""
    fit = workshop.method(method)
    folds = numpy.array([one.group for one in labeled])
    _, folds = numpy.unique(folds, return_inverse=True)
    rows = []
    for fold in range(FOLDS):
        test = numpy.flatnonzero(folds % FOLDS == fold).tolist()
        train = [one for one, at in zip(labeled, folds, strict=True) if at % FOLDS != fold]
        margins, _ = fit(train, [labeled[place] for place in test], seed)
        for place, found in zip(test, margins, strict=True):
            said = pairs_of(labeled[place].ranks)
            rows += [
                (int(place), better, worse, 1.0 / (1.0 + numpy.exp(-margin)))
                for (better, worse), margin in zip(said, found, strict=True)
            ]
    table = pandas.DataFrame(rows, columns=["judgment_id", "better", "worse", "probability"])
    return table.assign(ranking=table["judgment_id"])


def _turned(one: Ranked) -> Ranked:
    last = max(one.ranks)
    return replace(one, ranks=[last + 1 - rank for rank in one.ranks])


def _mean(
    name: str, rankings: Sequence[Ranked], workshop: Workshop, options: argparse.Namespace
) -> Found:
    found = [
        find(rankings, options.share, workshop, options.method, seed, name)
        for seed in range(options.seeds)
    ]
    first = found[0]
    return replace(
        first,
        planted=round(float(numpy.mean([one.planted for one in found]))),
        precision=numpy.mean([one.precision for one in found], axis=0).tolist(),
        recall=numpy.mean([one.recall for one in found], axis=0).tolist(),
    )


def _table(results: Sequence[Found]) -> str:
    head = ["preference", "rankings", "pairs", "planted", "chance"]
    head += [f"precision@{place}" for place in PLACES] + [f"recall@{place}" for place in PLACES]
    rows = [
        [one.name, f"{one.rankings:,}", f"{one.pairs:,}", f"{one.planted:,}",
         f"{one.planted / one.pairs:.0%}", *(f"{value:.0%}" for value in one.precision),
         *(f"{value:.0%}" for value in one.recall)]
        for one in results
    ]  # fmt: skip
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.label_errors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of completions.jsonl")
    parser.add_argument("--real", type=Path, help="people's pairs, .jsonl.gz")
    parser.add_argument("--preferences", nargs="*", default=["shorter", "question", "polite"])
    parser.add_argument("--share", type=float, default=0.1, help="share of rankings turned round")
    parser.add_argument("--method", default="feature", help="of benchmarks.efficiency_methods")
    parser.add_argument("--seeds", type=int, default=3, help="times that errors are planted")
    parser.add_argument("--write", action="store_true", help="put the table into docs/agreement.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
