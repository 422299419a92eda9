"""A ranking as one sequence: the prompt once, then its K answers, none of which sees another.

Reading the prompt once instead of K times, and padding nothing, roughly halves the work of a
ranking of four and does more for nine. Every token keeps the position and the context that it has
in a sequence of prompt and answer alone, so scores are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Positions (B, N) and the attention mask (B, 1, N, N), True where a token may look."""

    positions: Tensor
    mask: Tensor


@dataclass(frozen=True)
class PackedRanking:
    """One prompt and its K answers in a row: ids (1, N), and which answer each token is of.

    `owner` (N,) is the answer's index, −1 for the prompt; `lengths` (K,) counts answer tokens.
    """

    ids: Tensor
    layout: Layout
    owner: Tensor
    lengths: Tensor

    def mean_by_answer(self, values: Tensor) -> Tensor:
        """Return the mean of (N, …) values over each answer's tokens: (K, …)."""
        answered = self.owner >= 0
        shape = (len(self.lengths), *values.shape[1:])
        sums = torch.zeros(shape, dtype=values.dtype, device=values.device)
        sums = sums.index_add(0, self.owner[answered], values[answered])
        return sums / self.lengths.reshape(-1, *[1] * (values.dim() - 1))

    def last_by_answer(self, values: Tensor) -> Tensor:
        """Return the values (N, …) at each answer's last token: (K, …)."""
        prompt = len(self.owner) - int(self.lengths.sum())
        return values[prompt + self.lengths.cumsum(0) - 1]


def stack_rankings(
    rankings: Sequence[PackedRanking], activations: Sequence[Tensor]
) -> tuple[Layout, Tensor]:
    """Pad packed rankings to one batch: its layout, and its activations (B, N, …).

    `activations` holds a tensor (1, N_i, …) for each ranking. A padding token looks at itself only,
    since a row without anything to look at has no softmax; nobody looks at it.
    """
    width = max(len(one.owner) for one in rankings)
    positions = activations[0].new_zeros((len(rankings), width), dtype=torch.long)
    mask = torch.eye(width, dtype=torch.bool, device=positions.device).repeat(
        len(rankings), 1, 1, 1
    )
    stacked = activations[0].new_zeros((len(rankings), width, *activations[0].shape[2:]))
    for row, (one, values) in enumerate(zip(rankings, activations, strict=True)):
        length = len(one.owner)
        positions[row, :length] = one.layout.positions[0]
        mask[row, 0, :length, :length] = one.layout.mask[0, 0]
        stacked[row, :length] = values[0]
    return Layout(positions, mask), stacked


def pack_ranking(
    prompt: Sequence[int], answers: Sequence[Sequence[int]], device: torch.device
) -> PackedRanking:
    """Lay out one prompt and its answers, each of at least one token."""
    ids, positions, owner = list(prompt), list(range(len(prompt))), [-1] * len(prompt)
    for index, answer in enumerate(answers):
        ids += answer
        positions += range(len(prompt), len(prompt) + len(answer))
        owner += [index] * len(answer)
    of = torch.tensor(owner, device=device)
    order = torch.arange(len(ids), device=device)
    visible = (of[None, :] == -1) | (of[None, :] == of[:, None])
    mask = (visible & (order[None, :] <= order[:, None]))[None, None]
    return PackedRanking(
        ids=torch.tensor([ids], device=device),
        layout=Layout(torch.tensor([positions], device=device), mask),
        owner=of,
        lengths=torch.tensor([len(answer) for answer in answers], device=device),
    )
