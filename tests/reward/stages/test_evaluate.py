import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reward.language_models.padding import answered_batch
from reward.reward_modeling.reward_model import RewardModel
from reward.stages.evaluate import EvaluateRequest, evaluate_stage
from reward.stages.model import StageRun
from reward.stages.roles import load_judge, load_policy
from storage.errors import BadInput, Unavailable
from storage.settings import load_settings
from tests.reward.completion_server import serving

SIZES = {
    "backbone": {"top_layers": 2, "rank": 4},
    "sampling": {"max_new_tokens": 4},
    "evaluation": {"prompts": 4, "samples": 1, "heldout_tokens": 0},
}
TASK = """
task: tiny_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


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


def test_without_a_reward_model_there_are_no_win_rates(tiny_folder: Path, prompts: Path) -> None:
    found = evaluate_stage(EvaluateRequest("base", "base", prompts), stage_run(tiny_folder))
    assert found["win_rate"] is None
    assert found["policies"][0]["tokens"]["value"] > 0
    with pytest.raises(BadInput, match="nowhere holds no policy"):
        evaluate_stage(EvaluateRequest("nowhere", "base", prompts), stage_run(tiny_folder))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_task_of_lm_eval_runs_on_both(
    tiny_folder: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    data = tmp_path / "questions.jsonl"
    data.write_text(json.dumps({"question": "2+2", "choices": ["4", "5"], "answer": 0}) + "\n")
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "tiny_choice.yaml").write_text(TASK.format(data=data))
    request = EvaluateRequest(
        "base", "base", prompts, tasks=("tiny_choice",), task_folder=folder, task_limit=1
    )
    found = evaluate_stage(request, stage_run(tiny_folder))
    both = found["tasks"]["tiny_choice"]
    assert both["policy"] == both["against"]
    assert any(name.startswith("acc") for name in both["policy"])


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
