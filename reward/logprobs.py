"""Log-probabilities of chosen tokens, without ever holding the logits of a whole batch.

A vocabulary is 50–200 thousand wide: the logits of 32 answers of 64 tokens of SmolLM2 are 400 MB in
fp32. The functions here make them for a chunk of positions at a time and keep what the loss needs.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK = 128


class _TokenLogProb(torch.autograd.Function):
    """Compute log p(token) and the entropy; the gradient to `hidden` is made in the forward.

    With z = hidden @ weight.T / temperature, d log p(y) / d hidden = (weight[y] - p @ weight) /
    temperature, so one chunk of logits serves both directions and none is kept.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        log_prob = torch.empty(len(tokens), dtype=torch.float32, device=hidden.device)
        entropy = torch.empty_like(log_prob)
        grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(tokens), CHUNK):
            part = slice(start, start + CHUNK)
            z = (hidden[part] @ weight.T).float().div_(temperature)
            chosen = z.gather(1, tokens[part, None])[:, 0]
            norm = z.logsumexp(1)
            log_prob[part] = chosen - norm
            p = (z - norm[:, None]).exp_()
            entropy[part] = norm - (p * z).sum(1)
            if grad is not None:
                mean_row = p.to(weight.dtype) @ weight
                grad[part] = ((weight[tokens[part]] - mean_row) / temperature).to(grad.dtype)
        ctx.grad = grad
        ctx.mark_non_differentiable(entropy)
        return log_prob, entropy

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Tensor, None, None, None]:
        grad_log_prob = outputs[0]
        return (grad_log_prob[:, None] * ctx.grad).to(ctx.grad.dtype), None, None, None


def token_log_probs(
    hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return log p(token) and the entropy (nats) of the distribution at each position.

    Args:
        hidden: (N, H) last hidden states, after the final norm, at the positions that predict.
        weight: (V, H) output embedding; it gets no gradient.
        tokens: (N,) ids of the tokens that were sampled there.
        temperature: divides the logits, as it did when the tokens were sampled.

    Returns:
        (N,) fp32 log-probabilities (differentiable in `hidden`) and (N,) fp32 entropies (not).
    """
    log_prob, entropy = _TokenLogProb.apply(hidden, weight, tokens, temperature)
    return log_prob, entropy
