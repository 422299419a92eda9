"""Our reward model, a pass at a go: `python -m benchmarks.peers.our_reward --model FOLDER …`."""

import statistics
import time
from collections.abc import Mapping, Sequence

import torch

from benchmarks.peers.reward_workload import Ranking, read_rankings, reward_arguments
from benchmarks.peers.workload import report, wait_for_turn
from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.model_shape import layer_of
from reward.reward_modeling.ranked_examples import RankedExample
from reward.reward_modeling.reward_model import RewardModel, cache_trunks, pair_outcomes
from reward.reward_modeling.reward_settings import RewardSettings
from reward.reward_modeling.reward_training import train_reward_model

MATRIX = 1536  # rows and columns of the matrices that the speed of multiplying is taken from


class Passes:
    """Ends a turn after each pass over the rankings, and waits for the next."""

    def __init__(self, steps_a_pass: int) -> None:
        """Wait for the first turn."""
        self.steps_a_pass = steps_a_pass
        self.trunk_seconds = 0.0
        wait_for_turn()
        self.began = time.perf_counter()

    def trunk_is_cached(self) -> None:
        """Note what the frozen layers took, once for all passes."""
        self.trunk_seconds = time.perf_counter() - self.began

    def on_step(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        """Report at the last step of a pass."""
        if step % self.steps_a_pass:
            return
        seconds = time.perf_counter() - self.began
        report(seconds=seconds, trunk_seconds=self.trunk_seconds, loss=metrics["loss"])
        self.trunk_seconds = 0.0
        if step < steps:
            wait_for_turn()
            self.began = time.perf_counter()


def main() -> None:
    """Train until no more turns come; the turn after the last pass measures."""
    options = reward_arguments(__doc__)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    train, heldout = read_rankings(options.rankings)
    backbone = load_backbone(
        options.model,
        device=torch.device("cpu"),
        dtype=torch.float32,
        top_layers=options.top_layers,
        rank=options.rank,
    )
    backbone.seed = options.seed
    steps_a_pass = -(-len(train) // options.rankings_per_step)
    settings = RewardSettings(
        heads=1,
        learning_rate=options.learning_rate,
        epochs=options.passes,
        max_steps=options.passes * steps_a_pass,
        rankings_per_step=options.rankings_per_step,
        warmup_steps=options.warmup_steps,
    )
    model = RewardModel.fresh(backbone, settings)
    weights = [*backbone.parameters(model.adapter), *model.head_parameters()]
    report(trained=sum(one.numel() for one in weights))
    passes = Passes(steps_a_pass)
    cached = cache_trunks(backbone, _examples(train))
    passes.trunk_is_cached()
    train_reward_model(model, cached, settings, seed=options.seed, on_step=passes.on_step)
    wait_for_turn()
    outcomes = pair_outcomes(model, cache_trunks(backbone, _examples(heldout)))
    report(
        accuracy=statistics.fmean(one for ranking in outcomes for one in ranking),
        layer_weights=_layer_weights(backbone),
        trunk_share=backbone.split / backbone.depth,
        operations_per_second=_multiplying_speed(),
    )


def _examples(rankings: Sequence[Ranking]) -> list[RankedExample]:
    return [
        RankedExample(one.prompt, one.answers, one.ranks, group=number)
        for number, one in enumerate(rankings)
    ]


def _layer_weights(backbone: Backbone) -> int:
    """Return how many weights the matrices of all layers have, adapters left out."""
    return sum(
        weight.numel()
        for name, weight in backbone.model.named_parameters()
        if weight.dim() == 2 and layer_of(name) is not None and "lora_" not in name
    )


def _multiplying_speed() -> float:
    """Return the operations a second of multiplying large fp32 matrices, the best of ten."""
    left, right = torch.randn(2, MATRIX, MATRIX)
    taken = []
    for _ in range(10):
        began = time.perf_counter()
        torch.mm(left, right)
        taken.append(time.perf_counter() - began)
    return 2 * MATRIX**3 / min(taken)


if __name__ == "__main__":
    main()
