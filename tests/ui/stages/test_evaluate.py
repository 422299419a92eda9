"""`rankloop evaluate` on what the stages of training made."""

import json
from pathlib import Path

import pytest

from tests.ui.stages.written import Say, prompts, rankings, scalars, write


def test_ppo_and_evaluate_go_on_from_a_reward_folder(say: Say, reward: Path) -> None:
    write("prompts.jsonl", prompts())
    code, out, err = say(
        *("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward"),
        *("--out", "policy", "--json"),
    )
    assert code == 0, err
    found = json.loads(out)
    assert [one["objective/scores"] for one in found["curve"]] == [
        found["reward_mean_first"],
        found["reward_mean_last"],
    ]
    assert found["kl"] == found["curve"][-1]["objective/kl"]
    assert 0 < found["seconds_per_iteration"] < found["seconds"]
    assert found["peak_memory_mb"] > 100
    assert "iteration 2 of 2: reward" in err
    scores = [value for _, value in scalars(Path("policy/logs/ppo"), "objective/scores")]
    assert scores == pytest.approx([one["objective/scores"] for one in found["curve"]])
    code, out, err = say(
        *("evaluate", "--policy", "policy", "--against", "base", "--prompts", "prompts.jsonl"),
        "--json",
    )
    assert code == 0, err
    report = json.loads(out)
    assert report["reward"] == str(reward.absolute())
    assert report["win_rate_ci"][0] <= report["win_rate"] <= report["win_rate_ci"][1]
    assert [row["policy"] for row in report["policies"]] == ["candidate", "against"]
    assert report["policies"][0]["kl"]["value"] != report["policies"][1]["kl"]["value"] == 0
    assert "rouge1" not in report["policies"][0]
    write("prompts.jsonl", [{**row, "completion": "yes"} for row in prompts()])
    code, out, _ = say(
        *("evaluate", "--policy", "policy", "--against", "policy", "--prompts", "prompts.jsonl"),
        "--json",
    )
    report = json.loads(out)
    assert report["win_rate"] == pytest.approx(0.5)
    assert report["policies"][0]["rouge1"]["value"] >= 0
    write("others.jsonl", [{"prompt": f"What else, {n}?"} for n in range(9)])
    code, out, err = say(
        *("evaluate", "--policy", "policy", "--against", "policy", "--prompts", "others.jsonl"),
        *("--second-reward", "reward", "--examples", "rankings.jsonl", "--json"),
    )
    assert code == 0, err
    report = json.loads(out)
    named = [row["policy"] for row in report["policies"]]
    assert named[:2] == ["candidate", "against"] and set(named[2:]) == {"first", "few_shot"}
    assert {row["judge"] for row in report["comparisons"]} == {
        "reward_model",
        "second_reward_model",
    }
    best, worst = report["best_samples"][0], report["worst_samples"][0]
    gains = [one["policy_reward"] - one["against_reward"] for one in (best, worst)]
    assert gains[0] >= gains[1] and best["prompt"].startswith("What else, ")
    write("same.jsonl", rankings(12))
    code, _, err = say(
        *("evaluate", "--policy", "policy", "--against", "base", "--prompts", "prompts.jsonl"),
        *("--examples", "same.jsonl"),
    )
    assert code == 1 and "same.jsonl: it has no example to show" in err
