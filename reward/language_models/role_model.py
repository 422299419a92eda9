"""One role of the backbone as the causal language model that TRL's trainers train.

TRL asks a model for per-token log-probabilities (its "fused LM head"). Here they are made by the
shared backbone: the frozen trunk without gradients, the role's layers with them, and the output
embedding at the labelled positions only. So a trainer of TRL works with every tuning method, sees
no parameter but the role's own, and can neither wrap, merge, cast nor save anything else.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from trl.trainer.utils import FusedCausalLMOutput

from reward.language_models.backbone import Backbone
from reward.policy_optimization.logprobs import WIDTH, most_likely, token_log_probs

IGNORED = -100  #: the label of a token that carries no loss, as in transformers


class RoleModel(nn.Module):
    """A role ("policy", "sft", …) or, with None, the bare model; its parameters are the role's."""

    is_gradient_checkpointing = False  #: TRL asks; the frozen trunk keeps nothing to save

    def __init__(
        self, backbone: Backbone, name: str | None, *, temperature: float = 1.0, top1: bool = False
    ) -> None:
        """Register the role's weights; `top1` also says which labels were the likeliest token."""
        super().__init__()
        self.backbone = backbone
        self.name = name
        self.temperature = temperature
        self.top1 = top1
        self.weights = nn.ParameterList([] if name is None else backbone.parameters(name))
        # Copies: TRL and transformers write special tokens into both.
        self.config = copy.deepcopy(backbone.model.config)
        self.generation_config = copy.deepcopy(backbone.model.generation_config)
        self.generation_config.eos_token_id = list(backbone.end_tokens)

    @property
    def device(self) -> torch.device:
        """Return where the backbone computes."""
        return self.backbone.device

    def add_model_tags(self, tags: Sequence[str]) -> None:
        """Take the tags that TRL writes into model cards, of which there are none here."""

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        attention_mask: Tensor | None = None,
        **ignored: Any,
    ) -> FusedCausalLMOutput:
        """Return TRL's output for (B, T) ids, padded on whichever side the mask says.

        `log_probs` and `entropy` are (B, T − 1) in fp32, of the labels one to the right, and 0
        where the label is `IGNORED`; under `temperature`. `mean_logits` and `is_top1` follow where
        `top1` was asked for.
        """
        del ignored
        order = _tokens_first(input_ids, attention_mask)
        ids = input_ids.gather(1, order)
        wanted = labels.gather(1, order)[:, 1:]
        mask = wanted != IGNORED
        hidden = self.backbone.top(self.backbone.trunk(ids), self.name)[:, :-1][mask]
        weight = self.backbone.output_weight_of(self.name)
        log_probs, entropy = token_log_probs(hidden, weight, wanted[mask], self.temperature)

        def back(values: Tensor) -> Tensor:
            spread = values.new_zeros(mask.shape).masked_scatter(mask, values)
            # Column t of the result belongs to the label in column t + 1 of what was given.
            given = values.new_zeros(input_ids.shape)
            return given.scatter(1, order[:, 1:], spread)[:, 1:]

        found = FusedCausalLMOutput(
            loss=-log_probs.sum() / mask.sum().clamp(min=1),
            log_probs=back(log_probs),
            entropy=back(entropy),
            label_mask=labels[:, 1:] != IGNORED,
        )
        if self.top1:
            found.is_top1 = back(most_likely(hidden.detach(), weight) == wanted[mask])
            found.mean_logits = back(hidden.detach().float() @ _mean_row(weight.detach()))
        return found


def _mean_row(weight: Tensor) -> Tensor:
    """Return the mean (H,) in fp32 over the vocabulary of an output embedding (V, H).

    By blocks: on CPU even `mean(0, dtype=torch.float32)` first copies all of a bf16 matrix to fp32.
    """
    total = weight.new_zeros(weight.shape[1], dtype=torch.float32)
    for block in weight.split(WIDTH):
        total += block.sum(0, dtype=torch.float32)
    return total / len(weight)


def _tokens_first(ids: Tensor, mask: Tensor | None) -> Tensor:
    """Return the order of columns (B, T) that puts every row's tokens before its padding."""
    if mask is None:
        return torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    return (mask == 0).to(torch.int8).argsort(dim=1, stable=True)
