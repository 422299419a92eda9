"""Perplexity on the held-out text, against the model's own loss and against a uniform model."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from reward.evaluating import perplexity
from reward.evaluating.perplexity import FILES, heldout_texts, perplexities, text_windows
from reward.language_models.backbone import Backbone
from storage.errors import Unavailable


def test_the_text_is_there_and_says_what_it_is() -> None:
    texts = heldout_texts()
    assert len(texts) == len(FILES)
    assert texts[0].startswith("We turned away from the river at once")
    assert all(1000 < len(text) < 4000 for text in texts)


def test_windows_predict_every_token_but_a_texts_first_once(backbone: Backbone) -> None:
    # The tiny tokenizer has one token a letter.
    letters = "abcdefghijk"
    windows = text_windows(backbone.tokenizer, [letters], window=4, tokens=100)
    assert [backbone.tokenizer.decode(one) for one in windows] == ["abcd", "defg", "ghij", "jk"]
    short = text_windows(backbone.tokenizer, [letters, "xyz"], window=4, tokens=8)
    assert [backbone.tokenizer.decode(one) for one in short] == ["abcd", "xyz"]


def test_perplexity_is_that_of_the_models_own_loss(backbone: Backbone) -> None:
    windows = text_windows(backbone.tokenizer, ["hello there", "so"], window=64, tokens=100)
    losses = [
        float(backbone.model(torch.tensor([ids]), labels=torch.tensor([ids])).loss) * (len(ids) - 1)
        for ids in windows
    ]
    expected = math.exp(sum(losses) / sum(len(ids) - 1 for ids in windows))
    (found,) = perplexities(backbone, [None], windows, size=8)
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_uniform_model_is_as_perplexed_as_its_vocabulary_is_large(backbone: Backbone) -> None:
    backbone.output_weight = torch.zeros_like(backbone.output_weight)
    (found,) = perplexities(backbone, [None], [[3, 4, 5]], size=1)
    assert found == pytest.approx(len(backbone.output_weight), rel=1e-5)


def test_adapters_are_measured_beside_each_other(backbone: Backbone) -> None:
    backbone.add_adapter("worse")
    for weight in backbone.parameters("worse"):
        torch.nn.init.normal_(weight, std=1.0, generator=torch.Generator().manual_seed(0))
    windows = text_windows(backbone.tokenizer, heldout_texts(), window=128, tokens=300)
    bare, same, worse = perplexities(backbone, [None, "policy", "worse"], windows, size=2)
    assert same == pytest.approx(bare)
    assert worse != pytest.approx(bare, rel=0.01)


def test_fewer_windows_are_read_at_once_where_memory_runs_out(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone.add_adapter("worse")
    for weight in backbone.parameters("worse"):
        torch.nn.init.normal_(weight, std=1.0, generator=torch.Generator().manual_seed(0))
    windows = text_windows(backbone.tokenizer, heldout_texts(), window=32, tokens=300)
    expected = perplexities(backbone, [None, "worse"], windows, size=8)
    log_probs = perplexity.answer_log_probs
    sizes: list[int] = []

    def scarce(backbone: Backbone, adapter: str | None, trunk: Tensor, *rest: Any) -> Tensor:
        # The second adapter runs out: what the first one gave must not count twice.
        if adapter == "worse":
            sizes.append(len(trunk))
            if len(trunk) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return log_probs(backbone, adapter, trunk, *rest)

    monkeypatch.setattr(perplexity, "answer_log_probs", scarce)
    found = perplexities(backbone, [None, "worse"], windows, size=8)
    assert found == pytest.approx(expected, rel=1e-4)
    assert sizes[:4] == [8, 4, 2, 2]


def test_a_window_that_does_not_fit_alone_is_said(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(perplexity, "answer_log_probs", never)
    with pytest.raises(Unavailable, match="one window of the held-out text"):
        perplexities(backbone, [None], [[3, 4, 5]], size=2)


def test_a_policy_that_broke_has_a_perplexity_without_end(backbone: Backbone) -> None:
    backbone.output_weight = 1e6 * backbone.output_weight
    assert perplexities(backbone, [None], [[3, 4, 5, 6]], size=1) == [math.inf]
    backbone.output_weight = math.nan * backbone.output_weight
    (found,) = perplexities(backbone, [None], [[3, 4, 5, 6]], size=1)
    assert math.isnan(found)
