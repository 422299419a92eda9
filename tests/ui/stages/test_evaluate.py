"""`rankloop evaluate` on what the stages of training made."""

import json
from pathlib import Path
from typing import Any

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
    write("others_rankings.jsonl", [{**row, "ranks": [3, 2, 1]} for row in rankings()])
    code, _, err = say("train", "reward", "--data", "others_rankings.jsonl", "--out", "second")
    assert code == 0, err
    code, out, err = say(
        *("evaluate", "--policy", "policy", "--against", "policy", "--prompts", "others.jsonl"),
        *("--second-reward", "second", "--examples", "rankings.jsonl", "--json"),
        *("--samples", "page.md"),
    )
    assert code == 0, err
    report = json.loads(out)
    candidate = report["policies"][0]
    assert candidate["score_by_second_reward_model"] != candidate["score_by_reward_model"]
    named = [row["policy"] for row in report["policies"]]
    assert named[:2] == ["candidate", "against"] and set(named[2:]) == {"first", "few_shot"}
    assert {row["judge"] for row in report["comparisons"]} == {
        "reward_model",
        "second_reward_model",
    }
    best, worst = report["best_samples"][0], report["worst_samples"][0]
    gains = [one["policy_reward"] - one["against_reward"] for one in (best, worst)]
    assert gains[0] >= gains[1] and best["prompt"].startswith("What else, ")
    assert "completions side by side written to page.md" in err
    page = Path("page.md").read_text()
    shown = [best["prompt"], worst["prompt"], report["samples"][0]["prompt"]]
    places = [page.index(f"```text\n{prompt}\n```") for prompt in shown]
    assert places == sorted(places)
    code, _, err = say(
        *("evaluate", "--policy", "policy", "--against", "base", "--prompts", "prompts.jsonl"),
        *("--samples", "page.md"),
    )
    assert code == 1 and "page.md exists; name a new file" in err
    write("same.jsonl", rankings(12))
    code, _, err = say(
        *("evaluate", "--policy", "policy", "--against", "base", "--prompts", "prompts.jsonl"),
        *("--examples", "same.jsonl"),
    )
    assert code == 1 and "same.jsonl: it has no example to show" in err


def test_how_tasks_are_run_can_be_said(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def noted(request: Any, run: Any) -> dict[str, Any]:
        asked.append(request)
        return {}

    monkeypatch.setattr("reward.stages.evaluate.evaluate_stage", noted)
    write("prompts.jsonl", prompts())
    plain = ("evaluate", "--policy", "base", "--against", "base", "--prompts", "prompts.jsonl")
    assert say(*plain)[0] == 0
    assert say(*plain, "--task", "mmlu", "--task-few-shot", "5", "--task-chat",
               "--task-batch", "4", "--task-limit", "9")[0] == 0  # fmt: skip
    assert say(*plain, "--task", "mmlu", "--task-few-shot", "0", "--no-task-chat")[0] == 0
    said = [(one.task_few_shot, one.task_chat, one.task_batch) for one in asked]
    assert said == [(None, None, None), (5, True, 4), (0, False, None)]
    assert (asked[1].tasks, asked[1].task_limit, asked[1].examples) == (("mmlu",), 9, None)
