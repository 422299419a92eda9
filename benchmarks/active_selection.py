"""Does choosing what is ranked help? Held-out accuracy against judgments, for each strategy.

    python -m benchmarks.simulated_rankings --work DIR     once, before
    python -m benchmarks.active_selection --work DIR [--plot FILE.svg]

Simulated annotators compare 2 of the 4 real completions of a prompt, and a fifth of their answers
is wrong. After every 25 judgments the feature-based reward model is fitted again, and the strategy
takes the next 25 out of 100 prompts drawn at random: which two completions, and which prompts. As
in the product a fifth of every batch is random. The first batch is random for all. The test is on
all pairs of held-out prompts, without noise. Every result is a line of DIR/active.jsonl and is not
computed again.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from benchmarks.curve_plot import draw
from benchmarks.efficiency_data import NOISE
from benchmarks.efficiency_methods import Workshop
from benchmarks.simulated_rankings import AnsweredPrompt, read_completions, true_ranks
from labeling.simulated.preferences import Preference, load_preference
from labeling.simulated.simulation import noisy_ranks
from reward.evaluating.intervals import bootstrap_mean
from reward.generation.selection import (
    cosine_distances,
    expected_information,
    mean_pair_value,
    most_spread,
    most_valuable,
    pair_disagreement,
    pair_probabilities,
)
from reward.language_models.sentence_encoder import TextEncoder
from reward.reward_modeling.feature_model import FeatureRewardModel
from reward.reward_modeling.text_rankings import TextRanking
from storage.errors import BadInput
from storage.settings import EMBEDDED_MODEL

RESULTS = "active.jsonl"
BY_REWARD_MODEL = ("uncertainty", "information")
STRATEGIES = ("random", *BY_REWARD_MODEL, "diversity")
PREFERENCES = ("shorter", "question", "polite")
SIZES = (25, 50, 100, 200)
BATCH = 25
OFFERED = 100  # prompts that a batch is taken from
RANDOM_SLICE = 0.2
SHOWN = 2
SEEDS = 5


@dataclass(frozen=True)
class Picked:
    """A prompt, the positions of it that are shown, and what the strategy thinks they are worth."""

    prompt: AnsweredPrompt
    chosen: list[int]
    value: float


def main() -> None:
    """Measure what is not measured yet; print the tables."""
    options = _options()
    workshop = Workshop(options.work, options.model)
    file = options.work / RESULTS
    known = {(row["preference"], row["strategy"], row["seed"]) for row in read_results(file)}
    for seed in options.seeds:
        for name in options.preferences:
            for strategy in STRATEGIES:
                if (name, strategy, seed) not in known:
                    rows = run(options.work, workshop.encoder, name, strategy, seed)
                    with file.open("a") as stream:
                        stream.write("".join(json.dumps(row) + "\n" for row in rows))
                    last = rows[-1]["accuracy"]
                    print(f"{name}, {strategy}, seed {seed}: {last:.3f}", flush=True)
    rows = read_results(file)
    print(table(rows))
    print(differences(rows))
    if options.plot:
        draw(curves(rows), options.plot)


def run(
    work: Path, encoder: TextEncoder, name: str, strategy: str, seed: int
) -> list[dict[str, Any]]:
    """Collect judgments by one strategy; return a row for each of `SIZES`."""
    preference = load_preference(name)
    answered = read_completions(work)
    test = [_clean(one, preference) for one in answered if one.heldout]
    left = [one for one in answered if not one.heldout]
    # The same for every strategy: what differs is the choice alone.
    random = numpy.random.default_rng(seed)
    judged: list[TextRanking] = []
    model: FeatureRewardModel | None = None
    rows = []
    while len(judged) < max(SIZES):
        picked = next_batch(left, strategy if model else "random", model, encoder, random)
        taken = {one.prompt.group for one in picked}
        left = [one for one in left if one.group not in taken]
        judged += [_judged(one, preference, seed) for one in picked]
        if len(judged) in SIZES or strategy in BY_REWARD_MODEL:
            model = _fitted(judged, encoder, seed)
        if len(judged) in SIZES:
            rows.append(
                {
                    "preference": name,
                    "strategy": strategy,
                    "seed": seed,
                    "judgments": len(judged),
                    "accuracy": _accuracy(model, test),
                    "ties": sum(not one.pairs for one in judged),
                }
            )
    return rows


def next_batch(
    left: Sequence[AnsweredPrompt],
    strategy: str,
    model: FeatureRewardModel | None,
    encoder: TextEncoder,
    random: numpy.random.Generator,
) -> list[Picked]:
    """Return `BATCH` prompts of those left with the completions shown, a fifth of them random."""
    offered = [left[i] for i in random.permutation(len(left))[:OFFERED]]
    by_chance = [
        Picked(one, sorted(random.permutation(len(one.completions))[:SHOWN].tolist()), 0.0)
        for one in offered
    ]
    slice_size = BATCH if strategy == "random" else round(BATCH * RANDOM_SLICE)
    kept, others = by_chance[:slice_size], offered[slice_size:]
    if strategy == "random":
        return kept
    valued = [_valued(one, strategy, model, encoder) for one in others]
    valued.sort(key=lambda one: -one.value)
    return kept + valued[: BATCH - slice_size]


def _valued(
    prompt: AnsweredPrompt,
    strategy: str,
    model: FeatureRewardModel | None,
    encoder: TextEncoder,
) -> Picked:
    if strategy == "diversity":
        values = cosine_distances(encoder.encode(prompt.completions))
        chosen = most_spread(values, SHOWN)
    else:
        assert model is not None
        texts = prompt.completions
        raw = model.raw_scores([prompt.messages] * len(texts), texts)
        if strategy == "uncertainty":
            values = pair_disagreement(model.normalised(raw).double().numpy())
        else:
            values = expected_information(pair_probabilities(raw, model.choice.flips))
        chosen = most_valuable(values, SHOWN)
    return Picked(prompt, chosen, mean_pair_value(values, chosen))


def _judged(picked: Picked, preference: Preference, seed: int) -> TextRanking:
    """Return what the annotator says: a fifth of the answers wrong, the same coin for everyone."""
    prompt = picked.prompt
    texts = [prompt.completions[position] for position in picked.chosen]
    scores = [preference(prompt.messages, text) for text in texts]
    coin = numpy.random.default_rng((seed, prompt.group, *picked.chosen))
    return TextRanking(prompt.messages, texts, noisy_ranks(scores, NOISE, coin), prompt.group)


def _clean(prompt: AnsweredPrompt, preference: Preference) -> TextRanking:
    ranks = true_ranks(prompt, preference)
    return TextRanking(prompt.messages, prompt.completions, ranks, prompt.group)


def _fitted(
    judged: Sequence[TextRanking], encoder: TextEncoder, seed: int
) -> FeatureRewardModel | None:
    try:
        return FeatureRewardModel.fit(judged, seed=seed, encoder=encoder)
    except BadInput:  # All of them are ties.
        return None


def _accuracy(model: FeatureRewardModel | None, test: Sequence[TextRanking]) -> float:
    """Return the share of held-out pairs in the right order; a tie of scores counts half."""
    if model is None:
        return 0.5
    outcomes = [
        [1.0 if m > 0 else 0.5 if m == 0 else 0.0 for m in margins]
        for margins in model.pair_margins(test)
    ]
    return bootstrap_mean(outcomes).value


def read_results(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a results file, none where there is no file."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


def table(rows: list[dict[str, Any]]) -> str:
    """Return mean accuracy ± the seeds' standard deviation, and ties among the judgments."""
    head = " | ".join(map(str, SIZES))
    lines = [f"| preference | strategy | {head} | ties of {max(SIZES)} |"]
    lines.append("|" + " --- |" * (len(SIZES) + 3))
    for preference in dict.fromkeys(row["preference"] for row in rows):
        for strategy in STRATEGIES:
            found = _of(rows, preference, strategy)
            cells = []
            for size in SIZES:
                values = [row["accuracy"] for row in found if row["judgments"] == size]
                cells.append(f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}")
            ties = statistics.fmean(r["ties"] for r in found if r["judgments"] == max(SIZES))
            lines.append(f"| {preference} | {strategy} | {' | '.join(cells)} | {ties:.0f} |")
    return "\n".join(lines)


def differences(rows: list[dict[str, Any]]) -> str:
    """Return each strategy's accuracy less random's on the same seed, with a 95 % t interval."""
    lines = [f"| preference | strategy | {' | '.join(map(str, SIZES[1:]))} |"]
    lines.append("|" + " --- |" * (len(SIZES) + 1))
    for preference in dict.fromkeys(row["preference"] for row in rows):
        chance = {(r["seed"], r["judgments"]): r for r in _of(rows, preference, "random")}
        for strategy in STRATEGIES[1:]:
            cells = []
            for size in SIZES[1:]:
                gains = [
                    row["accuracy"] - chance[row["seed"], size]["accuracy"]
                    for row in _of(rows, preference, strategy)
                    if row["judgments"] == size
                ]
                cells.append(_interval(gains))
            lines.append(f"| {preference} | {strategy} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(gains: Sequence[float]) -> str:
    from scipy.stats import t

    mean, error = statistics.fmean(gains), statistics.stdev(gains) / len(gains) ** 0.5
    half = float(t.ppf(0.975, len(gains) - 1)) * error
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def curves(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[int, float]]]:
    """Return preference → strategy → judgments → mean accuracy."""
    return {
        preference: {
            strategy: {
                size: statistics.fmean(
                    row["accuracy"]
                    for row in _of(rows, preference, strategy)
                    if row["judgments"] == size
                )
                for size in SIZES
            }
            for strategy in STRATEGIES
        }
        for preference in dict.fromkeys(row["preference"] for row in rows)
    }


def _of(rows: list[dict[str, Any]], preference: str, strategy: str) -> list[dict[str, Any]]:
    return [r for r in rows if (r["preference"], r["strategy"]) == (preference, strategy)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.active_selection",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, required=True, help="where the completions lie")
    parser.add_argument("--model", default=EMBEDDED_MODEL, help="folder of the backbone")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(SEEDS)))
    parser.add_argument("--preferences", nargs="*", default=list(PREFERENCES))
    parser.add_argument("--plot", type=Path, help="draw the curves to this SVG file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
