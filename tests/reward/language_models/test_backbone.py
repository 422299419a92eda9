"""The shared backbone: the split, the adapters, and what is written of them."""

import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from reward.language_models.backbone import Backbone, load_backbone
from reward.tuning.checkpoint import ADAPTER_FILE
from storage.errors import BadInput, Unavailable
from tests.tiny_model import make_tiny_model

IDS = torch.tensor([[5, 9, 30, 41, 7, 12], [44, 3, 8, 2, 60, 61]])


def _disturb(backbone: Backbone, name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in backbone.parameters(name):
        parameter.data.normal_(std=0.05, generator=generator)


def test_trunk_and_top_equal_the_whole_model(backbone: Backbone, tiny_folder: Path) -> None:
    whole = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    expected = whole.model(IDS).last_hidden_state
    assert backbone.split == 2
    torch.testing.assert_close(
        backbone.top(backbone.trunk(IDS), None), expected, atol=1e-5, rtol=1e-5
    )


def test_a_fresh_adapter_is_the_reference(backbone: Backbone) -> None:
    trunk = backbone.trunk(IDS)
    torch.testing.assert_close(backbone.top(trunk, "policy"), backbone.top(trunk, None))


def test_adapters_do_not_disturb_each_other(backbone: Backbone) -> None:
    backbone.add_adapter("value")
    trunk = backbone.trunk(IDS)
    before = backbone.top(trunk, "value").clone()
    _disturb(backbone, "policy")
    assert not torch.allclose(backbone.top(trunk, "policy"), before)
    torch.testing.assert_close(backbone.top(trunk, "value"), before)


def test_gradients_reach_only_the_adapter_in_training(backbone: Backbone) -> None:
    backbone.add_adapter("value")
    with backbone.training("policy"):
        backbone.top(backbone.trunk(IDS), "policy").sum().backward()
    assert any(p.grad is not None for p in backbone.parameters("policy"))
    assert all(p.grad is None for p in backbone.parameters("value"))
    assert not any(p.requires_grad for p in backbone.model.parameters())


def test_merging_gives_the_same_states_and_leaves_no_trace(backbone: Backbone) -> None:
    _disturb(backbone, "policy")
    trunk = backbone.trunk(IDS)
    expected, reference = backbone.top(trunk, "policy"), backbone.top(trunk, None)
    with backbone.merged("policy"):
        torch.testing.assert_close(backbone.top(trunk, "policy"), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(backbone.top(trunk, None), reference)
    torch.testing.assert_close(backbone.top(trunk, "policy"), expected)


def test_a_saved_adapter_comes_back_here_and_in_peft(
    backbone: Backbone, tiny_folder: Path, tmp_path: Path
) -> None:
    _disturb(backbone, "policy")
    trunk = backbone.trunk(IDS)
    expected = backbone.top(trunk, "policy").clone()
    backbone.save_adapter("policy", tmp_path)

    backbone.load_adapter("again", tmp_path)
    torch.testing.assert_close(backbone.top(trunk, "again"), expected)

    plain = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(plain, tmp_path)
    states = theirs.base_model.model.model(IDS).last_hidden_state
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)


def test_a_broken_checkpoint_is_named(backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / ADAPTER_FILE).write_bytes(b"not safetensors")
    with pytest.raises(Unavailable, match=ADAPTER_FILE):
        backbone.load_adapter("policy", tmp_path)


def _loaded(folder: Path, **sizes: int) -> Backbone:
    return load_backbone(folder, device=torch.device("cpu"), dtype=torch.float32, **sizes)


def test_a_checkpoint_of_another_rank_is_loaded_as_it_is(
    backbone: Backbone, tiny_folder: Path, tmp_path: Path
) -> None:
    _disturb(backbone, "policy")
    expected = backbone.top(backbone.trunk(IDS), "policy")
    backbone.save_adapter("policy", tmp_path)
    other = _loaded(tiny_folder, top_layers=3, rank=8)
    other.load_adapter("policy", tmp_path)
    torch.testing.assert_close(
        other.top(other.trunk(IDS), "policy"), expected, atol=1e-5, rtol=1e-5
    )


def test_a_checkpoint_below_the_trained_layers_is_refused(
    backbone: Backbone, tiny_folder: Path, tmp_path: Path
) -> None:
    backbone.save_adapter("policy", tmp_path)
    shallow = _loaded(tiny_folder, top_layers=1, rank=4)
    with pytest.raises(BadInput, match="top_layers to 2"):
        shallow.load_adapter("policy", tmp_path)


def test_a_checkpoint_of_another_model_is_refused(backbone: Backbone, tmp_path: Path) -> None:
    backbone.save_adapter("policy", tmp_path / "adapter")
    wider = _loaded(make_tiny_model(tmp_path / "wider", hidden=64), top_layers=2, rank=4)
    with pytest.raises(Unavailable, match="made for another model"):
        wider.load_adapter("policy", tmp_path / "adapter")


def test_loading_one_adapter_does_not_stop_the_training_of_another(
    backbone: Backbone, tmp_path: Path
) -> None:
    backbone.save_adapter("policy", tmp_path)
    backbone.add_adapter("reward")
    with backbone.training("reward") as weights:
        backbone.load_adapter("live", tmp_path)
        assert all(weight.requires_grad for weight in weights)
        backbone.top(backbone.trunk(IDS), "reward").sum().backward()
        assert any(weight.grad is not None for weight in weights)
    assert not any(p.requires_grad for p in backbone.model.parameters())


def test_new_adapters_depend_on_the_seed_alone(backbone: Backbone) -> None:
    backbone.seed = 5
    backbone.add_adapter("reward")
    first = [p.clone() for p in backbone.parameters("reward")]
    torch.rand(7)
    backbone.add_adapter("other")
    backbone.add_adapter("reward")
    assert all(map(torch.equal, first, backbone.parameters("reward")))


def test_a_model_that_cannot_be_split_runs_whole(tmp_path: Path, backbone: Backbone) -> None:
    config = GPT2Config(
        vocab_size=80, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2
    )
    model = GPT2LMHeadModel(config)
    whole = Backbone(model, backbone.tokenizer, device=torch.device("cpu"), top_layers=1, rank=2)
    assert whole.split == 0
    expected = model.transformer(IDS).last_hidden_state
    torch.testing.assert_close(whole.top(whole.trunk(IDS), None), expected)


def test_a_folder_without_a_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be loaded") as caught:
        load_backbone(
            tmp_path, device=torch.device("cpu"), dtype=torch.float32, top_layers=2, rank=4
        )
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="memory maps are Linux's")
def test_a_model_that_is_loaded_leaves_nothing_of_its_file_mapped(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "stored-as-it-is-used"
    shutil.copytree(tiny_folder, folder)
    loaded = _loaded(folder, top_layers=2, rank=4)
    assert loaded.output_weight.dtype == torch.float32  # As it is in the file: nothing converts it.
    assert str(folder) not in Path("/proc/self/maps").read_text()
