"""Log-probabilities of chosen tokens, without ever holding the logits of a whole batch.

A vocabulary is 50–200 thousand wide: the logits of 32 answers of 64 tokens of SmolLM2 are 400 MB in
fp32. The functions here go through the vocabulary in blocks and keep what the loss needs, with the
running maximum and sum of an online softmax (Milakov and Gimelshein 2018; for language models'
losses Wijmans et al. 2024, "Cut Your Losses in Large-Vocabulary Language Models", §4). A block of
many positions and part of the vocabulary stays in a processor's caches, where a few positions of
all of it do not, and holds a quarter of the memory.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

POSITIONS = 1024
WIDTH = 4096


class _TokenLogProb(torch.autograd.Function):
    """Compute log p(token) and the entropy, block by block in both directions.

    With z = hidden @ weight.T / T and p = softmax(z), d log p(y) / dz = onehot(y) − p. The gradient
    to `hidden`, (weight[y] − p @ weight) / T, is made in the forward, whose logits are there
    anyway. That to `weight` needs the gradients that arrive, so the backward makes the logits
    again, and only where the weight is trained.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        log_prob = torch.empty(len(tokens), dtype=torch.float32, device=hidden.device)
        entropy, norm = torch.empty_like(log_prob), torch.empty_like(log_prob)
        grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for part in _slices(len(tokens), POSITIONS):
            chosen, norm[part], mean, mean_row = _over_vocabulary(
                hidden[part], weight, tokens[part], temperature, rows=grad is not None
            )
            log_prob[part] = chosen - norm[part]
            entropy[part] = norm[part] - mean
            if grad is not None:
                grad[part] = ((weight[tokens[part]] - mean_row) / temperature).to(grad.dtype)
        ctx.temperature = temperature
        kept = (hidden, weight, tokens, norm) if ctx.needs_input_grad[1] else ()
        ctx.save_for_backward(grad, *kept)
        ctx.mark_non_differentiable(entropy)
        return log_prob, entropy

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad_log_prob = outputs[0]
        grad, *kept = ctx.saved_tensors
        to_hidden = None if grad is None else (grad_log_prob[:, None] * grad).to(grad.dtype)
        to_weight = _to_weight(kept, grad_log_prob, ctx.temperature) if kept else None
        return to_hidden, to_weight, None, None


def _over_vocabulary(
    hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float, *, rows: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return z[y], logsumexp z and Σ p z, each (N,), and with `rows` Σ p weight (N, H), else zeros.

    Sums are kept relative to the largest logit so far; a larger one scales them down.
    """
    largest = hidden.new_full((len(tokens),), -torch.inf, dtype=torch.float32)
    chosen, total, weighted = (torch.zeros_like(largest) for _ in range(3))
    summed = torch.zeros_like(hidden, dtype=torch.float32)
    for z, block, own in _logits(hidden, weight, tokens, temperature):
        inside = own >= 0
        chosen = torch.where(inside, z.gather(1, own.clamp(min=0)[:, None])[:, 0], chosen)
        before, largest = largest, torch.maximum(largest, z.amax(1))
        shrink = (before - largest).exp_()
        e = (z - largest[:, None]).exp_()
        total = total * shrink + e.sum(1)
        weighted = weighted * shrink + z.mul_(e).sum(1)
        if rows:
            summed.mul_(shrink[:, None]).add_(e.to(weight.dtype) @ weight[block])
    return chosen, largest + total.log(), weighted / total, summed.div_(total[:, None])


def _to_weight(kept: Sequence[Tensor], outward: Tensor, temperature: float) -> Tensor:
    """Return Σ g (onehot(y) − p) ⊗ hidden / T over the positions: (V, H), the weight's gradient.

    `kept` is what the forward left: hidden (N, H), weight (V, H), tokens (N,), logsumexp z (N,).
    """
    hidden, weight, tokens, norm = kept
    gradient = torch.zeros_like(weight, dtype=torch.float32)
    for part in _slices(len(tokens), POSITIONS):
        for z, block, own in _logits(hidden[part], weight, tokens[part], temperature):
            to_z = z.sub_(norm[part, None]).exp_().neg_()
            inside = (own >= 0).to(to_z.dtype)
            to_z.scatter_add_(1, own.clamp(min=0)[:, None], inside[:, None])
            to_z.mul_(outward[part, None] / temperature)
            gradient[block].addmm_(to_z.T, hidden[part].float())
    return gradient.to(weight.dtype)


def _logits(
    hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float
) -> Iterator[tuple[Tensor, slice, Tensor]]:
    """Give for each block of the vocabulary its logits / T (N, B) in fp32, where it lies, and y.

    y is the place (N,) of each token in the block, -1 for a token of another block.
    """
    for block in _slices(len(weight), WIDTH):
        z = (hidden @ weight[block].T).float().div_(temperature)
        own = tokens - block.start
        yield z, block, own.where((own >= 0) & (own < z.shape[1]), -1)


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def token_log_probs(
    hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return log p(token) and the entropy (nats) of the distribution at each position.

    Args:
        hidden: (N, H) last hidden states, after the final norm, at the positions that predict.
        weight: (V, H) output embedding; it gets a gradient where it is trained.
        tokens: (N,) ids of the tokens that were sampled there.
        temperature: divides the logits, as it did when the tokens were sampled.

    Returns:
        (N,) fp32 log-probabilities (differentiable in `hidden` and `weight`) and (N,) fp32
        entropies (not).
    """
    log_prob, entropy = _TokenLogProb.apply(hidden, weight, tokens, temperature)
    return log_prob, entropy


@torch.no_grad()
def most_likely(hidden: Tensor, weight: Tensor) -> Tensor:
    """Return the likeliest token (N,) after each of the states (N, H), the first of equal ones."""
    found = torch.zeros(len(hidden), dtype=torch.long, device=hidden.device)
    for part in _slices(len(hidden), POSITIONS):
        largest = hidden.new_full((len(found[part]),), -torch.inf)
        for block in _slices(len(weight), WIDTH):
            value, place = (hidden[part] @ weight[block].T).max(1)
            found[part] = torch.where(value > largest, place + block.start, found[part])
            largest = torch.maximum(largest, value)
    return found
