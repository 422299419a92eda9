"""Layers that are run again for the gradient: the same gradient, and less that is kept for it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from reward.language_models.backbone import Backbone
from reward.reward_modeling.packing import pack_ranking
from storage.errors import BadInput
from tests.reward.tuning.conftest import LoadTuned

IDS = torch.tensor([[5, 9, 30, 41, 7, 12], [44, 3, 8, 2, 60, 61]])


def _disturb(backbone: Backbone, name: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in backbone.parameters(name):
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data.add_(0.05 * noise)


def _gradients(backbone: Backbone, *, other_first: bool = False) -> list[Tensor]:
    with backbone.training("policy") as weights:
        loss = backbone.top(backbone.trunk(IDS), "policy").square().sum()
        if other_first:
            backbone.top(backbone.trunk(IDS), "live")
        loss.backward()
    return [weight.grad for weight in weights if weight.grad is not None]


@pytest.mark.parametrize("tuning", ["lora", "full", "adapter", "bitfit"])
@pytest.mark.parametrize("layers", [1, 2, 9])
def test_the_gradient_is_the_same_bit_for_bit(tuned: LoadTuned, tuning: str, layers: int) -> None:
    kept, again = tuned(tuning), tuned(tuning, recomputed_layers=layers)
    for backbone in (kept, again):
        _disturb(backbone, "policy", seed=1)
    expected, found = _gradients(kept), _gradients(again)
    assert len(expected) == len(found) > 0
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(expected, found, strict=True))


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_another_role_may_compute_between_the_loss_and_its_gradient(
    tuned: LoadTuned, tuning: str
) -> None:
    backbone = tuned(tuning, recomputed_layers=2)
    backbone.add_adapter("live")
    _disturb(backbone, "policy", seed=1)
    _disturb(backbone, "live", seed=2)
    expected = [one.clone() for one in _gradients(backbone)]
    for weight in backbone.parameters("policy"):
        weight.grad = None
    found = _gradients(backbone, other_first=True)
    assert expected
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(expected, found, strict=True))


def test_a_packed_ranking_has_the_same_gradient(tuned: LoadTuned) -> None:
    prompt, completions = [5, 9, 30], [[41, 7], [12, 44, 3], [8]]
    found = []
    for layers in (0, 2):
        backbone = tuned("lora", recomputed_layers=layers)
        _disturb(backbone, "policy", seed=1)
        packed = pack_ranking(prompt, completions, backbone.device)
        with backbone.training("policy") as weights:
            trunk = backbone.trunk(packed.ids, packed.layout)
            backbone.top(trunk, "policy", packed.layout).square().sum().backward()
        found.append([weight.grad for weight in weights if weight.grad is not None])
    assert found[0]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*found, strict=True))


def test_fewer_bytes_are_kept_for_the_gradient(tuned: LoadTuned) -> None:
    kept = []
    for layers in (0, 1, 2):
        backbone = tuned("lora", recomputed_layers=layers)
        sizes: list[int] = []

        def count(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with (
            backbone.training("policy"),
            torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
        ):
            backbone.top(backbone.trunk(IDS), "policy")
        kept.append(sum(sizes))
    assert kept[1] < 0.7 * kept[0]
    assert kept[2] < 0.4 * kept[0]


def test_nothing_is_run_again_where_no_gradient_is_wanted(tuned: LoadTuned) -> None:
    backbone = tuned("lora", recomputed_layers=2)
    with torch.no_grad():
        found = backbone.top(backbone.trunk(IDS), "policy")
    assert found.grad_fn is None
    torch.testing.assert_close(found, tuned("lora").top(backbone.trunk(IDS), "policy").detach())


def test_virtual_tokens_do_not_recompute_and_say_so(tuned: LoadTuned) -> None:
    with pytest.raises(BadInput, match=r"recomputed_layers is 2.*under prompt.*set it to 0"):
        tuned("prompt", recomputed_layers=2)


def test_a_model_that_does_not_run_by_layer_says_so(tuned: LoadTuned, tiny_folder: Path) -> None:
    tokenizer = tuned("lora", tiny_folder).tokenizer
    model = GPT2LMHeadModel(GPT2Config(vocab_size=80, n_embd=16, n_layer=2, n_head=2))
    with pytest.raises(BadInput, match="recomputed_layers is 1"):
        Backbone(model, tokenizer, device=torch.device("cpu"), top_layers=1, rank=2,
                 recomputed_layers=1)  # fmt: skip
