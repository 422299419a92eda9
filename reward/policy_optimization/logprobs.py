"""Log-probabilities of chosen tokens, without ever holding the logits of a whole batch.

A vocabulary is 50–200 thousand wide: the logits of 32 answers of 64 tokens of SmolLM2 are 400 MB in
fp32. The functions here make them for a chunk of positions at a time and keep what the loss needs.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

CHUNK = 64


class _TokenLogProb(torch.autograd.Function):
    """Compute log p(token) and the entropy, chunk by chunk in both directions.

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
        for part in _chunks(len(tokens)):
            z = (hidden[part] @ weight.T).float().div_(temperature)
            chosen = z.gather(1, tokens[part, None])[:, 0]
            norm[part] = z.logsumexp(1)
            log_prob[part] = chosen - norm[part]
            p = (z - norm[part, None]).exp_()
            entropy[part] = norm[part] - z.mul_(p).sum(1)
            if grad is not None:
                mean_row = p.to(weight.dtype) @ weight
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


def _to_weight(kept: Sequence[Tensor], outward: Tensor, temperature: float) -> Tensor:
    """Return Σ g (onehot(y) − p) ⊗ hidden / T over the positions: (V, H), the weight's gradient.

    `kept` is what the forward left: hidden (N, H), weight (V, H), tokens (N,), logsumexp z (N,).
    """
    hidden, weight, tokens, norm = kept
    total = torch.zeros_like(weight, dtype=torch.float32)
    for part in _chunks(len(tokens)):
        z = (hidden[part] @ weight.T).float().div_(temperature)
        to_z = z.sub_(norm[part, None]).exp_().neg_()
        to_z.scatter_add_(1, tokens[part, None], torch.ones_like(norm[part, None]))
        to_z.mul_(outward[part, None] / temperature)
        total.addmm_(to_z.T, hidden[part].float())
    return total.to(weight.dtype)


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, count, CHUNK))


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
