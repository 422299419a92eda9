"""Every stage of training through the command line, on a tiny model and files alone."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.tiny_model import make_tiny_model
from ui.cli.commands import cli
from ui.cli.frame import run
from ui.cli.train import evaluate, train

SIZES = (
    *("backbone.top_layers=2", "backbone.rank=4", "sampling.max_new_tokens=8"),
    *("ppo.prompts_per_iteration=8", "ppo.max_prompt_tokens=300", "ppo.iterations=2"),
    *("evaluation.prompts=8", "evaluation.heldout_tokens=200", "reward.max_steps=8"),
    *("reward.normalise_prompts=4",),
)
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def say(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Say:
    """Run a command in an empty folder with a tiny model; return code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKLOOP_HOME", str(tmp_path / "no-home"))
    monkeypatch.setenv("RANKLOOP_SYSTEM_PROMPT", "")
    monkeypatch.setenv("RANKLOOP_DEVICE", "cpu")

    def command(*arguments: str, model: Path = tiny, sizes: tuple[str, ...] = SIZES) -> Any:
        given = [word for size in sizes for word in ("--set", size)]
        code = run(cli, [*arguments, "--model", str(model), *given])
        said = capsys.readouterr()
        assert not (tmp_path / "no-home").exists()
        return code, said.out, said.err

    return command


def write(name: str, rows: list[Any]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """Return the curve of that name that TensorBoard finds in a folder."""
    found = EventAccumulator(str(folder))
    found.Reload()
    return [(event.step, event.value) for event in found.Scalars(name)]


def rankings(count: int = 40, **more: Any) -> list[dict[str, Any]]:
    """Return rankings in which the shorter completion is always the better one."""
    draw = random.Random(0)
    return [
        {
            "prompt": f"Question {number}?",
            "completions": ["a" * draw.randint(1, 8), "b" * draw.randint(12, 24), "c" * 30],
            "ranks": [1, 2, 3],
            "subset": ("even", "odd")[number % 2],
            **more,
        }
        for number in range(count)
    ]


def prompts(count: int = 12) -> list[dict[str, str]]:
    return [{"prompt": f"Question {number}?"} for number in range(count)]


@pytest.fixture
def reward(say: Say) -> Path:
    write("rankings.jsonl", rankings())
    code, _, err = say("train", "reward", "--data", "rankings.jsonl", "--out", "reward")
    assert code == 0, err
    return Path("reward")


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


def test_sft_gives_a_policy_that_ppo_starts_from(say: Say, reward: Path) -> None:
    write("demos.jsonl", [{**row, "completion": "yes yes"} for row in prompts()])
    write("prompts.jsonl", prompts())
    sizes = (*SIZES, "sft.max_steps=8", "sft.batch=4", "sft.learning_rate=0.01")
    code, out, err = say(
        *("train", "sft", "--data", "demos.jsonl", "--out", "sft", "--json"), sizes=sizes
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["demonstrations"] == 12
    assert found["loss_last"] < found["loss_first"]
    assert found["steps"] == 8
    assert found["seconds"] > 0
    assert found["peak_memory_mb"] > 100
    code, out, err = say(
        *("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--sft", "sft"),
        *("--out", "policy", "--iterations", "1", "--json"),
    )
    assert code == 0, err
    # KL is to the policy that it starts from.
    assert json.loads(out)["kl"] == pytest.approx(0.0, abs=1e-3)


def test_pretraining_texts_are_mixed_in(say: Say, reward: Path) -> None:
    write("prompts.jsonl", prompts())
    command = ("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--out")
    mix = ("ppo.ptx_coefficient=5", "ppo.ptx_file=texts.jsonl", "ppo.iterations=1")
    code, _, err = say(*command, "mixed", sizes=(*SIZES, *mix))
    assert code == 1
    assert "The file texts.jsonl of training.ppo.ptx_file does not exist" in err
    assert not Path("mixed").exists()
    write("texts.jsonl", [{"text": "what must not be forgotten"}])
    assert say(*command, "mixed", sizes=(*SIZES, *mix))[0] == 0
    assert say(*command, "plain", sizes=(*SIZES, "ppo.iterations=1"))[0] == 0
    assert (
        Path("mixed", "adapter_model.safetensors").read_bytes()
        != Path("plain", "adapter_model.safetensors").read_bytes()
    )


@pytest.mark.parametrize("optimizer", ["rloo", "grpo", "dpo"])
def test_other_optimizers_give_the_same_figures(say: Say, reward: Path, optimizer: str) -> None:
    write("prompts.jsonl", prompts())
    sizes = (*SIZES, "optimizer.prompts=2", "optimizer.generations=2", "optimizer.micro_batch=2")
    code, out, err = say(
        *("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--out", "policy"),
        *("--optimizer", optimizer, "--data", "rankings.jsonl", "--iterations", "2", "--json"),
        sizes=(*sizes, "optimizer.pairs=4"),
    )
    assert code == 0, err
    found = json.loads(out)
    wanted = {"reward_mean_first", "reward_mean_last", "kl", "seconds_per_iteration"}
    assert all(isinstance(found[name], float) for name in wanted)
    assert found["iterations"] == 2
    assert ("passed over" in err) == (optimizer != "dpo")


def test_the_optimizer_of_the_settings_holds_where_no_option_says_another(
    say: Say, reward: Path
) -> None:
    write("prompts.jsonl", prompts())
    sizes = ("optimizer.optimizer=rloo", "optimizer.prompts=2", "optimizer.generations=2")
    command = ("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--out")
    small = (*SIZES, *sizes, "optimizer.micro_batch=2")
    assert say(*command, "policy", "--iterations", "1", sizes=small)[0] == 0
    assert json.loads(Path("policy/settings.json").read_text())["optimizer"] == "rloo"


def test_a_policy_whose_weights_ran_away_is_named_and_not_saved(say: Say, reward: Path) -> None:
    write("prompts.jsonl", prompts())
    runs_away = ("ppo.learning_rate=1e30", "ppo.minibatches=1", "ppo.epochs=1")
    command = ("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--out", "made")
    for iterations in ("1", "2"):
        code, _, err = say(*command, "--iterations", iterations, sizes=(*SIZES, *runs_away))
        assert code == 1
        assert "not finite numbers; lower the learning rate with --set." in err
        assert not Path("made").exists()


def test_what_dpo_cannot_learn_from_is_named(say: Say, reward: Path) -> None:
    write("prompts.jsonl", prompts())
    alike = [{"prompt": f"{n}?", "chosen": "same", "rejected": "same"} for n in range(12)]
    for rows, named in (
        (rankings(3), "9 comparisons to train on, but at least 10 are needed"),
        (rankings(weight=0), "every ranking to train on has weight 0"),
        (alike, "there is one class only"),
    ):
        write("bad.jsonl", rows)
        code, _, err = say(
            *("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward"),
            *("--out", "policy", "--optimizer", "dpo", "--data", "bad.jsonl"),
        )
        assert code == 1 and named in err, err
        assert not Path("policy").exists()


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


def test_every_stage_and_every_option_of_it_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    for name, command in {**train.commands, "evaluate": evaluate}.items():
        assert f"rankloop {'' if command is evaluate else 'train '}{name}" in text
        for option in command.params:
            assert option.opts[0] in text, (name, option.opts)


def test_without_json_comes_a_summary_in_words(say: Say) -> None:
    write("rankings.jsonl", rankings())
    code, out, _ = say("train", "reward", "--data", "rankings.jsonl", "--out", "made")
    assert code == 0
    assert "accuracy ci  [" in out
    assert "by subset: even: accuracy" in out
    assert out.endswith("Written to made.\n")


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


def test_an_unknown_size_is_named(say: Say) -> None:
    write("rankings.jsonl", rankings())
    code, _, err = say(
        "train", "reward", "--data", "rankings.jsonl", "--out", "made", sizes=("reward.speed=9",)
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


def test_a_prompt_that_leaves_no_room_for_an_answer_is_named(say: Say, reward: Path) -> None:
    write("prompts.jsonl", [*prompts(), {"prompt": "Why? " * 300}])
    code, _, err = say(
        "train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--out", "policy"
    )
    assert code == 1
    assert "prompts.jsonl, line 13: the prompt and 8 new tokens are" in err
    assert not Path("policy").exists()


def test_ppo_goes_on_where_it_was_cut_off_and_ends_the_same(
    say: Say, reward: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    from reward.stages import optimizers, ppo

    write("prompts.jsonl", prompts())
    command = ("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--out")
    assert say(*command, "whole")[0] == 0
    told = optimizers.iteration_line

    def cut(iteration: int, iterations: int, metrics: dict[str, float]) -> str:
        if iteration == 2:
            raise KeyboardInterrupt
        return told(iteration, iterations, metrics)

    monkeypatch.setattr(ppo, "iteration_line", cut)
    assert say(*command, "policy")[0] == 1
    assert [each.name for each in Path("policy").iterdir()] == ["progress"]
    code, _, err = say(*command, "policy", "--seed", "9", "--set", "ppo.clip=0.3")
    assert code == 1
    assert "holds an unfinished run with seed 0, not 9; with training.ppo.clip 0.2, not 0.3" in err
    monkeypatch.setattr(ppo, "iteration_line", told)
    code, _, err = say(*command, "policy")
    assert code == 0
    assert "going on after iteration 1 of 2" in err
    assert not Path("policy/progress").exists()
    whole, resumed = (
        load_file(f"{name}/adapter_model.safetensors") for name in ("whole", "policy")
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
