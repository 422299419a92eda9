"""What a scalar head reads of an answer: the mean of its states, or the last one."""

import torch
from torch import Tensor

from reward.language_models.padding import AnsweredBatch
from reward.reward_modeling.packing import PackedRanking

LAST = "last"


def pooled_ranking(sequences: PackedRanking, hidden: Tensor, pooling: str) -> Tensor:
    """Return the pooled states (K, H) of a packed ranking whose states are `hidden` (N, H)."""
    states = hidden[: len(sequences.owner)].float()
    pool = sequences.last_by_answer if pooling == LAST else sequences.mean_by_answer
    return pool(states)


def pooled_batch(batch: AnsweredBatch, hidden: Tensor, pooling: str) -> Tensor:
    """Return the pooled states (B, H) of a batch's answers; its states are `hidden` (B, T, H)."""
    rows = torch.arange(len(batch.ids), device=hidden.device)[:, None]
    if pooling == LAST:
        last = batch.columns.gather(1, batch.mask.sum(1, keepdim=True) - 1) + 1
        return hidden[rows, last][:, 0].float()
    states = hidden[rows.expand_as(batch.columns), batch.columns + 1].float()
    mask = batch.mask[..., None]
    return (states * mask).sum(1) / mask.sum(1)
