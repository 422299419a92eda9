"""Chunked log-probabilities equal the plain ones, forwards and backwards."""

import torch

from reward.logprobs import token_log_probs


def _plain(hidden: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor, t: float):  # type: ignore[no-untyped-def]
    log_p = torch.log_softmax(hidden @ weight.T / t, dim=-1)
    return log_p.gather(1, tokens[:, None])[:, 0], -(log_p.exp() * log_p).sum(1)


def test_values_entropy_and_gradient_equal_the_plain_computation() -> None:
    torch.manual_seed(0)
    weight, tokens = torch.randn(50, 8), torch.randint(0, 50, (300,))
    mine = torch.randn(300, 8, requires_grad=True)
    theirs = mine.detach().clone().requires_grad_(True)
    outward = torch.randn(300)

    log_probs, entropy = token_log_probs(mine, weight, tokens, 0.7)
    expected, expected_entropy = _plain(theirs, weight, tokens, 0.7)
    (log_probs * outward).sum().backward()
    (expected * outward).sum().backward()

    torch.testing.assert_close(log_probs, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(entropy, expected_entropy, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-4)


def test_no_gradient_is_made_where_none_is_wanted() -> None:
    log_probs, _ = token_log_probs(torch.randn(3, 4), torch.randn(5, 4), torch.tensor([0, 1, 2]))
    assert not log_probs.requires_grad
