"""`rankloop train reward` on a file."""

import json
from pathlib import Path

import pytest

from tests.ui.stages.written import SIZES, Say, rankings, scalars, write


def test_reward_ends_with_one_json_of_metrics(say: Say) -> None:
    write("rankings.jsonl", rankings())
    code, out, err = say("train", "reward", "--data", "rankings.jsonl", "--out", "made", "--json")
    assert code == 0, err
    found = json.loads(out)
    low, high = found["accuracy_ci"]
    assert 0 <= low <= found["accuracy"] <= high <= 1
    heldout = json.loads(Path("made/metrics.json").read_text())
    assert {**heldout, "out": "made"} == found
    assert found["pairs"] + found["train_pairs"] == 3 * 40
    assert found["pairs"] == sum(one["pairs"] for one in found["by_subset"].values()) > 0
    assert found["pairs"] == sum(one["count"] for one in found["reliability"])
    assert found["loss_first"] == pytest.approx(0.6931, abs=1e-3)
    assert found["loss_last"] < found["loss_first"]
    assert found["seconds"] > 0
    assert found["peak_memory_mb"] > 100
    assert "step 8 of 8: loss" in err
    assert {each.name for each in Path("made").iterdir()} == {
        *("README.md", "adapter_config.json", "adapter_model.safetensors", "head.safetensors"),
        *("logs", "manifest.json", "metrics.json", "settings.json"),
    }
    curve = scalars(Path("made/logs/reward"), "loss/reward")
    assert [step for step, _ in curve] == list(range(1, 9))
    assert curve[0][1] == pytest.approx(found["loss_first"])


def test_what_a_folder_was_made_with_stands_in_it(reward: Path) -> None:
    import hashlib

    made_with = json.loads((reward / "settings.json").read_text())
    digest = hashlib.sha256(Path("rankings.jsonl").read_bytes()).hexdigest()
    assert made_with["data"] == {"file": "rankings.jsonl", "sha256": digest}
    assert made_with["training"]["reward"]["max_steps"] == 8
    assert made_with["versions"]["rankloop"]
    card = (reward / "README.md").read_text()
    assert "accuracy_ci" in card
    assert digest in card


def test_what_a_reward_model_cannot_learn_from_is_named(say: Say) -> None:
    for rows, loss, named in (
        (rankings(weight=0), "log_sigmoid", "every ranking to train on has weight 0"),
        (rankings(scores=[2, 2, 2]), "score_difference", "did the better completion score more"),
    ):
        write("bad.jsonl", rows)
        code, _, err = say(
            *("train", "reward", "--data", "bad.jsonl", "--out", "made"),
            sizes=(*SIZES, f"reward.loss={loss}"),
        )
        assert code == 1 and named in err, err
        assert not Path("made").exists()


def test_without_json_comes_a_summary_in_words(say: Say) -> None:
    write("rankings.jsonl", rankings())
    code, out, _ = say("train", "reward", "--data", "rankings.jsonl", "--out", "made")
    assert code == 0
    assert "accuracy ci  [" in out
    assert "by subset: even: accuracy" in out
    assert out.endswith("Written to made.\n")
