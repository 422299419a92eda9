"""Step 5: compare the candidate with the policy it would replace, on held-out prompts, and gate."""

import random
from typing import Any

from reward.evaluation import PolicyComparison, PolicyFigures, compare_policies, measure_policy
from reward.gate import check_policy, refusal
from reward.runtime import LIVE
from reward.steps.outcome import StepContext, StepOutcome
from reward.steps.ppo import load_reward
from reward.steps.prompts import policy_prompts
from storage.blobs import local_path, verify
from storage.engine import reading
from storage.tables import Policy, Split

SHOWN_SAMPLES = 8


def evaluate_candidate(context: StepContext) -> StepOutcome:
    """Sample both policies on the same prompts with the same seed, score them, and gate."""
    runtime, one = context.runtime, context.round
    profile = runtime.profile
    reward = load_reward(context)
    prompts = policy_prompts(runtime, Split.HELDOUT)
    random.Random(one.seed).shuffle(prompts)
    prompts = prompts[: profile.evaluation.prompts]
    uri = one.artefacts["policy"]
    verify(runtime.home, uri)
    runtime.backbone.load_adapter("policy", local_path(runtime.home, uri))
    with reading(runtime.engine) as session:
        base = session.get_one(Policy, one.base_policy_id)
    measured: list[PolicyFigures] = []
    for index, (name, adapter) in enumerate(
        (("candidate", "policy"), ("live", runtime.load_policy(base, LIVE))), start=1
    ):
        context.working(f"sampling the {name} policy on {len(prompts)} held-out prompts")
        measured.append(
            measure_policy(
                runtime.backbone,
                adapter,
                reward,
                prompts,
                profile.sampling,
                profile.evaluation,
                seed=one.seed,
                batch_size=profile.generation.batch,
            )
        )
        context.report(index, 2, {})
    comparison = compare_policies(measured[0], measured[1], seed=one.seed)
    checks = check_policy(comparison, profile.gate)
    earlier = list(one.metrics.get("gate", []))
    return StepOutcome(
        metrics={
            **comparison_metrics(comparison),
            "samples": _samples(context, prompts, comparison),
            "gate": earlier + [check.as_dict() for check in checks],
        },
        rejected=refusal(checks),
    )


def comparison_metrics(comparison: PolicyComparison) -> dict[str, float]:
    """Return the comparison's figures, flat, as the round stores them."""
    candidate, live, win = comparison.candidate, comparison.live, comparison.win_rate
    return {
        "win_rate": win.value,
        "win_rate_low": win.low,
        "win_rate_high": win.high,
        "reward": candidate.reward,
        "reward_live": live.reward,
        "kl": candidate.kl,
        "tokens": candidate.tokens,
        "tokens_live": live.tokens,
        "ended": candidate.ended,
        "identical": candidate.identical,
        "heldout_prompts": win.clusters,
    }


def _samples(
    context: StepContext, prompts: list[list[int]], comparison: PolicyComparison
) -> list[dict[str, Any]]:
    tokenizer = context.runtime.backbone.tokenizer
    return [
        {
            "prompt": tokenizer.decode(prompts[index], skip_special_tokens=True),
            "candidate": comparison.candidate.texts[index][0],
            "live": comparison.live.texts[index][0],
        }
        for index in range(min(SHOWN_SAMPLES, len(prompts)))
    ]
