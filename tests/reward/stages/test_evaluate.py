import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reward.evaluating import harness
from reward.evaluating.harness import run_tasks
from reward.language_models.padding import answered_batch
from reward.reward_modeling.reward_model import RewardModel
from reward.stages import evaluate
from reward.stages.evaluate import EvaluateRequest, evaluate_stage
from reward.stages.model import StageRun
from reward.stages.roles import load_judge, load_policy
from storage.errors import BadInput, Unavailable
from storage.settings import load_settings
from tests.reward.completion_server import serving
from tests.reward.local_tasks import write_tasks

SIZES: dict[str, dict[str, Any]] = {
    "backbone": {"top_layers": 2, "rank": 4},
    "sampling": {"max_new_tokens": 4},
    "evaluation": {"prompts": 4, "samples": 1, "heldout_tokens": 0},
}


def stage_run(tiny: Path, tuning: str = "") -> StageRun:
    settings = load_settings(model=str(tiny), system_prompt="", device="cpu")
    return StageRun(settings, tuning, SIZES, lambda what, share: None, lambda line: None)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Why {n}?"}) + "\n" for n in range(5)))
    return path


def test_a_reward_model_of_another_tuning_method_scores_as_on_its_own_backbone(
    tiny_folder: Path, tmp_path: Path
) -> None:
    own = stage_run(tiny_folder, "head").load()
    reward = RewardModel(own.backbone)
    torch.nn.init.normal_(reward.head.weight)
    reward.save(tmp_path / "reward")
    model = stage_run(tiny_folder, "lora").load()
    judge = load_judge(model, tmp_path / "reward")
    batch = answered_batch([[5, 6, 7], [8, 9]], [[10, 11], [12, 13, 14]], model.device)
    theirs = judge.score(model.backbone.trunk(batch.ids), batch)
    ours = reward.score(own.backbone.trunk(batch.ids), batch)
    assert torch.allclose(theirs, ours, atol=1e-5)
    assert float(ours.std()) > 0


def test_a_policy_of_another_tuning_method_says_which_one_to_give(
    tiny_folder: Path, tmp_path: Path
) -> None:
    stage_run(tiny_folder, "bitfit").load().backbone.save_adapter("policy", tmp_path / "policy")
    with pytest.raises(BadInput, match="give --tuning bitfit"):
        load_policy(stage_run(tiny_folder, "lora").load(), tmp_path / "policy", "policy")


def _named_folder(folder: Path, **settings: object) -> Path:
    """Return a folder that passes for a policy's until its weights are read."""
    folder.mkdir()
    (folder / "adapter_model.safetensors").touch()
    (folder / "settings.json").write_text(json.dumps({"tuning": "lora", **settings}))
    return folder


def test_a_policys_own_reward_model_that_is_gone_is_said_and_another_may_be_given(
    prompts: Path, tmp_path: Path
) -> None:
    policy = _named_folder(tmp_path / "policy", reward=str(tmp_path / "moved"))
    run = stage_run(tmp_path / "no-model")
    with pytest.raises(BadInput, match=r"moved, which .* reward model, is gone; give one with"):
        evaluate_stage(EvaluateRequest(str(policy), "base", prompts), run)
    given = _named_folder(tmp_path / "given")
    (given / "head.safetensors").touch()
    with pytest.raises(Unavailable, match="no-model"):
        evaluate_stage(EvaluateRequest(str(policy), "base", prompts, reward=given), run)


def test_examples_that_a_setting_leaves_out_are_refused_by_its_name(
    prompts: Path, tmp_path: Path
) -> None:
    run = stage_run(tmp_path / "no-model")
    none = {**SIZES, "evaluation": {**SIZES["evaluation"], "few_shot": 0}}
    with pytest.raises(BadInput, match=r"training\.evaluation\.few_shot is 0"):
        evaluate_stage(
            EvaluateRequest("base", "base", prompts, examples=prompts),
            replace(run, overrides=none),
        )


def test_weights_that_ran_away_name_the_rate_that_they_were_trained_with(
    tiny_folder: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, policy = stage_run(tiny_folder), tmp_path / "policy"
    policy.mkdir()
    own = run.load().backbone
    own.add_adapter("policy")
    own.save_adapter("policy", policy)
    settings = {"stage": "ppo", "optimizer": "dpo", "tuning": "lora"}
    (policy / "settings.json").write_text(json.dumps(settings))

    def fail(*given: object, **named: object) -> None:
        raise FloatingPointError("Not finite")

    monkeypatch.setattr(evaluate, "evaluate_policies", fail)
    with pytest.raises(BadInput, match=r"lower learning rate \(optimizer\.dpo_learning_rate\)\.$"):
        evaluate_stage(EvaluateRequest(str(policy), "base", prompts), run)


def test_without_a_reward_model_there_are_no_win_rates(tiny_folder: Path, prompts: Path) -> None:
    found = evaluate_stage(EvaluateRequest("base", "base", prompts), stage_run(tiny_folder))
    assert found["win_rate"] is None
    assert found["policies"][0]["tokens"]["value"] > 0
    with pytest.raises(BadInput, match="nowhere holds no policy"):
        evaluate_stage(EvaluateRequest("nowhere", "base", prompts), stage_run(tiny_folder))


@pytest.fixture
def policy(tiny_folder: Path, tmp_path: Path) -> Path:
    """Return a policy that answers otherwise than the bare model."""
    backbone = stage_run(tiny_folder).load().backbone
    backbone.add_adapter("policy")
    for weight in backbone.parameters("policy"):
        torch.nn.init.normal_(weight, std=1.0, generator=torch.Generator().manual_seed(0))
    backbone.save_adapter("policy", tmp_path / "policy")
    return tmp_path / "policy"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_task_of_lm_eval_runs_on_both(
    tiny_folder: Path,
    prompts: Path,
    policy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("lm_eval")
    folder = write_tasks(tmp_path, monkeypatch)
    request = EvaluateRequest(
        str(policy), "base", prompts, tasks=("tiny_rolling",), task_folder=folder, task_limit=2
    )
    found = evaluate_stage(request, stage_run(tiny_folder))["tasks"]["tiny_rolling"]
    backbone = stage_run(tiny_folder).load().backbone
    backbone.load_adapter("policy", policy)
    for name, adapter in (("policy", "policy"), ("against", None)):
        alone = run_tasks(backbone, adapter, ["tiny_rolling"], folder=folder, limit=2)
        assert found[name] == pytest.approx(alone["tiny_rolling"])
    assert found["policy"] != pytest.approx(found["against"], rel=0.01)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tasks_are_run_as_the_settings_say_unless_they_are_asked_for_otherwise(
    tiny_folder: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    given: list[dict[str, Any]] = []

    def noted(backbone: Any, adapter: Any, tasks: Any, **how: Any) -> dict[str, Any]:
        given.append({"tasks": tuple(tasks), **how})
        return {}

    monkeypatch.setattr(harness, "run_tasks", noted)
    folder = write_tasks(tmp_path, monkeypatch)
    sizes = {"tasks": ["tiny_choice"], "task_folder": str(folder), "task_few_shot": 2}
    run = stage_run(tiny_folder)
    run = replace(run, overrides={**SIZES, "evaluation": {**SIZES["evaluation"], **sizes}})
    evaluate_stage(EvaluateRequest("base", "base", prompts), run)
    kept = ("tasks", "folder", "limit", "few_shot", "chat", "batch_size")
    assert [given[0][name] for name in kept] == [("tiny_choice",), folder, None, 2, False, 16]
    asked = EvaluateRequest(
        "base", "base", prompts, tasks=("tiny_rolling",), task_limit=1, task_few_shot=5,
        task_chat=True, task_batch=3,
    )  # fmt: skip
    evaluate_stage(asked, run)
    assert [given[-1][name] for name in kept] == [("tiny_rolling",), folder, 1, 5, True, 3]


def test_tasks_that_cannot_be_run_are_said_before_a_model_is_loaded(
    prompts: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lm_eval")
    request = EvaluateRequest(
        "base", "base", prompts, tasks=("tiny_choice",), task_folder=tmp_path / "none"
    )
    with pytest.raises(BadInput, match="There is no folder"):
        evaluate_stage(request, stage_run(tmp_path / "no-model"))


def test_a_server_draws_the_completions_of_both_policies(
    tiny_folder: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    run = stage_run(tiny_folder)
    own = run.load().backbone
    own.add_adapter("policy")
    with torch.no_grad():
        for weight in own.parameters("policy"):
            torch.nn.init.normal_(weight, std=0.3)
    own.save_adapter("policy", tmp_path / "policy")
    request = EvaluateRequest(str(tmp_path / "policy"), "base", prompts)
    here = evaluate_stage(request, run)
    with serving(stage_run(tiny_folder).load().backbone) as served:
        settings = run.settings.model_copy(update={"generator": served.url})
        there = evaluate_stage(request, replace(run, settings=settings))
    asked = [body["model"] for path, body in served.requests if path == "/v1/completions"]
    policy = asked[0]
    assert asked == [policy] * 4 + ["tiny"] * 4
    assert policy.startswith("rankloop-policy-")
    assert not served.adapters
    assert there["perplexity"] == here["perplexity"]
    assert there["policies"][0]["tokens"]["value"] > 0
    with pytest.raises(Unavailable, match="cannot be reached"):
        evaluate_stage(request, replace(run, settings=settings))


def test_a_report_outlives_a_page_that_cannot_be_written(
    tiny_folder: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "pages" / "page.md"
    page.parent.mkdir()
    real = evaluate.side_by_side

    def removes_the_folder(*given: Any) -> dict[str, Any]:
        page.parent.rmdir()
        return real(*given)

    monkeypatch.setattr(evaluate, "side_by_side", removes_the_folder)
    said: list[str] = []
    run = replace(stage_run(tiny_folder), say=said.append)
    report = evaluate_stage(EvaluateRequest("base", "base", prompts, samples=page), run)
    assert report["samples"]
    assert f"There is no folder {page.parent}" in said[-1] and "were not written" in said[-1]
