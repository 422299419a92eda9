"""Perplexity of policies on a fixed held-out text: the alignment tax.

A policy that was tuned to please may get worse at plain text (Askell et al. 2021, §1; Ouyang et al.
2022, §4.2). The text is shipped (`heldout_text`), the same for every project and round.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from reward.language_models.backbone import Backbone
from reward.language_models.padding import AnsweredBatch, answered_batch
from reward.policy_optimization.logprobs import token_log_probs
from reward.training.out_of_memory import Halving

FOLDER = Path(__file__).parent / "heldout_text"
FILES = ("prose.md", "everyday.md", "code_and_maths.md")


def heldout_texts() -> list[str]:
    """Return the texts that perplexity is measured on."""
    return [(FOLDER / name).read_text(encoding="utf-8").strip() for name in FILES]


def text_windows(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, window: int, tokens: int
) -> list[list[int]]:
    """Cut texts into windows of at most `window` token ids, at most `tokens` in all.

    A window begins with the last token of the one before, so that every token of a text but its
    first is predicted once. The texts get even shares of `tokens`.
    """
    windows = []
    for text in texts:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = ids[: max(2, tokens // len(texts))]
        starts = range(0, len(ids) - 1, window - 1)
        windows += [ids[start : start + window] for start in starts]
    return windows


@torch.no_grad()
def perplexities(
    backbone: Backbone, adapters: Sequence[str | None], windows: Sequence[list[int]], *, size: int
) -> list[float]:
    """Return exp(mean −log p(token)) of each adapter (None: the bare model) over the windows.

    The frozen trunk is run once for all adapters, `size` windows at a time and fewer where memory
    runs out. The temperature is 1. A policy that gives a token next to no probability may have a
    perplexity that is infinite, and one whose weights broke has NaN. Raises `Unavailable` where a
    single window does not fit.
    """
    totals = [0.0] * len(adapters)
    count = done = 0

    def measured(size: int) -> tuple[int, int, list[float]]:
        rows = windows[done : done + size]
        batch = answered_batch(
            [row[:1] for row in rows], [row[1:] for row in rows], backbone.device
        )
        trunk = backbone.trunk(batch.ids)
        sums = [
            float(answer_log_probs(backbone, adapter, trunk, batch, 1.0).sum())
            for adapter in adapters
        ]
        return len(rows), int(batch.mask.sum()), sums

    halving = Halving(size, "one window of the held-out text")
    while done < len(windows):
        read, tokens, sums = halving.run(measured)
        totals = [total - found for total, found in zip(totals, sums, strict=True)]
        count += tokens
        done += read
    return [_exp(total / count) for total in totals]


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def answer_log_probs(
    backbone: Backbone,
    adapter: str | None,
    trunk: torch.Tensor,
    batch: AnsweredBatch,
    temperature: float,
) -> torch.Tensor:
    """Return log p (N,) of the N answer tokens of a batch, row by row, under one adapter."""
    hidden = batch.predicting(backbone.top(trunk, adapter))
    log_probs, _ = token_log_probs(
        hidden, backbone.output_weight_of(adapter), batch.tokens[batch.mask], temperature
    )
    return log_probs
