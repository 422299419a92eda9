import json
import os
import sys
from pathlib import Path

import pytest
import torch

from reward.stages.curves import LossCurve
from reward.stages.result import (
    Meter,
    begin,
    finish,
    folder_sha256,
    free_folder,
    peak_resident_bytes,
    read_settings,
    running,
)
from reward.steps.outcome import CannotTrain
from storage.blobs import MANIFEST, write_folder
from storage.errors import BadInput, Conflict, Unavailable

MADE_WITH = {
    "stage": "reward",
    "model": "tiny",
    "tuning": "lora",
    "seed": 1,
    "versions": {"rankloop": "0"},
    "training": {"ppo": {"clip": 0.2}},
}


def save(folder: Path) -> None:
    (folder / "weights").write_text("w")


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    out = free_folder(tmp_path / "deep" / "out")
    with running(out, MADE_WITH):
        written = finish(out, made_with=MADE_WITH, metrics={"a": float("nan"), "b": 1}, save=save)
    assert written == {"a": None, "b": 1}
    assert json.loads((out / "metrics.json").read_text()) == written
    assert read_settings(out) == MADE_WITH
    assert not (out / "progress").exists()
    with pytest.raises(Conflict, match="not an empty folder"):
        free_folder(out)


def test_a_failure_before_any_progress_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for raised, wanted in (
        (CannotTrain("Too few."), BadInput),
        (FloatingPointError("The loss is not finite"), BadInput),
        (torch.OutOfMemoryError("no"), torch.OutOfMemoryError),
    ):
        with pytest.raises(wanted), running(out, MADE_WITH):
            LossCurve(out, print).add(1, 1, 0.5)
            raise raised
        assert not out.exists()


def test_a_folder_is_trained_into_by_one_process_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(out, MADE_WITH):
        (out / "progress" / "fit").mkdir()
        with (
            pytest.raises(Conflict, match="Another process is training into"),
            running(out, MADE_WITH),
        ):
            pytest.fail("two trained at once")
        assert (out / "progress" / "fit").is_dir()
    with running(out, MADE_WITH):
        assert (out / "progress" / "fit").is_dir()


def test_a_run_that_another_finished_meanwhile_is_not_begun_in_its_folder(tmp_path: Path) -> None:
    out = free_folder(tmp_path / "out")
    with running(out, MADE_WITH):
        finish(out, made_with=MADE_WITH, metrics={}, save=save)
    with pytest.raises(Conflict, match="not an empty folder"), running(out, MADE_WITH):
        pytest.fail("trained into a finished folder")
    assert not (out / "progress").exists()


def test_a_run_that_was_cut_off_goes_on_with_the_same_settings_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), running(out, MADE_WITH):
        (out / "progress" / "fit").mkdir()
        raise KeyboardInterrupt
    assert free_folder(out) == out
    begin(out, MADE_WITH)
    with pytest.raises(Conflict, match=r"unfinished run with training\.ppo\.clip 0\.2, not 0\.3"):
        begin(out, {**MADE_WITH, "training": {"ppo": {"clip": 0.3}}})


def test_losses_of_both_halves_are_one_curve(tmp_path: Path) -> None:
    begin(tmp_path, MADE_WITH)
    said: list[str] = []
    first = LossCurve(tmp_path, said.append)
    for step in (1, 2, 3):
        first.add(step, 4, 4.0 - step)
    # A kill may cut a line, also after some digits.
    with first.file.open("a") as stream:
        stream.write("4 0.2")
    second = LossCurve(tmp_path, said.append)
    assert second.losses == [3.0, 2.0, 1.0]
    second.add(3, 4, 1.5)
    second.add(4, 4, 0.25)
    assert LossCurve(tmp_path, print).losses == [3.0, 2.0, 1.5, 0.25]
    assert said[-1] == "step 4 of 4: loss 0.250"
    assert second.steps == 4
    assert second.went_on and not first.went_on


def test_a_run_whose_last_step_was_kept_went_on(tmp_path: Path) -> None:
    begin(tmp_path, MADE_WITH)
    assert LossCurve(tmp_path, print).went_on


def test_a_point_that_a_kill_left_out_is_no_step_less(tmp_path: Path) -> None:
    begin(tmp_path, MADE_WITH)
    said: list[str] = []
    LossCurve(tmp_path, said.append).add(1, 4, 4.0)
    # Progress of step 2 was kept, and the process killed before its point was.
    curve = LossCurve(tmp_path, said.append)
    curve.add(3, 4, 2.0)
    curve.add(4, 4, 1.0)
    assert (curve.losses, curve.steps) == ([4.0, 2.0, 1.0], 4)
    # Where memory ran out, steps are done again.
    for step, loss in ((1, 5.0), (2, 3.0)):
        curve.add(step, 4, loss)
    assert curve.losses == [5.0, 3.0, 2.0, 1.0]
    assert said[-2:] == ["step 1 of 4: loss 5.000", "step 2 of 4: loss 3.000"]


@pytest.mark.parametrize(
    ("stage", "optimizer", "options"),
    [
        ("sft", "ppo", "--set sft.learning_rate=N"),
        ("ppo", "ppo", "--set ppo.learning_rate=N or --set ppo.value_learning_rate=N"),
        ("ppo", "grpo", "--set optimizer.learning_rate=N"),
        ("ppo", "dpo", "--set optimizer.dpo_learning_rate=N"),
    ],
)
def test_weights_that_run_away_name_the_rate_to_lower(
    tmp_path: Path, stage: str, optimizer: str, options: str
) -> None:
    made_with = {**MADE_WITH, "stage": stage, "optimizer": optimizer}
    with pytest.raises(BadInput) as said, running(tmp_path / "out", made_with):
        (tmp_path / "out" / "progress" / "fit").mkdir()
        raise FloatingPointError("The loss is not finite")
    assert str(said.value) == f"The loss is not finite; lower the learning rate with {options}."
    assert not (tmp_path / "out").exists()


def test_a_run_that_can_only_fail_again_keeps_no_progress(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(BadInput, match="lower"), running(out, MADE_WITH):
        (out / "progress" / "fit").mkdir()
        raise BadInput("The loss is not finite; lower the rate.")
    assert not out.exists()


def test_a_folders_hash_is_that_of_what_was_trained(tmp_path: Path) -> None:
    for name, weights in (("one", "a"), ("same", "a"), ("other", "b")):
        with write_folder(tmp_path, name) as folder:
            (folder / "weights").write_text(weights)
    one, same, other = (folder_sha256(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same != other
    # Without a manifest, of the files.
    (tmp_path / "one" / MANIFEST).unlink()
    bare = folder_sha256(tmp_path / "one")
    (tmp_path / "one" / "weights").write_text("b")
    assert bare != folder_sha256(tmp_path / "one")


def test_folders_that_cannot_be_made_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    for bad in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises((Unavailable, Conflict), match="file"):
            free_folder(bad)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Conflict, match="name one inside it"):
        free_folder(Path("."))


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_the_peak_holds_what_was_given_back() -> None:
    before = peak_resident_bytes()
    size = 2 * before
    block = bytearray(os.urandom(1)) * size
    del block
    assert peak_resident_bytes() >= size
    assert Meter(torch.device("cpu")).peak_memory_mb >= size / 2**20
