"""`rankloop train sft` and `train ppo` on files, by each optimizer."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from storage.blobs import write_folder
from tests.ui.stages.written import SIZES, Say, prompts, rankings, write


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


@pytest.mark.parametrize("optimizer", ["rloo", "grpo"])
def test_an_iteration_is_a_rollout_with_all_its_updates(
    say: Say, reward: Path, optimizer: str
) -> None:
    write("prompts.jsonl", prompts())
    sizes = (*SIZES, "optimizer.prompts=2", "optimizer.generations=2", "optimizer.micro_batch=2")
    code, out, err = say(
        *("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--out", "policy"),
        *("--optimizer", optimizer, "--iterations", "2", "--json"),
        sizes=(*sizes, "optimizer.updates=2", "optimizer.kl_coefficient=0"),
    )
    assert code == 0, err
    found = json.loads(out)
    scores = [one["objective/scores"] for one in found["curve"] if "objective/scores" in one]
    assert (found["iterations"], len(scores), len(found["curve"])) == (2, 2, 4)
    assert [found["reward_mean_first"], found["reward_mean_last"]] == scores
    seconds = sum(one["time/iteration"] for one in found["curve"])
    assert found["seconds_per_iteration"] == pytest.approx(seconds / 2)
    # Without a price, KL is not measured.
    assert found["kl"] is None
    assert "update 4 of 4" in err


def test_what_begins_anew_is_not_said_to_go_on(
    say: Say, reward: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reward.stages import ppo, result

    write("prompts.jsonl", prompts())
    command = (
        *("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--out", "policy"),
        *("--optimizer", "rloo", "--iterations", "1", "--json"),
    )
    sizes = (*SIZES, "optimizer.prompts=2", "optimizer.generations=2", "optimizer.micro_batch=2")
    abandon, curve = result.abandon, ppo.trl_curve

    def cut(*given: object) -> None:
        raise KeyboardInterrupt

    # A process that is killed clears nothing up.
    monkeypatch.setattr(result, "abandon", lambda folder: None)
    monkeypatch.setattr(ppo, "trl_curve", cut)
    assert say(*command, sizes=sizes)[0] == 1
    assert Path("policy/progress/settings.json").exists()
    monkeypatch.setattr(result, "abandon", abandon)
    monkeypatch.setattr(ppo, "trl_curve", curve)
    code, out, err = say(*command, sizes=sizes)
    assert code == 0, err
    assert json.loads(out)["resumed"] is False


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
        assert "not finite numbers; lower the learning rate with --set ppo.learning_rate=N" in err
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


@pytest.mark.parametrize("changed", ["reward", "sft", "texts.jsonl"])
def test_ppo_does_not_go_on_with_another_reward_start_or_text(
    say: Say, reward: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    from reward.stages import ppo

    write("prompts.jsonl", prompts())
    write("texts.jsonl", [{"text": "what must not be forgotten"}])
    with write_folder(Path(), "sft") as folder:
        shutil.copytree(reward, folder, dirs_exist_ok=True)
        (folder / "head.safetensors").unlink()
    command = (
        *("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--sft", "sft"),
        *("--out", "policy", "--json"),
    )
    sizes = (*SIZES, "ppo.ptx_coefficient=1", "ppo.ptx_file=texts.jsonl")
    told = ppo.iteration_line

    def cut(iteration: int, *given: object) -> str:
        if iteration == 2:
            raise KeyboardInterrupt
        return "one"

    monkeypatch.setattr(ppo, "iteration_line", cut)
    assert say(*command, sizes=sizes)[0] == 1
    monkeypatch.setattr(ppo, "iteration_line", told)
    if changed == "texts.jsonl":
        write(changed, [{"text": "something else"}])
    else:
        weights = load_file(f"{changed}/adapter_model.safetensors")
        with write_folder(Path(), changed) as folder:
            shutil.copytree(changed, folder, dirs_exist_ok=True)
            other = {name: value + 1 for name, value in weights.items()}
            save_file(other, folder / "adapter_model.safetensors")
    code, _, err = say(*command, sizes=sizes)
    assert code == 1
    field = {"reward": "reward_sha256", "sft": "sft_sha256", "texts.jsonl": "ptx.sha256"}[changed]
    assert f"holds an unfinished run with {field} " in err.splitlines()[-1]


def test_ppo_begins_anew_where_its_progress_is_of_another_run(
    say: Say, reward: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reward.stages import ppo

    write("prompts.jsonl", prompts())
    command = (
        *("train", "ppo", "--prompts", "prompts.jsonl", "--reward", "reward", "--out", "policy"),
        "--json",
    )
    told = ppo.iteration_line

    def cut(iteration: int, *given: object) -> str:
        if iteration == 2:
            raise KeyboardInterrupt
        return "one"

    monkeypatch.setattr(ppo, "iteration_line", cut)
    assert say(*command)[0] == 1
    monkeypatch.setattr(ppo, "iteration_line", told)
    monkeypatch.setattr(ppo.PPOTrainer, "can_resume", lambda self, state, prompts: False)
    code, out, err = say(*command)
    assert code == 0, err
    assert json.loads(out)["resumed"] is False
    assert "iteration 1 of 2" in err and "going on" not in err
