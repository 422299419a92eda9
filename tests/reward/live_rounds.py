"""A published round with a reward model, as the loop leaves one behind."""

import torch

from reward.reward_modeling.reward_model import RewardModel
from reward.running.runtime import Runtime
from storage.blobs import write_folder
from storage.clock import now
from storage.engine import writing
from storage.tables import Round, RoundState


def publish_reward(
    runtime: Runtime,
    *,
    heads: int = 4,
    seed: int = 0,
    scale: float = 30.0,
    reliability: list[dict[str, float]] | None = None,
    number: int = 1,
) -> int:
    """Store a DONE round whose reward model has heads drawn at random; return the round's id."""
    model = RewardModel(runtime.backbone, "drawn", heads=heads)
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        weight = torch.randn(model.head.weight.shape, generator=drawn)
        model.head.weight.copy_(weight * scale)
    uri = f"checkpoints/reward-{number}-{seed}"
    with write_folder(runtime.home, uri) as folder:
        model.save(folder)
    with writing(runtime.engine) as session:
        one = Round(
            project_id=runtime.project_id,
            number=number,
            state=RoundState.DONE,
            artefacts={"reward": uri},
            metrics={"reward_reliability": reliability or []},
            finished_at=now(),
        )
        session.add(one)
        session.flush()
        assert one.id is not None
        return one.id
