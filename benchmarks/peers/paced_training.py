"""A trainer that makes PPO iterations while a file says so; see `benchmarks/together.py`.

Every iteration has the same prompts, and answers that do not end, so that all are the same work.
"""

from reward.running.parent_watch import exit_when_parent_dies

if __name__ == "__main__":
    exit_when_parent_dies()

import argparse
import json
import time
from pathlib import Path

import torch

from benchmarks.peers.workload import random_prompts
from reward.generation.sampling import SamplingSettings
from reward.language_models.backbone import Backbone, load_backbone
from reward.policy_optimization.ppo import PPOTrainer
from reward.policy_optimization.ppo_settings import PPOSettings
from reward.reward_modeling.reward_model import RewardModel
from reward.reward_modeling.reward_settings import RewardSettings
from storage.settings import load_settings

GO = "go"  # a file: there while iterations are wanted
READY = "ready"  # a file: the first iteration, which warms up, is done
LOG = "iterations.jsonl"


def main() -> None:
    """Iterate until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--prompts", type=int, required=True)
    parser.add_argument("--new-tokens", type=int, required=True)
    parser.add_argument("--top-layers", type=int, required=True)
    options = parser.parse_args()
    # As reward/running/work.py does it.
    torch.set_num_threads(load_settings().threads or torch.get_num_threads())
    backbone = load_backbone(
        options.model,
        device=torch.device("cpu"),
        dtype=torch.float32,
        top_layers=options.top_layers,
        rank=16,
    )
    trainer = _trainer(backbone, options)
    prompts = random_prompts(backbone.tokenizer, options.prompts, 16, 64, seed=0)
    trainer.iterate(prompts, seed=0)
    (options.folder / READY).touch()
    number = 0
    while True:
        if not (options.folder / GO).exists():
            time.sleep(0.05)
            continue
        number += 1
        began = time.monotonic()
        trainer.iterate(prompts, seed=number)
        with (options.folder / LOG).open("a") as log:
            log.write(json.dumps({"began": began, "ended": time.monotonic()}) + "\n")


def _trainer(backbone: Backbone, options: argparse.Namespace) -> PPOTrainer:
    backbone.end_tokens = []
    reward = RewardModel.fresh(backbone, RewardSettings())
    torch.nn.init.normal_(reward.head.weight, std=0.05)
    return PPOTrainer(
        backbone,
        reward.score,
        PPOSettings(prompts_per_iteration=options.prompts),
        SamplingSettings(max_new_tokens=options.new_tokens),
        seed=0,
        generation_batch=options.prompts,
    )


if __name__ == "__main__":
    main()
