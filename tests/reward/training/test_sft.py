"""Fine-tuning on demonstrations: what carries loss, what is trained, and going on after a kill."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from reward.generation.conversations import prompt_ids
from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.role_model import IGNORED
from reward.training.sft import (
    DemonstratedAnswer,
    build_trainer,
    demonstrated_answer,
    planned_steps,
    short_enough,
    train_sft,
)
from reward.training.sft_settings import SFTSettings
from reward.training.trl_trainer import OnStep
from storage.errors import BadInput

END = 2
SETTINGS = SFTSettings(epochs=3, batch=4, micro_batch=2, save_steps=2, learning_rate=5e-3)


def demonstrations(backbone: Backbone, count: int = 10) -> list[DemonstratedAnswer]:
    return [
        demonstrated_answer(
            backbone.tokenizer,
            [{"role": "user", "content": "Say it" + "!" * index}],
            "yes" + "." * (index % 4),
            system_prompt="Be brief.",
            end_token=END,
        )
        for index in range(count)
    ]


def weights_of(backbone: Backbone, name: str) -> list[Tensor]:
    return [weight.detach().clone() for weight in backbone.parameters(name)]


def same(before: list[Tensor], after: list[Tensor]) -> bool:
    return all(map(torch.equal, before, after))


def test_exactly_the_answer_and_its_end_carry_loss(backbone: Backbone, tmp_path: Path) -> None:
    shown = demonstrations(backbone, 2)
    # By hand, from the text of the whole conversation as the chat template writes it.
    text = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nSay it!<|im_end|>\n"
        "<|im_start|>assistant\nyes.<|im_end|>"
    )
    whole = backbone.tokenizer(text, add_special_tokens=False)["input_ids"]
    by_hand = [IGNORED] * (len(whole) - 5) + whole[-5:]
    assert backbone.tokenizer.decode(whole[-5:]) == "yes.<|im_end|>"
    trainer = build_trainer(backbone, "policy", shown, SETTINGS, str(tmp_path), seed=0)
    # A step of four, of which two are blank and carry no loss.
    step = sorted(trainer.train_dataset.select(range(4)), key=lambda row: len(row["input_ids"]))
    assert [set(row["labels"]) for row in step[:2]] == [{IGNORED}, {IGNORED}]
    batch = trainer.data_collator(step[2:])
    assert batch["input_ids"][1].tolist() == whole
    assert batch["labels"][1].tolist() == by_hand
    # The first is two tokens shorter, and its padding carries none.
    assert batch["labels"][0, -2:].tolist() == [IGNORED] * 2
    assert (batch["labels"][0] != IGNORED).sum() == 4


def test_the_loss_is_the_mean_over_those_tokens(backbone: Backbone) -> None:
    shown = demonstrations(backbone, 4)
    log_probs = []
    for one in shown:
        ids = torch.tensor([one.prompt + one.answer])
        states = backbone.top(backbone.trunk(ids), None)[0]
        table = (states @ backbone.output_weight.T).log_softmax(-1)
        log_probs += [
            table[len(one.prompt) - 1 + step, token] for step, token in enumerate(one.answer)
        ]
    losses: list[float] = []
    settings = SFTSettings(batch=4, micro_batch=2, max_steps=1)
    train_sft(
        backbone,
        "policy",
        shown,
        settings,
        seed=0,
        on_step=lambda step, steps, metrics: losses.append(metrics["loss/sft"]),
    )
    assert losses == pytest.approx([-float(torch.stack(log_probs).mean())], abs=1e-4)


def test_only_the_role_learns_and_it_learns(backbone: Backbone) -> None:
    backbone.add_adapter("sft")
    others = weights_of(backbone, "policy")
    base = [p.clone() for key, p in backbone.model.named_parameters() if ".sft." not in key]
    before = weights_of(backbone, "sft")
    metrics: list[dict[str, float]] = []
    train_sft(
        backbone,
        "sft",
        demonstrations(backbone),
        SFTSettings(epochs=12, batch=5, micro_batch=5, learning_rate=2e-2),
        seed=0,
        on_step=lambda step, steps, figures: metrics.append(figures),
    )
    assert not same(before, weights_of(backbone, "sft"))
    assert same(others, weights_of(backbone, "policy"))
    now = [p for key, p in backbone.model.named_parameters() if ".sft." not in key]
    assert same(base, now)
    assert not any(p.requires_grad for p in backbone.model.parameters())
    assert metrics[-1]["loss/sft"] < 0.8 * metrics[0]["loss/sft"]
    assert metrics[-1]["mean_token_accuracy"] > metrics[0]["mean_token_accuracy"]
    assert len(metrics) == planned_steps(10, SFTSettings(epochs=12, batch=5)) == 24


def test_micro_batches_change_nothing(backbone: Backbone) -> None:
    shown = demonstrations(backbone)
    backbone.copy_adapter("policy", "other")
    for name, micro_batch in (("policy", 4), ("other", 1)):
        settings = SFTSettings(epochs=1, batch=4, micro_batch=micro_batch)
        train_sft(backbone, name, shown, settings, seed=1)
    for whole, parts in zip(
        weights_of(backbone, "policy"), weights_of(backbone, "other"), strict=True
    ):
        torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-4)


def test_a_run_that_was_cut_off_ends_with_the_same_bits(backbone: Backbone, tmp_path: Path) -> None:
    shown = demonstrations(backbone)
    start = weights_of(backbone, "policy")
    train_sft(backbone, "policy", shown, SETTINGS, seed=3)
    whole = weights_of(backbone, "policy")

    def stop(step: int, steps: int, metrics: dict[str, float]) -> None:
        if step == 5:
            raise KeyboardInterrupt

    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        _from(backbone, start, shown, tmp_path / "progress", stop)
    losses = _from(
        backbone, start, shown, tmp_path / "progress", lambda step, *_: steps.append(step)
    )
    assert len(losses) == 9, "the losses of the first run are kept"
    assert steps == [5, 6, 7, 8, 9], "the last progress was kept after step 4"
    assert same(whole, weights_of(backbone, "policy"))


def test_progress_of_other_data_is_not_gone_on_from(backbone: Backbone, tmp_path: Path) -> None:
    shown = demonstrations(backbone)
    train_sft(backbone, "policy", shown, SETTINGS, seed=3, folder=tmp_path / "progress")
    steps: list[int] = []
    train_sft(
        backbone,
        "policy",
        shown[:8],
        SETTINGS,
        seed=3,
        folder=tmp_path / "progress",
        on_step=lambda step, *_: steps.append(step),
    )
    assert steps[0] == 1


def test_nothing_in_the_progress_is_a_pickle(backbone: Backbone, tmp_path: Path) -> None:
    train_sft(backbone, "policy", demonstrations(backbone), SETTINGS, seed=3, folder=tmp_path / "p")
    kept = [path for path in (tmp_path / "p").rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} == {".safetensors", ".json"}


def _from(
    backbone: Backbone,
    start: list[Tensor],
    shown: list[DemonstratedAnswer],
    folder: Path,
    on_step: OnStep,
) -> list[float]:
    for weight, first in zip(backbone.parameters("policy"), start, strict=True):
        weight.data.copy_(first)
    torch.manual_seed(77)
    return train_sft(backbone, "policy", shown, SETTINGS, seed=3, folder=folder, on_step=on_step)


def test_what_is_too_long_is_left_out(backbone: Backbone) -> None:
    shown = demonstrations(backbone, 4)
    limit = sorted(len(one) for one in shown)[1]
    assert len(short_enough(shown, SFTSettings(max_tokens=limit), 1024)) == 2
    with pytest.raises(BadInput, match="no demonstration"):
        train_sft(backbone, "policy", [], SETTINGS, seed=0)


def test_a_batch_that_cannot_be_cut_evenly_is_refused() -> None:
    with pytest.raises(BadInput, match=r"training\.sft\.batch is 8, which 3"):
        _ = SFTSettings(micro_batch=3).accumulation


def test_a_loss_that_is_no_number_ends_the_training(backbone: Backbone) -> None:
    backbone.parameters("policy")[0].data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="not a finite number"):
        train_sft(backbone, "policy", demonstrations(backbone), SETTINGS, seed=0)


def test_too_little_memory_halves_what_is_worked_on(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    trunk = backbone.trunk

    def small(ids: Tensor, *rest: object) -> Tensor:
        sizes.append(len(ids))
        if len(ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return trunk(ids)

    monkeypatch.setattr(backbone, "trunk", small)
    settings = SFTSettings(epochs=1, batch=8, micro_batch=8)
    train_sft(backbone, "policy", demonstrations(backbone, 8), settings, seed=0)
    assert sizes == [8, 4, 2, 2, 2, 2]


def test_too_little_memory_for_an_odd_batch_leaves_what_divides_it(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    trunk = backbone.trunk

    def small(ids: Tensor, *rest: object) -> Tensor:
        sizes.append(len(ids))
        if len(ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return trunk(ids)

    monkeypatch.setattr(backbone, "trunk", small)
    settings = SFTSettings(epochs=1, batch=9, micro_batch=9)
    train_sft(backbone, "policy", demonstrations(backbone, 9), settings, seed=0)
    assert sizes == [9, 3, 3, 3]


def test_the_prompt_is_what_the_policy_sees(backbone: Backbone) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    (one,) = [
        demonstrated_answer(backbone.tokenizer, messages, "yo", system_prompt="S", end_token=END)
    ]
    assert one.prompt == prompt_ids(backbone.tokenizer, messages, "S")
    assert one.answer[-1] == END


CHILD = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from reward.language_models.backbone import load_backbone
from reward.training.sft import train_sft
from tests.reward.training.test_sft import SETTINGS, demonstrations
import os, signal

model, folder, out, kill_at = sys.argv[1:]
torch.set_num_threads(1)
backbone = load_backbone(
    model, device=torch.device("cpu"), dtype=torch.float32, top_layers=2, rank=4
)
backbone.seed = 5
backbone.add_adapter("policy")

def on_step(step, steps, metrics):
    if step == int(kill_at):
        os.kill(os.getpid(), signal.SIGKILL)

train_sft(backbone, "policy", demonstrations(backbone), SETTINGS, seed=3,
          folder=Path(folder), on_step=on_step)
save_file({str(i): p.detach().contiguous() for i, p in enumerate(backbone.parameters("policy"))},
          out)
"""


@pytest.mark.slow
def test_kill_nine_ends_with_the_same_bits(tiny_folder: Path, tmp_path: Path) -> None:
    def child(folder: str, out: str, kill_at: int) -> int:
        arguments = [str(tiny_folder), str(tmp_path / folder), str(tmp_path / out), str(kill_at)]
        return subprocess.run(
            [sys.executable, "-c", CHILD, *arguments], env=os.environ, timeout=150
        ).returncode

    assert child("whole", "whole.safetensors", 0) == 0
    assert child("cut", "cut.safetensors", 7) == -signal.SIGKILL
    assert child("cut", "cut.safetensors", 0) == 0
    assert (tmp_path / "cut.safetensors").read_bytes() == (
        tmp_path / "whole.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("tuning", ["full", "head", "prompt", "prefix", "adapter", "bitfit"])
def test_every_tuning_method_can_be_fitted(tiny_folder: Path, tuning: str) -> None:
    backbone = load_backbone(
        tiny_folder,
        device=torch.device("cpu"),
        dtype=torch.float32,
        top_layers=2,
        rank=4,
        tuning=tuning,
    )
    backbone.add_adapter("sft")
    before, others = weights_of(backbone, "sft"), weights_of(backbone, "policy")
    settings = SFTSettings(epochs=2, batch=10, micro_batch=10, learning_rate=5e-2)
    losses = train_sft(backbone, "sft", demonstrations(backbone), settings, seed=0)
    assert losses[-1] < losses[0]
    assert not same(before, weights_of(backbone, "sft"))
    assert same(others, weights_of(backbone, "policy"))
