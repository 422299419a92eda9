"""Train a policy and a reward model in however many processes this was started with.

    torchrun --nproc_per_node 2 tests/reward/training/train_in_processes.py MODEL OUT [RANK]

Rank 0 saves both. The process of rank RANK, if one is named, kills itself after PPO's first
iteration.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from reward.generation.sampling import SamplingSettings
from reward.language_models.backbone import load_backbone
from reward.language_models.padding import AnsweredBatch
from reward.policy_optimization.ppo import PPOTrainer
from reward.policy_optimization.ppo_settings import PPOSettings
from reward.reward_modeling.ranked_examples import RankedExample, cache_trunks
from reward.reward_modeling.reward_model import RewardModel
from reward.reward_modeling.reward_settings import RewardSettings
from reward.reward_modeling.reward_training import train_reward_model
from reward.training.processes import Processes

PROMPTS = [[1, *range(index, index + 3 + index % 4)] for index in range(10, 22)]
SETTINGS = PPOSettings(
    iterations=2,
    prompts_per_iteration=12,
    minibatches=2,
    learning_rate=1e-2,
    kl_target=1.0,
    scale_rewards=True,
    max_kl_rise=40.0,
    min_entropy=0.0,
)


# Rankings of four make a step, so with two processes two are each one's.
REWARD_SETTINGS = RewardSettings(rankings_per_step=4, epochs=2, heads=2, learning_rate=1e-2)
RANKINGS = [
    RankedExample(prompt, [[20 + i, 30, 2], [40, 41, 42, 2], [50, 51 + i, 2]], [1, 2, 3], group=i)
    for i, prompt in enumerate(PROMPTS[:10])
]


def share_of_wanted(trunk: torch.Tensor, batch: AnsweredBatch) -> torch.Tensor:
    """Reward ids from 60 to 79."""
    del trunk
    wanted = (batch.tokens >= 60) & (batch.tokens < 80) & batch.mask
    return 5.0 * wanted.sum(1) / batch.mask.sum(1)


def main(model: str, out: str, dying: str = "") -> None:
    """Train, and let rank 0 write the policy's weights and its metrics."""
    torch.set_num_threads(1)
    processes = Processes.current()
    backbone = load_backbone(
        model, device=torch.device("cpu"), dtype=torch.float32, top_layers=2, rank=4
    )
    backbone.add_adapter("policy")
    trainer = PPOTrainer(
        backbone,
        share_of_wanted,
        SETTINGS,
        SamplingSettings(max_new_tokens=6),
        seed=0,
        generation_batch=12,
        processes=processes,
    )

    def on_iteration(iteration: int, metrics: dict[str, float]) -> None:
        del iteration, metrics
        if dying and processes.rank == int(dying):
            os.kill(os.getpid(), signal.SIGKILL)

    history = trainer.train(PROMPTS, on_iteration)
    reward = RewardModel.fresh(backbone, REWARD_SETTINGS)
    cached = cache_trunks(backbone, RANKINGS)
    loss = train_reward_model(reward, cached, REWARD_SETTINGS, seed=0, processes=processes)
    (count,) = processes.sum(1)
    if processes.is_first:
        print(f"trained in {count:.0f} processes")  # noqa: T201
        tensors = {str(i): one.detach() for i, one in enumerate(trainer.policy_weights)}
        metrics = {f"{i}.{k}": torch.tensor(v) for i, m in enumerate(history) for k, v in m.items()}
        own = [*backbone.parameters("reward"), reward.head.weight, torch.tensor(loss)]
        fitted = {f"reward.{i}": one.detach() for i, one in enumerate(own)}
        save_file({**tensors, **metrics, **fitted}, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
