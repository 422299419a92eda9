"""A round's curves in TensorBoard's files, and trackers that fail without failing the round."""

import logging
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from accelerate.state import AcceleratorState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reward.training.tracking import REPORT_TO, Tracker, check_report_to, flat
from storage.errors import Unavailable

SETTINGS = {"ppo": {"learning_rate": 1e-3, "hints": ("a", "b")}, "seed": 3}


def written(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_every_stage_is_a_run_with_the_names_as_they_are(tmp_path: Path) -> None:
    with Tracker(tmp_path / "round-7", "round-7", "tensorboard", SETTINGS) as tracker:
        tracker.log("reward", 1, {"loss/reward": 0.7})
        tracker.log("ppo", 1, {"objective/kl": 0.0, "objective/scores": -1.0})
        tracker.log("ppo", 2, {"objective/kl": 1.5, "objective/scores": float("nan"), "x": None})
    reward, ppo = (written(tmp_path / "round-7" / stage) for stage in ("reward", "ppo"))
    assert [(e.step, e.value) for e in reward.Scalars("loss/reward")] == [
        (1, pytest.approx(0.7)),
    ]
    assert [(e.step, e.value) for e in ppo.Scalars("objective/kl")] == [(1, 0.0), (2, 1.5)]
    assert [e.value for e in ppo.Scalars("objective/scores")] == [-1.0]
    text = ppo.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| ppo/learning_rate | 0.001 |" in text


def test_a_stage_that_is_begun_again_goes_on_in_its_run(tmp_path: Path) -> None:
    for step in (1, 2):
        with Tracker(tmp_path / "logs", "one", "tensorboard", {}) as tracker:
            tracker.log("sft", step, {"loss/sft": float(step)})
    steps = [event.step for event in written(tmp_path / "logs/sft").Scalars("loss/sft")]
    assert steps == [1, 2]


def test_nothing_is_written_where_nothing_is_asked_for(tmp_path: Path) -> None:
    with Tracker(tmp_path / "logs", "one", "none", SETTINGS) as tracker:
        tracker.log("ppo", 1, {"objective/kl": 0.0})
    assert not (tmp_path / "logs").exists()


def test_a_library_that_is_missing_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("reward.training.tracking.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="wandb, which is not installed; run `pip install wandb`"):
        check_report_to("wandb")
    with caplog.at_level(logging.WARNING):
        tracker = Tracker(tmp_path, "one", "wandb", SETTINGS)
        tracker.log("ppo", 1, {"objective/kl": 0.0})
    assert len(caplog.records) == 1
    assert "not installed" in caplog.text


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(Unavailable, match=", ".join(REPORT_TO)):
        check_report_to("comet")


def test_a_tracker_that_fails_is_dropped_and_the_round_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(self: object, values: dict[str, Any], **more: Any) -> None:
        raise OSError("no space left")

    tracker = Tracker(tmp_path, "round-1", "tensorboard", {})
    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker.log", fails)
    with caplog.at_level(logging.WARNING):
        for step in range(3):
            tracker.log("ppo", step, {"objective/kl": 0.0})
        tracker.close()
    assert [record.getMessage() for record in caplog.records] == [
        "The curves of round-1 are not reported: no space left"
    ]


class Trackio(ModuleType):
    """Stand in for trackio, which is not installed here, below accelerate's own tracker of it."""

    def __init__(self) -> None:
        super().__init__("trackio")
        self.__spec__ = ModuleSpec("trackio", None)
        self.config: dict[str, Any] = {}
        self.logged: list[tuple[int, dict[str, float]]] = []

    def init(self, project: str, name: str) -> "Trackio":
        self.run = (project, name)
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.logged.append((-1, {}))


def test_other_tools_are_reached_through_accelerate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a process where nothing has used accelerate yet.
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "elsewhere")
    library = Trackio()
    monkeypatch.setitem(sys.modules, "trackio", library)
    folder = tmp_path / "round-2"
    with Tracker(folder, "round-2", "trackio", SETTINGS) as tracker:
        tracker.log("ppo", 4, {"objective/kl": 1.5})
    assert "TRACKIO_DIR" not in os.environ
    library.logged.clear()
    with Tracker(folder, "round-2", "trackio", SETTINGS, shared=tmp_path) as tracker:
        tracker.log("ppo", 4, {"objective/kl": 1.5})
    assert os.environ["TRACKIO_DIR"] == str(tmp_path / "trackio")
    assert os.environ["MLFLOW_TRACKING_URI"] == "elsewhere"
    assert tracker.report_to == "trackio"
    assert library.run == ("rankloop", "round-2-ppo")
    assert library.config["ppo/learning_rate"] == 1e-3
    assert library.logged == [(4, {"objective/kl": 1.5}), (-1, {})]


def test_settings_are_flat() -> None:
    assert flat(SETTINGS) == {
        "ppo/learning_rate": 1e-3,
        "ppo/hints": '["a", "b"]',
        "seed": 3,
    }
