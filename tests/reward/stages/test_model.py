import json
import shutil
from pathlib import Path

from reward.stages.model import fingerprint
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
