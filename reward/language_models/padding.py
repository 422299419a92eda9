"""Batches of prompt-and-answer sequences, padded on the right, and where their answers lie."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AnsweredBatch:
    """B sequences of prompt and answer.

    `ids` (B, W) padded on the right; `tokens` (B, T) the answers from column 0; `mask` (B, T) bool;
    `columns` (B, T) the column of `ids` whose hidden state predicts each answer token.
    """

    ids: Tensor
    tokens: Tensor
    mask: Tensor
    columns: Tensor

    def predicting(self, hidden: Tensor) -> Tensor:
        """Pick the hidden states (N, H) that predict the N answer tokens, row by row."""
        rows = torch.arange(len(self.ids), device=hidden.device)[:, None].expand_as(self.columns)
        return hidden[rows[self.mask], self.columns[self.mask]]

    def spread(self, flat: Tensor) -> Tensor:
        """Put (N,) values of the answer tokens back to (B, T), 0 where there is no token."""
        out = torch.zeros(self.mask.shape, dtype=flat.dtype, device=flat.device)
        return out.masked_scatter(self.mask, flat)


def answered_batch(
    prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], device: torch.device
) -> AnsweredBatch:
    """Lay out prompts and answers (each answer at least one token) as one batch."""
    width = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    longest = max(len(a) for a in answers)
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros(len(prompts), longest, dtype=torch.bool)
    columns = torch.zeros(len(prompts), longest, dtype=torch.long)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ids[row, : len(prompt) + len(answer)] = torch.tensor([*prompt, *answer])
        tokens[row, : len(answer)] = torch.tensor(list(answer))
        mask[row, : len(answer)] = True
        columns[row, : len(answer)] = torch.arange(len(answer)) + len(prompt) - 1
    return AnsweredBatch(ids.to(device), tokens.to(device), mask.to(device), columns.to(device))
