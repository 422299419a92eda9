"""Our PPO, an iteration at a go: `python -m benchmarks.peers.our_ppo --model FOLDER …`."""

import time

import torch
from torch import Tensor

from benchmarks.peers.arguments import peer_arguments
from benchmarks.peers.workload import brevity, random_prompts, report, wait_for_turn
from reward.generation.sampling import SamplingSettings
from reward.language_models.backbone import load_backbone
from reward.language_models.padding import AnsweredBatch
from reward.policy_optimization.ppo import PPOTrainer
from reward.policy_optimization.ppo_settings import PPOSettings
from reward.reward_modeling.reward_model import RewardModel
from reward.reward_modeling.reward_settings import RewardSettings


def main() -> None:
    """Train until no more turns come."""
    options = peer_arguments(__doc__)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    backbone = load_backbone(
        options.model,
        device=torch.device(options.device),
        dtype=getattr(torch, options.dtype),
        top_layers=options.top_layers,
        rank=options.rank,
        recomputed_layers=options.recomputed_layers,
    )
    ends = list(backbone.end_tokens)
    if not options.stop:
        backbone.end_tokens = []
    backbone.seed = options.seed
    backbone.add_adapter("policy")
    reward = RewardModel.fresh(backbone, RewardSettings())
    torch.nn.init.normal_(reward.head.weight, std=0.05)

    def programmatic(trunk: Tensor, batch: AnsweredBatch) -> Tensor:
        del trunk
        lengths = batch.mask.sum(1)
        last = batch.tokens.gather(1, (lengths - 1)[:, None])[:, 0]
        scores = [
            brevity(int(n), int(token) in ends) for n, token in zip(lengths, last, strict=True)
        ]
        return torch.tensor(scores, device=batch.ids.device)

    trainer = PPOTrainer(
        backbone,
        programmatic if options.learn else reward.score,
        PPOSettings(
            prompts_per_iteration=options.prompts,
            epochs=options.epochs,
            value_epochs=options.epochs if not options.learn else PPOSettings.value_epochs,
            minibatches=options.minibatches,
            micro_batch=options.micro_batch,
            learning_rate=options.learning_rate,
            value_learning_rate=options.learning_rate,
            missing_eos_penalty=0.0,
        ),
        SamplingSettings(max_new_tokens=options.new_tokens, temperature=options.temperature),
        seed=options.seed,
        generation_batch=options.prompts,
    )
    prompts = random_prompts(
        backbone.tokenizer, options.prompts * options.iterations, *options.prompt_tokens,
        options.seed,
    )  # fmt: skip
    trained = sum(one.numel() for one in trainer.policy_weights) + sum(
        one.numel() for one in trainer.update.value_weights
    )
    report(trained=trained)
    for number in range(options.iterations):
        wait_for_turn()
        began = time.perf_counter()
        batch = prompts[number * options.prompts : (number + 1) * options.prompts]
        metrics = trainer.iterate(batch, seed=options.seed * 1000 + number)
        report(
            seconds=time.perf_counter() - began,
            score=metrics["objective/scores"],
            kl=metrics["objective/kl"],
            ratio_error=metrics["val/first_ratio_error"],
        )


if __name__ == "__main__":
    main()
