"""Log-probabilities made block by block equal the plain ones, forwards and backwards."""

import pytest
import torch

from reward.policy_optimization import logprobs
from reward.policy_optimization.logprobs import most_likely, token_log_probs


def _plain(hidden: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor, t: float):  # type: ignore[no-untyped-def]
    log_p = torch.log_softmax(hidden @ weight.T / t, dim=-1)
    return log_p.gather(1, tokens[:, None])[:, 0], -(log_p.exp() * log_p).sum(1)


#: a block as wide as the vocabulary, blocks that divide it, and a last one that is cut short
BLOCKS = [(1024, 4096), (100, 10), (64, 7), (1, 1)]


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(("positions", "width"), BLOCKS)
def test_values_entropy_and_gradients_equal_the_plain_computation(
    trained: bool, positions: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logprobs, "POSITIONS", positions)
    monkeypatch.setattr(logprobs, "WIDTH", width)
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


@pytest.mark.parametrize("peak", [0, 13, 49])
def test_logits_far_apart_neither_overflow_nor_vanish(
    peak: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logprobs, "WIDTH", 8)
    # Of log-odds 1,000 whole blocks come before, with or after the one that outweighs them.
    weight = torch.full((50, 1), -1000.0)
    weight[peak] = 0.0
    hidden = torch.ones(2, 1, requires_grad=True)
    other = (peak + 1) % 50
    log_probs, entropy = token_log_probs(hidden, weight, torch.tensor([peak, other]))
    assert log_probs.tolist() == [0.0, -1000.0]
    assert entropy.tolist() == [0.0, 0.0]
    log_probs.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad[:, 0].tolist() == [0.0, -1000.0]


@pytest.mark.parametrize(("positions", "width"), BLOCKS)
def test_the_likeliest_token_is_the_first_of_the_largest_logits(
    positions: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logprobs, "POSITIONS", positions)
    monkeypatch.setattr(logprobs, "WIDTH", width)
    torch.manual_seed(0)
    # Whole numbers, so that many are equal.
    hidden, weight = torch.randint(-2, 3, (300, 3)).float(), torch.randint(-2, 3, (50, 3)).float()
    assert most_likely(hidden, weight).tolist() == (hidden @ weight.T).argmax(1).tolist()
