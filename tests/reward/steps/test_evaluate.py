"""The evaluation step: its report, the prompts it takes, and the baselines that it keeps."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlmodel import select

from labeling.judging.demonstrations import add_demonstration
from labeling.keys import key_of
from reward.evaluating.harness import run_tasks
from reward.evaluating.policy_figures import EvaluationSettings, Evaluator
from reward.generation.conversations import prompt_ids
from reward.generation.sampling import Sample, SamplingSettings
from reward.reward_modeling.reward_model import RewardModel
from reward.running.lease import LeaseLost
from reward.running.rounds import finite
from reward.running.runtime import Runtime
from reward.steps import task_scores
from reward.steps.baselines import FOLDER, few_shot_answers, first_policy_answers
from reward.steps.evaluate import evaluate_candidate
from reward.steps.heldout import heldout_prompts
from reward.steps.outcome import StepContext
from reward.steps.snapshot import take_snapshot
from storage.blobs import write_folder
from storage.engine import build_engine, reading, writing
from storage.settings import Settings
from storage.tables import Account, Project, Prompt, Round, Split
from tests.reward.local_tasks import write_tasks


def _context(settings: Settings, *, seed: int = 5) -> StepContext:
    runtime = Runtime(build_engine(settings.url), settings)
    one = Round(project_id=runtime.project_id, number=1, seed=seed, base_policy_id=1)
    context = StepContext(runtime, one, lambda *point: None, lambda words: None)
    one.artefacts = dict(take_snapshot(context).artefacts)
    return context


def _shaken(context: StepContext, name: str) -> None:
    for weight in context.runtime.backbone.parameters(name):
        torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def context(judged: Settings) -> StepContext:
    """Return the context of a round that has trained a reward model and a policy."""
    context = _context(judged)
    backbone, home = context.runtime.backbone, context.runtime.home
    reward = RewardModel(backbone, "reward")
    torch.nn.init.normal_(reward.head.weight, generator=torch.Generator().manual_seed(2))
    backbone.add_adapter("policy")
    _shaken(context, "policy")
    with write_folder(home, "checkpoints/reward") as folder:
        reward.save(folder)
    with write_folder(home, "checkpoints/policy") as folder:
        backbone.save_adapter("policy", folder)
    context.round.artefacts |= {"reward": "checkpoints/reward", "policy": "checkpoints/policy"}
    return context


def _evaluator(context: StepContext, sampling: SamplingSettings | None = None) -> Evaluator:
    return Evaluator(
        context.runtime.backbone,
        {},
        sampling or context.runtime.profile.sampling,
        context.runtime.profile.evaluation,
        reference=None,
        seed=1,
        batch_size=8,
    )


def test_the_report_stands_on_the_round(context: StepContext) -> None:
    outcome = evaluate_candidate(context)
    metrics: dict[str, Any] = json.loads(json.dumps(dict(outcome.metrics)))
    assert {"win_rate", "win_rate_low", "win_rate_high", "kl", "kl_k3", "reward"} <= set(metrics)
    assert metrics["heldout_prompts"] == 8
    assert metrics["kl"] > 0 and metrics["perplexity_ratio"] != 1.0
    # The live policy is the first one: it is not measured twice.
    assert [row["policy"] for row in metrics["policies"]] == ["candidate", "live", "few_shot"]
    assert [(row["against"], row["prompts"]) for row in metrics["comparisons"]] == [
        ("live", 8),
        ("few_shot", 2),
    ]
    checks = {one["name"]: one for one in metrics["gate"]}
    assert checks["second_win_rate"]["figure"] is None and checks["second_win_rate"]["passed"]
    assert checks["kl"]["direction"] == "at most"


def test_samples_are_the_best_the_worst_and_others(context: StepContext) -> None:
    metrics = evaluate_candidate(context).metrics
    gains = {
        name: [one["candidate_reward"] - one["live_reward"] for one in metrics[name]]
        for name in ("best_samples", "samples", "worst_samples")
    }
    assert [len(found) for found in gains.values()] == [2, 4, 2]
    prompts = {one.messages[0]["content"] for one in heldout_prompts(context)}
    assert {one["prompt"] for one in metrics["samples"]} <= prompts
    assert min(gains["best_samples"]) >= max(gains["samples"])
    assert min(gains["samples"]) >= max(gains["worst_samples"])


def test_a_second_reward_model_is_asked_where_the_round_has_one(context: StepContext) -> None:
    context.round.artefacts |= {"second_reward": "checkpoints/reward"}
    metrics = evaluate_candidate(context).metrics
    assert metrics["second_win_rate"] == metrics["win_rate"]
    judges = [row["judge"] for row in metrics["comparisons"]]
    assert judges == ["reward_model", "second_reward_model"] * 2


@pytest.mark.parametrize("broken", [inf, nan])
def test_a_policy_without_plain_language_is_refused_and_leaves_json_without_nan(
    context: StepContext, monkeypatch: pytest.MonkeyPatch, broken: float
) -> None:
    def perplexities(backbone: Any, adapters: Sequence[str | None], *rest: Any, size: int) -> Any:
        return [20.0 if adapter is None else broken for adapter in adapters]

    monkeypatch.setattr("reward.evaluating.evaluation.perplexities", perplexities)
    outcome = evaluate_candidate(context)
    assert "perplexity on held-out text" in outcome.rejected
    kept = json.loads(json.dumps(finite(outcome.metrics), allow_nan=False))
    (failed,) = [one for one in kept["gate"] if not one["passed"]]
    assert (failed["name"], failed["figure"]) == ("perplexity_ratio", None)


def _with_tasks(context: StepContext, folder: Path, *tasks: str, **more: Any) -> None:
    runtime = context.runtime
    settings = replace(
        runtime.profile.evaluation, tasks=tasks, task_folder=str(folder), heldout_tokens=0, **more
    )
    runtime.profile = replace(runtime.profile, evaluation=settings)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_candidate_and_live_policy_run_the_tasks_that_are_set(
    context: StepContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    folder = write_tasks(tmp_path, monkeypatch)
    _with_tasks(context, folder, "tiny_rolling", "tiny_choice", task_limit=2)
    points: list[tuple[int, int]] = []
    said: list[str] = []
    monkeypatch.setattr(task_scores, "SECONDS", 0.0)
    told = StepContext(
        context.runtime, context.round, lambda at, of, _: points.append((at, of)), said.append
    )
    outcome = evaluate_candidate(told)
    metrics: dict[str, Any] = json.loads(json.dumps(dict(outcome.metrics), allow_nan=False))
    rows = {(row["task"], row["policy"]): row["figures"] for row in metrics["tasks"]}
    assert metrics["tasks_not_run"] == []
    assert list(rows) == [
        (task, policy)
        for task in ("tiny_rolling", "tiny_choice")
        for policy in ("candidate", "live")
    ]
    assert {row["part"] for row in metrics["tasks"]} == {False}
    for policy, adapter in (("candidate", "policy"), ("live", None)):
        alone = run_tasks(
            context.runtime.backbone, adapter, ["tiny_rolling"], folder=folder, limit=2
        )
        assert rows["tiny_rolling", policy] == pytest.approx(alone["tiny_rolling"])
        assert rows["tiny_choice", policy]["sample_len"] == 2
        assert rows["tiny_choice", policy]["acc_stderr"] >= 0
    perplexities = [
        rows["tiny_rolling", policy]["byte_perplexity"] for policy in ("candidate", "live")
    ]
    assert perplexities[0] != pytest.approx(perplexities[1], rel=0.01)
    assert points == [(number, 5) for number in range(1, 6)]
    assert "running tiny_rolling on the candidate policy" in said
    assert "running tiny_rolling on the live policy, 2/2" in said


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_task_that_cannot_be_run_is_said_and_the_others_are_run(
    context: StepContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("lm_eval")
    folder = write_tasks(tmp_path, monkeypatch)
    (folder / "choice.yaml").write_text(
        (folder / "choice.yaml").read_text().replace("{{question}}", "{{riddle}}")
    )
    _with_tasks(context, folder, "tiny_choice", "tiny_rolling", task_limit=1)
    metrics = evaluate_candidate(context).metrics
    (failed,) = metrics["tasks_not_run"]
    assert failed["task"] == "tiny_choice"
    assert "'riddle' is undefined" in failed["reason"]
    assert "Task tiny_choice was not run" in caplog.text
    assert {row["task"] for row in metrics["tasks"]} == {"tiny_rolling"}
    assert metrics["win_rate"] is not None


def test_without_lm_eval_the_round_goes_on_and_says_so(
    context: StepContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    _with_tasks(context, tmp_path, "mmlu")
    metrics = evaluate_candidate(context).metrics
    assert metrics["tasks"] == []
    (failed,) = metrics["tasks_not_run"]
    assert failed["task"] == "mmlu" and "pip install rankloop[eval]" in failed["reason"]
    assert len(metrics["gate"]) == 10, "no check is of tasks"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_lost_lease_is_no_task_that_cannot_be_run(
    context: StepContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    _with_tasks(context, write_tasks(tmp_path, monkeypatch), "tiny_rolling")
    monkeypatch.setattr(task_scores, "SECONDS", 0.0)

    def working(words: str) -> None:
        if words.endswith("1/3"):
            raise LeaseLost("another worker")

    with pytest.raises(LeaseLost):
        evaluate_candidate(
            StepContext(context.runtime, context.round, lambda *point: None, working)
        )


def test_a_round_without_tasks_says_nothing_of_them(context: StepContext) -> None:
    assert not {"tasks", "tasks_not_run"} & set(evaluate_candidate(context).metrics)


def test_the_first_prompts_are_those_of_every_round(judged: Settings) -> None:
    prompts = [[one.ids for one in heldout_prompts(_context(judged, seed=seed))] for seed in (1, 2)]
    assert prompts[0][:2] == prompts[1][:2]
    assert prompts[0][2:] != prompts[1][2:]
    assert len(prompts[0]) == len({tuple(ids) for ids in prompts[0]}) == 8


def test_a_heldout_prompt_brings_its_demonstrations(judged: Settings) -> None:
    context = _context(judged)
    with writing(context.runtime.engine) as session:
        prompt = session.exec(select(Prompt).where(Prompt.split == Split.HELDOUT)).first()
        account = session.exec(select(Account)).first()
        assert prompt is not None and account is not None
        add_demonstration(
            session,
            project=session.get_one(Project, context.runtime.project_id),
            account=account,
            prompt_id=key_of(prompt),
            text="So it is.",
        )
    context.round.artefacts = dict(take_snapshot(context).artefacts)
    profile = context.runtime.profile
    context.runtime.profile = replace(profile, evaluation=EvaluationSettings(prompts=10_000))
    found = [one for one in heldout_prompts(context) if one.demonstrations]
    assert [(one.messages, one.demonstrations) for one in found] == [
        (prompt.messages, ["So it is."])
    ]


def test_baseline_answers_are_kept_until_something_changes(judged: Settings) -> None:
    context = _context(judged)
    evaluator, prompts = _evaluator(context), heldout_prompts(context)[:2]
    answers = first_policy_answers(context, evaluator, prompts)
    (file,) = (context.runtime.home / FOLDER).iterdir()
    file.write_text(json.dumps([[{"ids": [7], "ended": True}]] * 2))
    assert first_policy_answers(context, evaluator, prompts)[0][0].ids == [7]
    file.write_text("[broken")
    again = first_policy_answers(context, evaluator, prompts)
    assert [one[0].ids for one in again] == [one[0].ids for one in answers]
    shorter = _evaluator(context, SamplingSettings(max_new_tokens=3))
    assert len(first_policy_answers(context, shorter, prompts)[0][0].ids) <= 3


def test_the_few_shot_model_sees_best_completions_before_the_prompt(
    judged: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = _context(judged)
    evaluator, prompts = _evaluator(context), heldout_prompts(context)[:1]
    seen: list[list[int]] = []

    def sample(
        adapter: str | None, prompts: Sequence[list[int]], samples: int
    ) -> list[list[Sample]]:
        assert adapter is None
        seen.extend(prompts)
        return [[Sample([2], True)] * samples for _ in prompts]

    monkeypatch.setattr(evaluator, "sample", sample)
    few_shot_answers(context, evaluator, prompts)
    tokenizer = context.runtime.backbone.tokenizer
    text = tokenizer.decode(seen[0])
    assert text.endswith(tokenizer.decode(prompt_ids(tokenizer, prompts[0].messages, "")))
    assert len(seen[0]) > len(prompts[0].ids)
    answered = text.count("<|im_start|>assistant") - 1
    assert 1 <= answered <= 3
    with reading(context.runtime.engine) as session:
        train = [
            one.messages[0]["content"]
            for one in session.exec(select(Prompt).where(Prompt.split == Split.TRAIN))
        ]
    assert sum(f"user\n{content}<|im_end|>" in text for content in train) == answered
