"""Step 5: hold the candidate against the policies it should beat, on held-out prompts, and gate."""

from typing import Any

from labeling.labeling_settings import labeling_settings
from labeling.work_queue.arena import human_win_rates
from reward.evaluating.evaluation import (
    BASE,
    CANDIDATE,
    FEW_SHOT,
    FIRST,
    REFERENCE,
    EvaluationReport,
    report_of,
)
from reward.evaluating.gate import LIVE, GateCheck, check_people, check_policy, refusal
from reward.evaluating.policy_figures import (
    REWARD_MODEL,
    SECOND_REWARD_MODEL,
    Evaluator,
    PolicyFigures,
    Scorer,
)
from reward.evaluating.side_by_side import side_by_side
from reward.running.runtime import LIVE as LIVE_ADAPTER
from reward.steps.baselines import few_shot_answers, first_policy_answers
from reward.steps.heldout import HeldoutPrompt, heldout_prompts
from reward.steps.outcome import StepContext, StepOutcome
from reward.steps.ppo import load_reference, load_reward
from reward.steps.task_scores import task_scores
from storage.engine import reading
from storage.tables import Policy, Project


def evaluate_candidate(context: StepContext) -> StepOutcome:
    """Sample and measure the policies on the same prompts, write the report, and gate."""
    runtime, one = context.runtime, context.round
    prompts = heldout_prompts(context)
    evaluator = Evaluator(
        runtime.backbone,
        _scorers(context),
        runtime.profile.sampling,
        runtime.profile.evaluation,
        reference=load_reference(context),
        seed=one.seed,
        batch_size=runtime.profile.generation.batch,
        generator=runtime.generator,
    )
    with reading(runtime.engine) as session:
        base = session.get_one(Policy, one.base_policy_id)
    live = runtime.load_policy(base, LIVE_ADAPTER)
    adapters = {CANDIDATE: _load_candidate(context), LIVE: live}
    compared = dict(adapters)
    measured = _measure(context, evaluator, prompts, adapters)
    adapters |= {BASE: None, REFERENCE: evaluator.reference}
    adapters |= {FIRST: None} if FIRST in measured else {}
    context.working("reading the held-out text")
    report = report_of(evaluator, measured, adapters)
    checks = [*check_policy(report, runtime.profile.gate), *_people(context, base)]
    earlier = list(one.metrics.get("gate", []))
    return StepOutcome(
        metrics={
            **comparison_metrics(report),
            **_rows(report),
            **_samples(context, prompts, report),
            **task_scores(context, compared, done=len(compared) + 1),
            "gate": earlier + [check.as_dict() for check in checks],
        },
        rejected=refusal(checks),
    )


def _people(context: StepContext, live: Policy) -> list[GateCheck]:
    """Return the check of what people think of the live policy, where a lead wants it."""
    with reading(context.runtime.engine) as session:
        # Read anew: a lead may have changed it since this process began.
        project = session.get_one(Project, context.runtime.project_id)
        if not labeling_settings(project).arena.gate:
            return []
        rates = human_win_rates(session, project_id=context.runtime.project_id)
    return check_people(rates.get(live.version))


def _measure(
    context: StepContext,
    evaluator: Evaluator,
    prompts: list[HeldoutPrompt],
    adapters: dict[str, str | None],
) -> dict[str, PolicyFigures]:
    """Measure candidate and live policy, then the baselines on the first of the prompts."""
    settings = evaluator.settings
    steps = len(adapters) + 1 + len(settings.tasks)
    measured: dict[str, PolicyFigures] = {}
    for index, (name, adapter) in enumerate(adapters.items(), start=1):
        context.working(f"sampling the {name} policy on {len(prompts)} held-out prompts")
        ids = [one.ids for one in prompts]
        measured[name] = evaluator.measure(
            ids,
            evaluator.sample(adapter, ids, settings.samples),
            adapter=adapter,
            kl=name == CANDIDATE,
            demonstrations=[one.demonstrations for one in prompts],
        )
        context.report(index, steps, {})
    fewer = prompts[: settings.baseline_prompts]
    if fewer:
        context.working(f"sampling baselines on {len(fewer)} held-out prompts")
        measured |= _baselines(context, evaluator, fewer, with_first=adapters[LIVE] is not None)
    context.report(len(adapters) + 1, steps, {})
    return measured


def _baselines(
    context: StepContext, evaluator: Evaluator, prompts: list[HeldoutPrompt], *, with_first: bool
) -> dict[str, PolicyFigures]:
    """Measure the first policy, unless it is the live one, and the few-shot model."""
    answers = {FIRST: first_policy_answers(context, evaluator, prompts)} if with_first else {}
    answers[FEW_SHOT] = few_shot_answers(context, evaluator, prompts)
    return {
        name: evaluator.measure(
            [one.ids for one in prompts],
            found,
            adapter=None,
            kl=False,
            demonstrations=[one.demonstrations for one in prompts],
        )
        for name, found in answers.items()
        if found
    }


def _scorers(context: StepContext) -> dict[str, Scorer]:
    """Load the round's reward models; rounds of older versions have one."""
    judges = {REWARD_MODEL: "reward", SECOND_REWARD_MODEL: "second_reward"}
    return {
        judge: load_reward(context, name)
        for judge, name in judges.items()
        if name in context.round.artefacts
    }


def _load_candidate(context: StepContext) -> str:
    """Load the policy that the round trained into the adapter `policy`, and return its name."""
    return context.runtime.load_checkpoint(context.round.artefacts["policy"], "policy")


def comparison_metrics(report: EvaluationReport) -> dict[str, float]:
    """Return the figures that stand on the round by name, from round to round the same."""
    candidate, live = report.candidate, report.policies[LIVE]
    metrics: dict[str, float] = {
        "reward": candidate.rewards[REWARD_MODEL].value,
        "reward_live": live.rewards[REWARD_MODEL].value,
        "tokens": candidate.tokens.value,
        "tokens_live": live.tokens.value,
        "ended": candidate.ended.value,
        "identical": candidate.identical,
        "repetition": candidate.repetition.value,
        "refusals": candidate.refusals.value,
        "distinct_2": candidate.distinct[1],
        "heldout_prompts": len(candidate.texts),
    }
    for name, judge in (("win_rate", REWARD_MODEL), ("second_win_rate", SECOND_REWARD_MODEL)):
        if (win := report.win_rate(LIVE, judge)) is not None:
            metrics |= {name: win.value, f"{name}_low": win.low, f"{name}_high": win.high}
    for name, figure in (("kl", candidate.kl), ("kl_k3", candidate.kl_k3)):
        if figure is not None:
            metrics[name] = figure.value
    if report.perplexity_ratio is not None:
        metrics["perplexity"] = report.perplexity[CANDIDATE]
        metrics["perplexity_ratio"] = report.perplexity_ratio
    return metrics


def _rows(report: EvaluationReport) -> dict[str, Any]:
    found = report.as_dict()
    return {"policies": found["policies"], "comparisons": found["comparisons"]}


def _samples(
    context: StepContext, prompts: list[HeldoutPrompt], report: EvaluationReport
) -> dict[str, list[dict[str, Any]]]:
    """Return completions side by side: the best and the worst by reward difference, and others."""
    return side_by_side(
        [one.messages for one in prompts],
        (CANDIDATE, report.candidate),
        (LIVE, report.policies[LIVE]),
        context.runtime.profile.evaluation,
    )
