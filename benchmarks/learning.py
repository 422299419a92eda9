"""Does the loop learn? Simulated annotators, real rounds on the embedded model, held-out truth.

For each hidden preference: a fresh home; rounds of `rankloop simulate` and `rankloop worker
--once`, the commands that a person would type; then every published policy answers held-out
prompts, with the same seed, and the hidden preference itself scores the answers. The reward model
of each round is held against the preference's clean order of completions of held-out prompts. A
preference that nothing can learn (a hash of the text) must be stopped by the gate.

    python -m benchmarks.learning --home /tmp/learning --readme

An hour on 2 cores. Interrupted, it goes on where it was: finished rounds are kept in `--home`.
"""

import argparse
import itertools
import json
import os
import random
import statistics
from pathlib import Path
from typing import Any

from sqlmodel import select

from benchmarks import readme
from benchmarks.measured_process import Measured, rankloop, run_measured
from labeling.judging.rankings import dense_ranks
from labeling.rounds import round_summaries
from labeling.simulated.preferences import load_preference
from reward.evaluating.intervals import bootstrap_mean
from reward.generation.conversations import answer_ids, answer_text, prompt_ids
from reward.generation.pool import answer_prompts
from reward.generation.sampling import sample
from reward.language_models.padding import answered_batch
from reward.reward_modeling.reward_model import RewardModel
from reward.running.runtime import LIVE, Runtime
from reward.steps.snapshot import end_token
from storage.blobs import local_path
from storage.engine import build_engine, reading
from storage.settings import Settings, load_settings
from storage.tables import Policy, Prompt, Round, RoundState, Split

JUDGMENTS = 50


def main() -> None:
    """Run every preference and print the tables."""
    options = _options()
    report = []
    for given in options.preferences:
        preference, _, noise = given.partition("@")
        home = options.home / preference.replace(":", "-")
        report.append(_measure(preference, float(noise or 0), home, options.rounds, options))
        (options.home / "learning.json").write_text(json.dumps(report, indent=2))
    if options.control:
        report.append(_measure("random", 0.0, options.home / "random", 1, options))
        (options.home / "learning.json").write_text(json.dumps(report, indent=2))
    text = tables(report, options)
    print(text)
    if options.readme:
        readme.put("learning", text)


def _measure(
    preference: str, noise: float, home: Path, rounds: int, options: argparse.Namespace
) -> dict[str, Any]:
    environment = {**os.environ, "RANKLOOP_HOME": str(home), "RANKLOOP_SEED": str(options.seed)}
    settings = load_settings(home=home, seed=options.seed)
    _must(run_measured(rankloop("init"), environment))
    costs = []
    for number in range(1, rounds + 1):
        if _ended_rounds(settings) >= number:
            continue
        simulate = rankloop(
            *("simulate", "--annotators", "3", "--judgments", str(JUDGMENTS)),
            *("--noise", str(noise), "--preference", preference),
            *("--seed", str(options.seed + number)),
        )
        _must(run_measured(simulate, environment))
        costs.append(_must(run_measured(rankloop("worker", "--once"), environment)))
    return {
        "preference": f"`{preference}`, {noise:.0%} noise",
        "rounds": _rounds(settings),
        "policies": _policies(settings, preference, options),
        "reward_models": _reward_models(settings, preference),
        "worker_peak_mib": max((cost.peak_mib for cost in costs), default=None),
    }


def _must(measured: Measured) -> Measured:
    if measured.code != 0:
        raise SystemExit(f"A command ended with exit code {measured.code}.")
    return measured


def _ended_rounds(settings: Settings) -> int:
    return sum(RoundState(one["state"]).ended for one in _rounds(settings))


def _rounds(settings: Settings) -> list[dict[str, Any]]:
    engine = build_engine(settings.url)
    runtime = Runtime(engine, settings)
    with reading(engine) as session:
        found = round_summaries(session, project_id=runtime.project_id)
    kept = ("number", "state", "reason", "judgments", "policy_version", "seconds", "metrics")
    rounds = [{name: one[name] for name in kept} for one in found]
    for one in rounds:
        for texts in ("samples", "best_samples", "worst_samples"):
            one["metrics"].pop(texts, None)
    return sorted(rounds, key=lambda one: one["number"])


def _heldout(runtime: Runtime, count: int) -> list[Prompt]:
    with reading(runtime.engine) as session:
        prompts = list(
            session.exec(
                select(Prompt)
                .where(Prompt.project_id == runtime.project_id, Prompt.split == Split.HELDOUT)
                .order_by(Prompt.id)  # type: ignore[arg-type]
            )
        )
    limit = runtime.profile.ppo.max_prompt_tokens
    fitting = [p for p in prompts if len(_ids(runtime, p)) <= limit]
    # Not the order in which rounds draw theirs.
    random.Random("benchmark").shuffle(fitting)
    return fitting[:count]


def _ids(runtime: Runtime, prompt: Prompt) -> list[int]:
    return prompt_ids(runtime.backbone.tokenizer, prompt.messages, runtime.project.system_prompt)


def _policies(
    settings: Settings, preference: str, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Score every policy's answers to the same held-out prompts by the hidden preference."""
    runtime, score = Runtime(build_engine(settings.url), settings), load_preference(preference)
    prompts = _heldout(runtime, options.prompts)
    with reading(runtime.engine) as session:
        policies = session.exec(select(Policy).order_by(Policy.version)).all()  # type: ignore[arg-type]
    rows, first = [], None
    for policy in policies:
        adapter = runtime.load_policy(policy, LIVE)
        samples = sample(
            runtime.backbone,
            adapter,
            [_ids(runtime, prompt) for prompt in prompts],
            runtime.profile.sampling,
            seed=7,
            batch_size=runtime.profile.generation.batch,
        )
        tokenizer, ends = runtime.backbone.tokenizer, runtime.backbone.end_tokens
        texts = [answer_text(tokenizer, one.ids, ends) for one in samples]
        scores = [score(p.messages, text) for p, text in zip(prompts, texts, strict=True)]
        first = first or scores
        gain = bootstrap_mean([[a - b] for a, b in zip(scores, first, strict=True)])
        rows.append(
            {
                "version": policy.version,
                "preference_mean": statistics.fmean(scores),
                "gain": gain.value,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "words": statistics.fmean(len(text.split()) for text in texts),
                "ended": statistics.fmean(one.ended for one in samples),
                "examples": texts[:3],
            }
        )
    return rows


def _reward_models(settings: Settings, preference: str) -> list[dict[str, Any]]:
    """Hold each round's reward model against the clean order of held-out completions."""
    runtime, score = Runtime(build_engine(settings.url), settings), load_preference(preference)
    prompts = _heldout(runtime, 40)
    completions = answer_prompts(runtime, None, prompts, seed=11)
    with reading(runtime.engine) as session:
        rounds = session.exec(select(Round).order_by(Round.number)).all()  # type: ignore[arg-type]
    rows = []
    for one in rounds:
        if "reward" not in one.artefacts:
            continue
        model = RewardModel.load(
            runtime.backbone, local_path(runtime.home, one.artefacts["reward"])
        )
        outcomes = [
            _outcomes(runtime, model, prompt, found, score)
            for prompt, found in zip(prompts, completions, strict=True)
        ]
        clean = bootstrap_mean(outcomes)
        rows.append(
            {
                "round": one.number,
                "clean_accuracy": clean.value,
                "low": clean.low,
                "high": clean.high,
                "pairs": clean.values,
            }
        )
    return rows


def _outcomes(runtime: Runtime, model: RewardModel, prompt: Prompt, found, score) -> list[float]:  # type: ignore[no-untyped-def]
    ids, end = _ids(runtime, prompt), end_token(runtime.backbone)
    answers = [
        answer_ids(
            runtime.backbone.tokenizer, c.text, ended=c.finish_reason == "stop", end_token=end
        )
        for c in found
    ]
    batch = answered_batch([ids] * len(answers), answers, runtime.device)
    scores = model.score(runtime.backbone.trunk(batch.ids), batch).tolist()
    truth = dense_ranks([-score(prompt.messages, c.text) for c in found])
    outcomes = []
    for a, b in itertools.combinations(range(len(found)), 2):
        if truth[a] != truth[b]:
            margin = (scores[a] - scores[b]) * (truth[b] - truth[a])
            outcomes.append(1.0 if margin > 0 else 0.5 if margin == 0 else 0.0)
    return outcomes


def tables(report: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """Return the report as Markdown."""
    lines = [
        f"Seed {options.seed}, {JUDGMENTS} judgments a round by 3 simulated annotators; noise is "
        f"the share of pair labels that is flipped; {options.prompts} held-out prompts.",
        "",
        "| preference | policy version | hidden preference, mean on held-out prompts | gain over "
        "version 1 [95 %] | words | ended by itself |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in report:
        for row in one["policies"]:
            gain = f"{row['gain']:+.2f} [{row['gain_low']:+.2f}, {row['gain_high']:+.2f}]"
            lines.append(
                f"| {one['preference']} | {row['version']} | {row['preference_mean']:.2f} | "
                f"{gain if row['version'] > 1 else '–'} | {row['words']:.1f} | "
                f"{row['ended']:.0%} |"
            )
    lines += [
        "",
        "| preference | round | ended | reward model: clean held-out pairs right [95 %] | "
        "cross-fitted, on noisy labels [95 %] | win rate by it [95 %] | KL |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in report:
        clean = {row["round"]: row for row in one["reward_models"]}
        for row in one["rounds"]:
            lines.append(_round_line(one["preference"], row, clean.get(row["number"])))
    peaks = [one["worker_peak_mib"] for one in report if one["worker_peak_mib"]]
    if peaks:
        lines += ["", f"Peak memory of the worker's processes together: {max(peaks):.0f} MiB."]
    return "\n".join(lines)


def _round_line(preference: str, row: dict[str, Any], clean: dict[str, Any] | None) -> str:
    metrics = row["metrics"]

    def interval(name: str) -> str:
        if name not in metrics:
            return "–"
        return f"{metrics[name]:.2f} [{metrics[f'{name}_low']:.2f}, {metrics[f'{name}_high']:.2f}]"

    truth = "–"
    if clean is not None:
        truth = f"{clean['clean_accuracy']:.2f} [{clean['low']:.2f}, {clean['high']:.2f}]"
    kl = f"{metrics['kl']:.1f}" if "kl" in metrics else "–"
    return (
        f"| {preference} | {row['number']} | {row['state']} | {truth} | "
        f"{interval('reward_accuracy')} | {interval('win_rate')} | {kl} |"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--home", type=Path, required=True, help="folder for the projects")
    parser.add_argument(
        "--preferences",
        nargs="*",
        default=["shorter@0.1", "personal@0.1"],
        metavar="NAME@NOISE",
        help="hidden preferences, with the share of pair labels that is flipped",
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--prompts", type=int, default=96)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--readme", action="store_true", help="put the tables into the README")
    options = parser.parse_args()
    options.home = options.home.absolute()
    return options


if __name__ == "__main__":
    main()
