import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reward.language_models.sentence_encoder import SentenceEncoder
from reward.stages.model import Progress, StageRun
from reward.stages.reward import RewardRequest, train_reward_stage
from reward.stages.roles import load_judge
from storage.settings import load_settings
from tests.reward.tiny_encoder import make_tiny_encoder

SIZES = {
    "backbone": {"top_layers": 2, "rank": 4},
    "sampling": {"max_new_tokens": 8},
    "reward": {"max_steps": 10, "normalise_prompts": 4, "progress_seconds": 0.0},
}


def stage_run(tiny: Path, tuning: str = "lora", **more: object) -> StageRun:
    settings = load_settings(model=str(tiny), system_prompt="", device="cpu")
    return StageRun(settings, tuning, SIZES, lambda what, share: None, lambda line: None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {"prompt": f"Question {n}?", "completions": ["a" * (n % 7 + 1), "b" * 30], "ranks": [1, 2]}
        for n in range(60)
    ]
    path = tmp_path / "rankings.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "tuning", ["lora", "full", "head", "prompt", "prefix", "adapter", "bitfit"]
)
def test_every_tuning_method_fits_and_says_what_it_trains(
    tiny_folder: Path, data: Path, tmp_path: Path, tuning: str
) -> None:
    out = tmp_path / tuning
    metrics = train_reward_stage(RewardRequest(data, out, 0.2), stage_run(tiny_folder, tuning))
    assert metrics["loss_last"] <= metrics["loss_first"] + 1e-6
    assert metrics["trainable_parameters"] > 0
    assert json.loads((out / "settings.json").read_text())["tuning"] == tuning


def test_a_reward_model_may_be_heads_alone_whatever_the_policy_is_tuned_by(
    tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    heads = {**SIZES, "reward": {**SIZES["reward"], "tuning": "head"}}
    run = replace(stage_run(tiny_folder, ""), overrides=heads)
    metrics = train_reward_stage(RewardRequest(data, tmp_path / "heads", 0.2), run)
    # The heads' biases stay at zero.
    assert metrics["trainable_parameters"] == 4 * 32
    assert json.loads((tmp_path / "heads/settings.json").read_text())["tuning"] == "head"
    judge = load_judge(stage_run(tiny_folder, "lora").load(), tmp_path / "heads")
    assert judge.own is None
    # A method that is asked for by name wins.
    train_reward_stage(RewardRequest(data, tmp_path / "lora", 0.2), replace(run, tuning="lora"))
    assert json.loads((tmp_path / "lora/settings.json").read_text())["tuning"] == "lora"
    assert (tmp_path / "lora/adapter_model.safetensors").exists()


def test_the_same_fit_writes_the_same_bytes(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train_reward_stage(RewardRequest(data, tmp_path / name, 0.2), stage_run(tiny_folder))
    both = [(tmp_path / name / "head.safetensors").read_bytes() for name in ("one", "two")]
    assert both[0] == both[1]


def test_features_need_no_language_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = SentenceEncoder(make_tiny_encoder(tmp_path / "encoder"))
    told: list[str] = []

    def fetched(progress: Progress) -> SentenceEncoder:
        progress("Downloading", 0.5)
        return encoder

    monkeypatch.setattr("reward.stages.features.home_encoder", fetched)
    run = replace(
        stage_run(tmp_path / "no-model", "feature"),
        progress=lambda what, share: told.append(what),
        say=told.append,
    )
    metrics = train_reward_stage(RewardRequest(data, tmp_path / "made", 0.2), run)
    passed_over = "passed over, since feature does not read them: reward.max_steps"
    assert told[0].startswith(passed_over)
    assert told[1:3] == ["Downloading", "fitting a linear model on features of the text"]
    # A completion's length decides here, and it is among the features.
    assert metrics["accuracy"] == 1.0
    assert (tmp_path / "made" / "feature_model.json").exists()


def test_a_fit_that_was_cut_off_ends_with_the_same_weights(
    tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reward.stages.curves import LossCurve

    run = stage_run(tiny_folder)
    whole = train_reward_stage(RewardRequest(data, tmp_path / "whole", 0.2), run)
    add = LossCurve.add

    def cut(self: LossCurve, step: int, steps: int, loss: float) -> None:
        add(self, step, steps, loss)
        if step == 6:
            raise KeyboardInterrupt

    request = RewardRequest(data, tmp_path / "cut", 0.2)
    monkeypatch.setattr(LossCurve, "add", cut)
    with pytest.raises(KeyboardInterrupt):
        train_reward_stage(request, run)
    monkeypatch.setattr(LossCurve, "add", add)
    resumed = train_reward_stage(request, run)
    assert resumed["resumed"]
    assert not whole["resumed"]
    assert resumed["steps"] == 10
    assert resumed["loss_first"] == whole["loss_first"]
    for file in ("adapter_model.safetensors", "head.safetensors"):
        ours, theirs = load_file(tmp_path / "cut" / file), load_file(tmp_path / "whole" / file)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_fit_that_was_killed_before_it_kept_anything_does_not_go_on(
    tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reward.stages import result
    from reward.stages.curves import LossCurve

    run = stage_run(tiny_folder, "head")
    seldom = {**SIZES, "reward": {**SIZES["reward"], "progress_seconds": 1e6}}
    run = replace(run, overrides=seldom)
    request = RewardRequest(data, tmp_path / "cut", 0.2)
    add, abandon = LossCurve.add, result.abandon

    def cut(self: LossCurve, step: int, steps: int, loss: float) -> None:
        add(self, step, steps, loss)
        raise KeyboardInterrupt

    monkeypatch.setattr(LossCurve, "add", cut)
    # A process that is killed clears nothing up.
    monkeypatch.setattr(result, "abandon", lambda folder: None)
    with pytest.raises(KeyboardInterrupt):
        train_reward_stage(request, run)
    assert (tmp_path / "cut" / "progress" / "settings.json").exists()
    monkeypatch.setattr(LossCurve, "add", add)
    monkeypatch.setattr(result, "abandon", abandon)
    assert train_reward_stage(request, run)["resumed"] is False


def test_every_ranking_is_read_unless_a_setting_says_less(
    tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    sizes = {**SIZES, "reward": {"rankings_per_step": 1, "epochs": 1, "normalise_prompts": 2}}
    run = stage_run(tiny_folder)
    run = StageRun(run.settings, "head", sizes, run.progress, run.say)
    # The CPU's profile stops after 50 steps.
    rows = data.read_text().replace("?", "!")
    data.write_text(data.read_text() + rows)
    metrics = train_reward_stage(RewardRequest(data, tmp_path / "made", 0.2), run)
    assert metrics["steps"] == metrics["train_rankings"] > 50
