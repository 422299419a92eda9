"""Virtual tokens: what they start as, and models that cannot be run layer by layer."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from reward.language_models.backbone import Backbone
from reward.tuning.virtual_tokens import START_TEXT
from storage.errors import BadInput
from tests.reward.tuning.conftest import LoadTuned

IDS = torch.tensor([[5, 9, 30, 41, 7, 12], [44, 3, 8, 2, 60, 61]])


@pytest.mark.parametrize("tuning", ["prompt", "prefix"])
def test_a_role_starts_as_words_before_the_text(tuned: LoadTuned, tuning: str) -> None:
    backbone = tuned(tuning, virtual_tokens=12)
    message = f"<|im_start|>system\n{START_TEXT}"
    words = torch.tensor([backbone.tokenizer(message)["input_ids"][:12]]).expand(2, -1)
    expected = backbone.top(torch.cat([words, IDS], dim=1), None)[:, 12:]
    torch.testing.assert_close(backbone.top(IDS, "policy"), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tuning", ["prompt", "prefix"])
def test_a_model_that_is_not_run_by_layer_has_them_too(backbone: Backbone, tuning: str) -> None:
    config = GPT2Config(
        vocab_size=300, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2
    )
    whole = Backbone(
        GPT2LMHeadModel(config),
        backbone.tokenizer,
        device=torch.device("cpu"),
        top_layers=1,
        rank=2,
        tuning=tuning,
        virtual_tokens=3,
    )
    words = torch.tensor([backbone.tokenizer("<|im_start|>sy")["input_ids"]]).expand(2, -1)
    expected = whole.top(torch.cat([words, IDS], dim=1), None)[:, 3:]
    torch.testing.assert_close(whole.top(IDS, "policy"), expected, atol=1e-5, rtol=1e-5)
    assert not whole.packs


def test_virtual_tokens_take_their_part_of_the_context(tuned: LoadTuned) -> None:
    assert tuned("prompt").context_length == tuned("lora").context_length - 5


def test_more_virtual_tokens_than_the_context_has_are_refused(tuned: LoadTuned) -> None:
    with pytest.raises(BadInput, match=r"virtual_tokens is 1024, and .* has 1024 tokens; lower it"):
        tuned("prompt", virtual_tokens=1024)
