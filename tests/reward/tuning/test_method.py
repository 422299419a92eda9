"""What holds for the roles of every tuning method."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from reward.language_models.backbone import Backbone
from reward.policy_optimization.logprobs import token_log_probs
from reward.reward_modeling.packing import pack_ranking
from reward.tuning import layer_adapters
from reward.tuning.method import TUNINGS, shared_layers
from storage.errors import BadInput, Unavailable
from tests.reward.tuning.conftest import LoadTuned
from tests.tiny_model import make_tiny_model

IDS = torch.tensor([[5, 9, 30, 41, 7, 12], [44, 3, 8, 2, 60, 61]])
every_method = pytest.mark.parametrize("tuning", TUNINGS)
starting_as_the_bare_model = pytest.mark.parametrize(
    "tuning", [name for name in TUNINGS if name not in ("prompt", "prefix")]
)


def log_probs(backbone: Backbone, name: str | None, ids: Tensor = IDS) -> Tensor:
    """Return log p of every token but the first, row by row."""
    states = backbone.top(backbone.trunk(ids), name)[:, :-1].flatten(0, 1)
    return token_log_probs(states, backbone.output_weight_of(name), ids[:, 1:].flatten())[0]


def disturb(backbone: Backbone, name: str, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in backbone.parameters(name):
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


def base_weights(backbone: Backbone) -> dict[str, Tensor]:
    backbone.use(None)
    own = {id(p) for name in ("policy", "reward") for p in backbone.parameters(name)}
    return {k: p.clone() for k, p in backbone.model.named_parameters() if id(p) not in own}


@starting_as_the_bare_model
def test_a_role_starts_as_the_bare_model(tuned: LoadTuned, tuning: str) -> None:
    backbone = tuned(tuning)
    backbone.parameters("policy")
    torch.testing.assert_close(log_probs(backbone, "policy"), log_probs(backbone, None))


@every_method
def test_training_moves_its_own_weights_only_and_lowers_the_loss(
    tuned: LoadTuned, tuning: str
) -> None:
    backbone = tuned(tuning)
    backbone.add_adapter("reward")
    base = base_weights(backbone)
    reward = [p.clone() for p in backbone.parameters("reward")]
    before = [p.clone() for p in backbone.parameters("policy")]
    with backbone.training("policy") as weights:
        optimizer = torch.optim.SGD(weights, lr=0.05)
        loss = -log_probs(backbone, "policy").mean()
        loss.backward()
        assert all(p.grad is not None for p in weights)
        optimizer.step()
    assert -log_probs(backbone, "policy").mean() < loss
    moved = [not torch.equal(a, b) for a, b in zip(before, weights, strict=True)]
    assert any(moved)
    assert all(map(torch.equal, reward, backbone.parameters("reward")))
    now = base_weights(backbone)
    assert base.keys() == now.keys()
    assert all(torch.equal(base[key], now[key]) for key in base)
    assert not any(p.requires_grad for p in weights)


@every_method
def test_two_roles_live_side_by_side(tuned: LoadTuned, tuning: str) -> None:
    backbone = tuned(tuning)
    backbone.add_adapter("reward")
    bare = log_probs(backbone, None)
    disturb(backbone, "reward")
    reward = log_probs(backbone, "reward")
    disturb(backbone, "policy", seed=2)
    policy = log_probs(backbone, "policy")
    assert not torch.allclose(policy, reward)
    assert not torch.allclose(policy, bare)
    assert torch.equal(log_probs(backbone, "reward"), reward)
    assert torch.equal(log_probs(backbone, None), bare)


@every_method
def test_a_saved_role_comes_back(tuned: LoadTuned, tuning: str, tmp_path: Path) -> None:
    backbone = tuned(tuning)
    disturb(backbone, "policy")
    expected = log_probs(backbone, "policy")
    backbone.save_adapter("policy", tmp_path)
    backbone.load_adapter("again", tmp_path)
    assert torch.equal(log_probs(backbone, "again"), expected)
    other = tuned(tuning, top_layers=3, rank=2, virtual_tokens=3)
    other.load_adapter("policy", tmp_path)
    torch.testing.assert_close(log_probs(other, "policy"), expected, atol=1e-5, rtol=1e-5)


@every_method
def test_a_copied_role_is_equal_and_its_own(tuned: LoadTuned, tuning: str) -> None:
    backbone = tuned(tuning)
    disturb(backbone, "policy")
    expected = log_probs(backbone, "policy")
    backbone.copy_adapter("policy", "live")
    disturb(backbone, "policy", seed=3)
    assert torch.equal(log_probs(backbone, "live"), expected)


@every_method
def test_a_role_that_is_reset_or_forgotten(tuned: LoadTuned, tuning: str) -> None:
    backbone = tuned(tuning)
    start = log_probs(backbone, "policy")
    disturb(backbone, "policy")
    backbone.add_adapter("policy")
    torch.testing.assert_close(log_probs(backbone, "policy"), start)
    backbone.add_adapter("live")
    backbone.use("live")
    backbone.remove_adapter("live")
    with pytest.raises(KeyError):
        backbone.use("live")
    torch.testing.assert_close(log_probs(backbone, "policy"), start)


def decoded_log_probs(backbone: Backbone, name: str | None) -> Tensor:
    """Return what `log_probs` returns, from decoding one token at a time, padded on the left."""
    rows, length = IDS.shape
    pad = torch.tensor([[1], [1]])
    states = []
    with torch.no_grad(), backbone.merged(name):
        cache, virtual = backbone.start_cache(name, rows)
        mask = torch.ones(rows, virtual + 1, dtype=torch.long)
        mask[:, -1] = 0
        for column in range(length - 1):
            mask = torch.cat([mask, mask.new_ones(rows, 1)], dim=1)
            ids = IDS[:, column : column + 1]
            positions = torch.full((rows, 1), virtual + column)
            if column == 0:
                ids, positions = torch.cat([pad, ids], 1), torch.cat([positions, positions], 1)
            states.append(backbone.step(ids, mask, positions, cache)[:, -1])
        flat = torch.stack(states, dim=1).flatten(0, 1)
        return token_log_probs(flat, backbone.output_weight_of(name), IDS[:, 1:].flatten())[0]


@every_method
def test_decoding_gives_the_log_probabilities_of_the_top(tuned: LoadTuned, tuning: str) -> None:
    backbone = tuned(tuning)
    disturb(backbone, "policy")
    for name in ("policy", None):
        torch.testing.assert_close(
            decoded_log_probs(backbone, name), log_probs(backbone, name), atol=1e-4, rtol=0
        )


@every_method
def test_merging_leaves_no_trace(tuned: LoadTuned, tuning: str) -> None:
    backbone = tuned(tuning)
    backbone.add_adapter("reward")
    disturb(backbone, "policy")
    base, expected = base_weights(backbone), log_probs(backbone, "policy")
    strides = [p.stride() for p in _bare(backbone)]
    with backbone.merged("policy"):
        torch.testing.assert_close(log_probs(backbone, "policy"), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(log_probs(backbone, "policy"), expected)
    now = base_weights(backbone)
    assert all(torch.equal(base[key], now[key]) for key in base)
    assert [p.stride() for p in _bare(backbone)] == strides


def _bare(backbone: Backbone) -> list[torch.nn.Parameter]:
    backbone.use(None)
    return list(backbone.model.parameters())


@every_method
def test_a_packed_ranking_has_the_states_of_its_sequences(tuned: LoadTuned, tuning: str) -> None:
    backbone = tuned(tuning)
    disturb(backbone, "policy")
    prompt, answers = [5, 9, 30], [[41, 7], [12, 13, 14]]
    packed = pack_ranking(prompt, answers, torch.device("cpu"))
    assert backbone.packs
    trunk = backbone.trunk(packed.ids, packed.layout)
    states = backbone.top(trunk, "policy", packed.layout)[0]
    for index, answer in enumerate(answers):
        alone = backbone.top(backbone.trunk(torch.tensor([prompt + answer])), "policy")[0]
        mine = states[packed.owner == index]
        torch.testing.assert_close(mine, alone[len(prompt) :], atol=1e-5, rtol=1e-5)


@every_method
def test_a_checkpoint_of_another_method_is_refused_in_one_sentence(
    tuned: LoadTuned, tuning: str, tmp_path: Path
) -> None:
    tuned(tuning).save_adapter("policy", tmp_path)
    other = tuned("lora" if tuning != "lora" else "full")
    with pytest.raises(BadInput, match=f"tuned by {tuning}, and {other.tuning} is set") as error:
        other.load_adapter("policy", tmp_path)
    assert str(error.value).count(". ") == 0


@every_method
def test_a_checkpoint_of_another_model_is_refused(
    tuned: LoadTuned, tuning: str, tmp_path: Path
) -> None:
    tuned(tuning).save_adapter("policy", tmp_path / "role")
    wider = tuned(tuning, make_tiny_model(tmp_path / "wider", hidden=64))
    with pytest.raises(Unavailable, match="made for another model"):
        wider.load_adapter("policy", tmp_path / "role")


@every_method
def test_only_methods_that_leave_the_lowest_layers_alone_cache_a_trunk(
    tuned: LoadTuned, tuning: str
) -> None:
    wanted = {"head": 4, "prompt": 0, "prefix": 0}.get(tuning, 2)
    backbone = tuned(tuning)
    assert backbone.split == shared_layers(tuning, depth=4, top_layers=2) == wanted
    assert backbone.caches_trunk == (wanted > 0)
    assert shared_layers("full", depth=4, top_layers=0) == 0


def test_a_method_that_there_is_not_is_named() -> None:
    with pytest.raises(BadInput, match="'feature'; choose one of lora"):
        shared_layers("feature", depth=4, top_layers=2)


def test_weights_that_bfloat16_holds_are_copied_in_half_their_size(tuned: LoadTuned) -> None:
    backbone = tuned("lora")
    disturb(backbone, "policy")
    named = backbone.model.named_parameters()
    folded = [weight for name, weight in named if name.endswith("base_layer.weight")]
    for weight in folded:
        weight.data.copy_(weight.data.bfloat16())
    folded[0].data[0, 0] = 1.0 + 2.0**-20
    copies = [layer_adapters._copy(weight.data) for weight in folded]
    assert [one.dtype for one in copies] == [torch.float32, *[torch.bfloat16] * (len(folded) - 1)]
    before = [(weight.data_ptr(), weight.data.clone()) for weight in folded]
    with backbone.merged("policy"):
        for weight, (_, values) in zip(folded, before, strict=True):
            assert not torch.equal(weight, values)
    for weight, (place, values) in zip(folded, before, strict=True):
        assert torch.equal(weight, values)
        assert weight.data_ptr() == place
