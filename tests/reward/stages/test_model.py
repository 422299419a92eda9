import json
import shutil
from pathlib import Path

import pytest

from reward.stages.model import StageRun, fingerprint
from tests.reward.conftest import tiny_settings
from tests.tiny_model import make_tiny_model


def test_a_fingerprint_tells_weights_and_shapes_but_not_places(
    tiny_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_folder, copy)
    assert fingerprint(copy) == fingerprint(tiny_folder)
    other = make_tiny_model(tmp_path / "other", seed=5)
    assert fingerprint(other) != fingerprint(tiny_folder)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.5}))
    assert fingerprint(copy) != fingerprint(tiny_folder)


@pytest.mark.parametrize(
    ("tuning", "rate"), [("", 1e-4), ("feature", 1e-4), ("adapter", 5e-3), ("lora", 5e-4)]
)
def test_a_method_given_as_an_option_brings_its_rate_as_by_a_setting(
    tiny_folder: Path, tmp_path: Path, tuning: str, rate: float
) -> None:
    settings = tiny_settings(tmp_path, tiny_folder)
    full = settings.model_copy(update={"training": {"backbone": {"tuning": "full"}}})
    assert StageRun(full, tuning).profile.reward.learning_rate == pytest.approx(rate)
    told = StageRun(full, tuning, {"reward": {"learning_rate": 2e-3}})
    assert told.profile.reward.learning_rate == 2e-3
