"""Train a role by TRL's trainers in however many processes this was started with.

    torchrun --nproc_per_node 2 tests/reward/training/trl_in_processes.py MODEL OUT METHODS [DYING]

METHODS are joined by commas: sft, rloo, grpo, dpo, each with its tuning, as in sft@lora; dpo-ref is
dpo against another role. Rank 0 saves what each trained, its metrics, and which part of the trained
weights it held of its own. DYING is RANK:STEP: that process kills itself after that
step. Progress is then kept beside OUT, and with -1, which is nobody's rank, gone on from.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor

from reward.generation.sampling import SamplingSettings
from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.padding import AnsweredBatch
from reward.policy_optimization.trl_optimizers import PreferencePair, train_with
from reward.training import sharded_model
from reward.training.optimizer_settings import OptimizerSettings
from reward.training.processes import Processes
from reward.training.sft import DemonstratedAnswer, train_sft
from reward.training.sft_settings import SFTSettings
from reward.training.trl_trainer import OnStep

# Ten make two steps a pass: eight, and two with six blanks.
PROMPTS = [[1, *range(index, index + 3 + index % 4)] for index in range(10, 20)]
DEMONSTRATIONS = [
    DemonstratedAnswer(prompt, [40 + index, *[30] * (index % 3), 2])
    for index, prompt in enumerate(PROMPTS)
]
# Six in steps of four: a step spans two passes.
PAIRS = [
    PreferencePair(prompt, [40, 41 + i, 2], [50] * (i + 1)) for i, prompt in enumerate(PROMPTS)
]
SFT = SFTSettings(epochs=2, batch=8, save_steps=1, learning_rate=5e-3)
SIZES = OptimizerSettings(
    steps=3, prompts=2, generations=4, pairs=4, learning_rate=5e-3, dpo_learning_rate=5e-3
)


class LowIds:
    """Score the share of an answer's tokens that are in the first half of the vocabulary."""

    def score(self, trunk: torch.Tensor, batch: AnsweredBatch) -> torch.Tensor:
        """Return the scores of a batch."""
        del trunk
        return 3.0 * ((batch.tokens < 130) & batch.mask).sum(1) / batch.mask.sum(1)


def train(backbone: Backbone, method: str, on_step: OnStep, folder: Path | None) -> None:
    """Move the policy by one of TRL's trainers, with micro-batches of 4 in all processes."""
    micro_batch = 4 // Processes.current().count
    reference = None
    if method == "dpo-ref":
        reference, method = "reference", "dpo"
        backbone.copy_adapter("policy", reference)
        generator = torch.Generator().manual_seed(1)
        for weight in backbone.parameters(reference):
            weight.data += 0.1 * torch.randn(weight.shape, generator=generator)
    if method == "sft":
        sizes = SFTSettings(**{**vars(SFT), "micro_batch": micro_batch})
        train_sft(backbone, "policy", DEMONSTRATIONS, sizes, seed=3, on_step=on_step, folder=folder)
        return
    train_with(
        method,
        backbone,
        scorer=LowIds(),
        prompts=PROMPTS,
        pairs=PAIRS,
        reference=reference,
        settings=OptimizerSettings(**{**vars(SIZES), "micro_batch": micro_batch}),
        sampling=SamplingSettings(max_new_tokens=4, temperature=0.7),
        seed=3,
        on_step=on_step,
    )


def main(model: str, out: str, methods: str, dying: str = "") -> None:
    """Train, and let rank 0 write weights and metrics."""
    torch.set_num_threads(1)
    processes = Processes.current()
    found: dict[str, torch.Tensor] = {}
    for method in methods.split(","):
        found |= _trained(model, method, Path(f"{out}.progress"), dying)
    (count,) = processes.sum(1)
    if processes.is_first:
        print(f"trained in {count:.0f} processes")  # noqa: T201
        save_file(found, Path(out))


def _trained(model: str, method: str, progress: Path, dying: str) -> dict[str, torch.Tensor]:
    rank, _, last = dying.partition(":")
    optimizer, _, tuning = method.partition("@")
    backbone = load_backbone(
        model,
        device=torch.device("cpu"),
        dtype=torch.float32,
        top_layers=2,
        rank=4,
        tuning=tuning,
    )
    backbone.add_adapter("policy")
    found = {}

    def on_step(step: int, steps: int, metrics: dict[str, float]) -> None:
        del steps
        found.update({f"{method}.{step}.{k}": torch.tensor(v) for k, v in metrics.items()})
        if dying and Processes.current().rank == int(rank) and step == int(last or 1):
            os.kill(os.getpid(), signal.SIGKILL)

    held = _note_parts()
    train(backbone, optimizer, on_step, progress if dying else None)
    weights = backbone.parameters("policy")
    found[f"{method}.held"] = torch.tensor(max(held, default=1.0))
    return found | {
        f"{method}.weight.{index}": one.detach().contiguous() for index, one in enumerate(weights)
    }


def _note_parts() -> list[float]:
    """Return a list that is filled, when weights are gathered, with the part of each held here."""
    parts: list[float] = []
    whole = sharded_model.whole.__dict__.get("real", sharded_model.whole)

    def noted(tensor: torch.Tensor) -> torch.Tensor:
        if isinstance(tensor, DTensor):
            parts.append(tensor.to_local().numel() / tensor.numel())
        elif hasattr(tensor, "ds_id"):
            parts.append(tensor.ds_tensor.numel() / tensor.ds_numel)
        return whole(tensor)

    noted.__dict__["real"] = whole
    sharded_model.whole = noted
    return parts


if __name__ == "__main__":
    main(*sys.argv[1:])
