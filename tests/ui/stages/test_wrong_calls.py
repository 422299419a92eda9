"""What the commands of training refuse, in one sentence, and what they leave then: nothing."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import make_tiny_model
from tests.ui.stages.written import Say, prompts, rankings, write
from ui.cli.train import evaluate, train


def test_every_stage_and_every_option_of_it_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    for name, command in {**train.commands, "evaluate": evaluate}.items():
        assert f"rankloop {'' if command is evaluate else 'train '}{name}" in text
        for option in command.params:
            assert option.opts[0] in named, (name, option.opts)


def too_long() -> list[dict[str, Any]]:
    return [*rankings(), {"prompt": "Why " * 500, "completions": ["a", "b"], "ranks": [1, 2]}]


BAD_DATA = [
    ([*rankings(), {"prompt": "x", "chosen": 1, "rejected": "b"}], "line 41, field chosen"),
    ([], "the file holds no rankings"),
    (rankings(2), "comparisons to train on"),
    ([{**row, "ranks": [1, 1, 1]} for row in rankings()], "all rankings are ties"),
    ([{**row, "completions": ["a", "a", "a"]} for row in rankings()], "there is one class only"),
    (too_long(), "line 41: the prompt has 20"),
]


@pytest.mark.parametrize(("rows", "says"), BAD_DATA)
def test_bad_data_is_one_sentence_and_leaves_nothing(say: Say, rows: list[Any], says: str) -> None:
    write("rankings.jsonl", rows)
    code, out, err = say("train", "reward", "--data", "rankings.jsonl", "--out", "made", "--json")
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith("rankings.jsonl")
    assert says in last
    assert "Traceback" not in err
    assert not Path("made").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tuning", "magic"], "magic"),
        (["--data", "none.jsonl"], "none.jsonl"),
        (["--set", "ppo"], "SECTION.FIELD=VALUE"),
        (["--heldout-share", "2"], "0.0<=x<=0.5"),
        (["--seed", "99999999999999999999"], "0<=x<=2147483647"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(say: Say, arguments: list[str], says: str) -> None:
    write("rankings.jsonl", rankings())
    code, out, err = say(
        "train", "reward", "--data", "rankings.jsonl", "--out", "made", *arguments, sizes=()
    )
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("named", ["reward.speed=9", "training.reward.speed=9"])
def test_an_unknown_size_is_named(say: Say, named: str) -> None:
    write("rankings.jsonl", rankings())
    code, _, err = say(
        "train", "reward", "--data", "rankings.jsonl", "--out", "made", sizes=(named,)
    )
    assert code == 1
    assert "training.reward.speed does not exist" in err


def test_a_folder_that_holds_something_is_refused(say: Say, reward: Path) -> None:
    code, _, err = say("train", "reward", "--data", "rankings.jsonl", "--out", "reward")
    assert code == 1
    assert "reward is not an empty folder" in err
    assert (reward / "metrics.json").exists()


def test_a_reward_folder_that_is_none_or_of_another_model_is_named(
    say: Say, reward: Path, tmp_path: Path
) -> None:
    write("prompts.jsonl", prompts())
    Path("empty").mkdir()
    ppo = ("train", "ppo", "--prompts", "prompts.jsonl", "--out", "policy", "--reward")
    code, _, err = say(*ppo, "empty")
    assert code == 1
    assert "empty holds no reward model" in err
    other = make_tiny_model(tmp_path / "other", seed=7)
    code, _, err = say(*ppo, "reward", model=other)
    assert code == 1
    assert "reward was trained on another model" in err.splitlines()[-1]
    assert not Path("policy").exists()
    code, _, err = say(
        *("evaluate", "--policy", "reward", "--against", "base", "--prompts", "prompts.jsonl")
    )
    assert code == 1
    assert "reward holds no policy" in err


def test_a_folder_whose_weights_are_not_what_was_written_is_refused(say: Say, reward: Path) -> None:
    write("prompts.jsonl", prompts())
    (reward / "README.md").write_text("A card of our own.\n")
    ppo = ("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--iterations", "1")
    code, _, err = say(*ppo, "--out", "first")
    assert code == 0, err
    weights = max(reward.rglob("*.safetensors"), key=lambda file: file.stat().st_size)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    code, _, err = say(*ppo, "--out", "second")
    assert code == 1
    assert f"The file {weights} is not the one that was written" in err.splitlines()[-1]
    assert not Path("second").exists()


def test_a_prompt_that_leaves_no_room_for_an_answer_is_named(say: Say, reward: Path) -> None:
    write("prompts.jsonl", [*prompts(), {"prompt": "Why? " * 300}])
    code, _, err = say(
        "train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--out", "policy"
    )
    assert code == 1
    assert "prompts.jsonl, line 13: the prompt and 8 new tokens are" in err
    assert not Path("policy").exists()
