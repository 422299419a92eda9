"""A role as TRL sees it: the whole model's log-probabilities, on either side's padding."""

from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from reward.language_models import role_model
from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.role_model import IGNORED, RoleModel

IDS = torch.tensor([[5, 9, 30, 41, 7, 2], [44, 3, 8, 61, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
LABELS = torch.tensor([[IGNORED] * 3 + [41, 7, 2], [IGNORED] * 2 + [8, 61] + [IGNORED] * 2])


def disturb(backbone: Backbone, name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in backbone.parameters(name):
        parameter.data.normal_(std=0.05, generator=generator)


def test_the_bare_model_gives_what_trls_own_head_gives(
    backbone: Backbone, tiny_folder: Path
) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    outputs = ("log_probs", "entropy", "mean_logits", "is_top1")
    add_fused_lm_head(theirs, temperature=0.7, outputs=outputs)
    expected = theirs(input_ids=IDS, attention_mask=MASK, labels=LABELS, fused_lm_head=True)
    found = RoleModel(backbone, None, temperature=0.7, top1=True)(IDS, LABELS, MASK)
    for field in ("loss", "log_probs", "entropy"):
        torch.testing.assert_close(found[field], expected[field], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.mean_logits / 0.7, expected.mean_logits, atol=1e-5, rtol=1e-4)
    assert torch.equal(found.is_top1.bool(), expected.is_top1.bool())
    assert torch.equal(found.label_mask, expected.label_mask)


def test_the_mean_logits_need_no_copy_of_the_vocabulary_in_fp32(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = load_backbone(
        tiny_folder, device=torch.device("cpu"), dtype=torch.bfloat16, top_layers=2, rank=4
    )
    monkeypatch.setattr(role_model, "WIDTH", 50)
    model = RoleModel(half, "policy", top1=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        found = model(IDS, LABELS, MASK)
    weight = half.output_weight_of("policy")
    largest = max(event.self_cpu_memory_usage for event in profiled.events())
    assert 0 < largest < weight.numel() * torch.finfo(torch.float32).bits // 8
    states = half.top(half.trunk(IDS), "policy")[:, :-1].float()
    wanted = (states @ weight.float().mean(0)) * (LABELS[:, 1:] != IGNORED)
    torch.testing.assert_close(found.mean_logits, wanted, atol=1e-5, rtol=1e-4)


def test_left_padding_is_as_good_as_right(backbone: Backbone) -> None:
    disturb(backbone, "policy")
    model = RoleModel(backbone, "policy")
    right = model(IDS[1:], LABELS[1:], MASK[1:]).log_probs
    left = model(IDS[1:].roll(2, 1), LABELS[1:].roll(2, 1), MASK[1:].roll(2, 1)).log_probs
    assert right[0].nonzero().flatten().tolist() == [1, 2]
    assert left[0].nonzero().flatten().tolist() == [3, 4]
    torch.testing.assert_close(left[0, 3:], right[0, 1:3])


def test_gradients_reach_the_role_alone(backbone: Backbone) -> None:
    backbone.add_adapter("reward")
    disturb(backbone, "policy")
    model = RoleModel(backbone, "policy")
    with backbone.training("policy") as weights:
        model(IDS, LABELS, MASK).loss.backward()
        assert {id(p) for p in model.parameters()} == {id(p) for p in weights}
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights)
    assert all(p.grad is None for p in backbone.parameters("reward"))


def test_what_a_trainer_writes_into_its_config_stays_there(backbone: Backbone) -> None:
    before = backbone.model.config.pad_token_id
    modes = [module.training for module in backbone.model.modules()]
    model = RoleModel(backbone, "policy")
    model.config.pad_token_id = 99
    model.train()
    assert backbone.model.config.pad_token_id == before
    assert [module.training for module in backbone.model.modules()] == modes
    assert model.generation_config.eos_token_id == backbone.end_tokens


@pytest.mark.parametrize("name", ["policy", None])
def test_a_row_without_labels_is_a_differentiable_zero(backbone: Backbone, name: str) -> None:
    labels = torch.full_like(IDS, IGNORED)
    found = RoleModel(backbone, name)(IDS, labels, MASK)
    assert found.loss.item() == 0.0
    assert found.log_probs.shape == (2, 5)
