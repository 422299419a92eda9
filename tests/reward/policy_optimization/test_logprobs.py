"""Chunked log-probabilities equal the plain ones, forwards and backwards."""

import pytest
import torch

from reward.policy_optimization.logprobs import token_log_probs


def _plain(hidden: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor, t: float):  # type: ignore[no-untyped-def]
    log_p = torch.log_softmax(hidden @ weight.T / t, dim=-1)
    return log_p.gather(1, tokens[:, None])[:, 0], -(log_p.exp() * log_p).sum(1)


@pytest.mark.parametrize("trained", [False, True])
def test_values_entropy_and_gradients_equal_the_plain_computation(trained: bool) -> None:
    torch.manual_seed(0)
    weight, tokens = torch.randn(50, 8), torch.randint(0, 50, (300,))
    mine, my_weight = torch.randn(300, 8, requires_grad=True), weight.requires_grad_(trained)
    theirs = mine.detach().clone().requires_grad_(True)
    their_weight = weight.detach().clone().requires_grad_(trained)
    outward = torch.randn(300)

    log_probs, entropy = token_log_probs(mine, my_weight, tokens, 0.7)
    expected, expected_entropy = _plain(theirs, their_weight, tokens, 0.7)
    (log_probs * outward).sum().backward()
    (expected * outward).sum().backward()

    torch.testing.assert_close(log_probs, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(entropy, expected_entropy, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(my_weight.grad, their_weight.grad, atol=1e-4, rtol=1e-4)


def test_the_weight_alone_may_be_trained() -> None:
    torch.manual_seed(0)
    hidden, tokens = torch.randn(9, 4), torch.randint(0, 5, (9,))
    weight = torch.randn(5, 4, requires_grad=True)
    token_log_probs(hidden, weight, tokens)[0].sum().backward()
    (expected,) = torch.autograd.grad(_plain(hidden, weight, tokens, 1.0)[0].sum(), weight)
    torch.testing.assert_close(weight.grad, expected, atol=1e-5, rtol=1e-5)


def test_no_gradient_is_made_where_none_is_wanted() -> None:
    log_probs, _ = token_log_probs(torch.randn(3, 4), torch.randn(5, 4), torch.tensor([0, 1, 2]))
    assert not log_probs.requires_grad
