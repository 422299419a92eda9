"""Roles that own weights of the model: which ones, and what is copied when."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from reward.language_models.backbone import Backbone
from reward.policy_optimization.logprobs import token_log_probs
from reward.tuning.own_weights import OwnWeights, owned_names
from tests.reward.tuning.conftest import LoadTuned

IDS = torch.tensor([[5, 9, 30, 41, 7, 12]])
NAMES = [
    "model.embed_tokens.weight",
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.1.mlp.up_proj.weight",
    "model.layers.1.mlp.up_proj.bias",
    "model.norm.weight",
    "lm_head.weight",
]


@pytest.mark.parametrize(
    ("first_layer", "biases_only", "wanted"),
    [(0, False, NAMES), (1, False, NAMES[2:]), (1, True, [NAMES[3]])],
)
def test_a_trunk_keeps_its_layers_and_the_input_embedding(
    first_layer: int, biases_only: bool, wanted: list[str]
) -> None:
    found = owned_names(
        NAMES, first_layer=first_layer, input_name=NAMES[0], biases_only=biases_only
    )
    assert found == wanted


def test_nothing_is_copied_until_weights_are_asked_for(tuned: LoadTuned) -> None:
    backbone = tuned("full")
    assert backbone.output_weight_of("policy") is backbone.output_weight
    backbone.add_adapter("reward")
    assert isinstance(backbone._method, OwnWeights)
    assert all(role.weights is None for role in backbone._method._roles.values())
    backbone.parameters("policy")
    assert backbone._method._roles["reward"].weights is None


def test_a_head_gives_a_policy_its_own_output_and_a_reward_model_nothing(
    tuned: LoadTuned, tmp_path: Path
) -> None:
    backbone = tuned("head")
    backbone.add_adapter("reward", scalar=True)
    (weight,) = backbone.parameters("policy")
    assert weight.shape == backbone.output_weight.shape
    assert backbone.output_weight_of("policy") is weight
    assert backbone.parameters("reward") == []
    backbone.save_adapter("reward", tmp_path)
    backbone.load_adapter("again", tmp_path)
    assert backbone.parameters("again") == []
    weight.data.zero_()
    embedded = backbone.model.get_input_embeddings().weight
    assert torch.equal(embedded, backbone.output_weight)


def test_all_layers_train_the_tied_embedding_at_both_ends(tuned: LoadTuned) -> None:
    backbone = tuned("full", top_layers=0)
    with backbone.training("policy") as weights:
        states = backbone.top(IDS, "policy")[0, :-1]
        weight = backbone.output_weight_of("policy")
        assert any(weight is one for one in weights)
        token_log_probs(states, weight, IDS[0, 1:])[0].sum().backward()
    plain = AutoModelForCausalLM.from_pretrained(backbone.model.config.name_or_path)
    plain.model(IDS)
    log_p = plain(IDS).logits[0, :-1].log_softmax(-1)
    log_p.gather(1, IDS[0, 1:, None]).sum().backward()
    expected = plain.get_input_embeddings().weight.grad
    torch.testing.assert_close(weight.grad, expected, atol=1e-4, rtol=1e-4)


def test_full_weights_on_disk_fit_the_plain_model(tuned: LoadTuned, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    backbone = tuned("full")
    for parameter in backbone.parameters("policy"):
        parameter.data += 0.05
    backbone.save_adapter("policy", tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(backbone.model.config.name_or_path)
    outcome = plain.load_state_dict(load_file(tmp_path / "adapter_model.safetensors"), strict=False)
    assert outcome.unexpected_keys == []
    expected = backbone.top(backbone.trunk(IDS), "policy")
    torch.testing.assert_close(plain.model(IDS).last_hidden_state, expected, atol=1e-5, rtol=1e-5)


def test_bitfit_trains_the_biases_of_a_model_that_has_some(backbone: Backbone) -> None:
    config = GPT2Config(
        vocab_size=80, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2
    )
    model = GPT2LMHeadModel(config)
    names = {name for name, _ in model.named_parameters() if name.endswith(".bias")}
    whole = Backbone(
        model,
        backbone.tokenizer,
        device=torch.device("cpu"),
        top_layers=1,
        rank=2,
        tuning="bitfit",
    )
    bare = whole.top(IDS, None)
    assert len(whole.parameters("policy")) == len(names) == 13
    for parameter in whole.parameters("policy"):
        parameter.data += 0.1
    assert not torch.allclose(whole.top(IDS, "policy"), bare)
    assert torch.equal(whole.top(IDS, None), bare)
