"""PPO and evaluation say that the sentence encoder of a feature reward model is fetched."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reward.language_models.sentence_encoder import SentenceEncoder
from reward.language_models.wheels import Progress
from reward.reward_modeling.feature_model import FeatureRewardModel, FeatureSettings, TextRanking
from reward.stages.evaluate import EvaluateRequest, evaluate_stage
from reward.stages.model import StageRun
from reward.stages.ppo import PPORequest, train_ppo_stage
from reward.stages.result import SETTINGS_FILE
from storage.settings import load_settings
from tests.reward.tiny_encoder import make_tiny_encoder

SIZES: dict[str, dict[str, Any]] = {
    "backbone": {"top_layers": 2, "rank": 4},
    "sampling": {"max_new_tokens": 4},
    "evaluation": {"prompts": 2, "samples": 1, "heldout_tokens": 0},
    "ppo": {"iterations": 1, "prompts_per_iteration": 2, "minibatches": 1},
}


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SentenceEncoder:
    """An encoder that takes a while to come, unless nobody listens."""
    found = SentenceEncoder(make_tiny_encoder(tmp_path / "encoder"))

    def fetched(progress: Progress | None = None) -> SentenceEncoder:
        if progress is not None:
            progress("Downloading the sentence encoder (84 MB)", 0.5)
        return found

    monkeypatch.setattr("reward.reward_modeling.feature_model.home_encoder", fetched)
    return found


@pytest.fixture
def reward(tmp_path: Path, encoder: SentenceEncoder) -> Path:
    """A folder as `rankloop train reward --tuning feature` makes it."""
    rankings = [
        TextRanking(f"Why {n}?", ["a" * (n % 7 + 1), "b" * 30], [1, 2], n) for n in range(20)
    ]
    settings = FeatureSettings(embeddings=("completion",), scales=(2.0,), components=8)
    model = FeatureRewardModel.fit(rankings, settings, seed=0, encoder=encoder)
    folder = tmp_path / "reward"
    folder.mkdir()
    model.save(folder)
    (folder / SETTINGS_FILE).write_text(json.dumps({"tuning": "feature"}))
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Why {n}?"}) + "\n" for n in range(4)))
    return path


@pytest.mark.parametrize("stage", ["ppo", "evaluate"])
def test_it_is_said_that_the_encoder_is_fetched(
    stage: str, tiny_folder: Path, tmp_path: Path, prompts: Path, reward: Path
) -> None:
    told: list[tuple[str, float]] = []
    settings = load_settings(model=str(tiny_folder), system_prompt="", device="cpu")
    run = replace(
        StageRun(settings, "", SIZES), progress=lambda what, share: told.append((what, share))
    )
    if stage == "ppo":
        train_ppo_stage(PPORequest(prompts, reward, tmp_path / "policy"), run)
    else:
        evaluate_stage(EvaluateRequest("base", "base", prompts, reward), run)
    assert ("Downloading the sentence encoder (84 MB)", 0.5) in told
