"""What a causal language model is made of, and what is proved of it before it is trained."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from reward.reward_modeling.packing import Layout
from reward.training.freed_memory import return_freed_memory
from storage.errors import Unavailable


def decoder_of(model: Any) -> Any:
    """Return the stack of layers of a causal language model, without its output embedding."""
    return model.get_decoder() if hasattr(model, "get_decoder") else model.base_model


def layer_of(name: str) -> int | None:
    """Return the number of the layer that a parameter's name is in, if it is in one."""
    found = re.search(r"\.(\d+)\.", name)
    return int(found[1]) if found else None


def run_layers(
    body: Any,
    hidden: Tensor,
    first: int,
    last: int,
    layout: Layout | None = None,
    cache: Any = None,
) -> Tensor:
    """Run layers `first` to `last` (not included) on hidden states (B, T, H), causally.

    `cache` holds keys and values of what stands before them; `layout` then says where they are.
    """
    positions = torch.arange(hidden.shape[1], device=hidden.device)[None]
    mask = None
    if layout is not None:
        positions, mask = layout.positions, layout.mask
    rotary = body.rotary_emb(hidden, position_ids=positions)
    before = {} if cache is None else {"past_key_values": cache}
    for layer in body.layers[first:last]:
        hidden = layer(
            hidden,
            attention_mask=mask,
            position_ids=positions,
            position_embeddings=rotary,
            **before,
        )
    return hidden


def store_columns_first(model: Any) -> None:
    """Lay every linear weight out transposed, and all weights in memory; values and shapes stay."""
    # Decoding multiplies few rows by each weight; on CPU, MKL does that about twice as fast when
    # the weight lies transposed in memory, and training batches as fast as before.
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight.data = module.weight.data.T.contiguous().T
            # Each layer at once, or the old weights of all would be resident beside the new.
            return_freed_memory()
    # A checkpoint of the dtype that is asked for is mapped, not read, and all of its pages stay
    # resident for as long as a single weight lies in the file.
    linear = {id(one.weight) for one in model.modules() if isinstance(one, nn.Linear)}
    for parameter in model.parameters():
        if id(parameter) not in linear:
            parameter.data = parameter.data.clone()


def linear_names(model: Any) -> list[str]:
    """Return the names of the linear layers that an adapter can sit on."""
    body = decoder_of(model)
    kinds = (nn.Linear, Conv1D)
    return sorted({name.split(".")[-1] for name, m in body.named_modules() if isinstance(m, kinds)})


@torch.no_grad()
def checked_output_weight(model: Any) -> Tensor:
    """Return the output embedding; raise `Unavailable` where logits are not states times it."""
    weight: Tensor = model.get_output_embeddings().weight.detach()
    body = decoder_of(model)
    probe = torch.arange(3, 11, device=weight.device)[None] % len(weight)
    ours = (body(input_ids=probe, use_cache=False).last_hidden_state @ weight.T).float()
    theirs = model(input_ids=probe, use_cache=False).logits.float()
    if not torch.allclose(ours, theirs, atol=0.05, rtol=0.02):
        raise Unavailable(
            "This model scales, caps or shifts its logits, which is not supported; choose one whose"
            " logits are its last states times its output embedding (Llama, Qwen, Mistral, SmolLM)."
        )
    return weight


@torch.no_grad()
def runs_by_layer(model: Any, at: int) -> bool:
    """Prove on a probe that running the layers by hand equals the model's own forward."""
    body = decoder_of(model)
    if not all(hasattr(body, part) for part in ("embed_tokens", "layers", "norm", "rotary_emb")):
        return False
    if _looks_back_a_window(model.config.get_text_config()):
        return False
    probe = torch.arange(3, 19, device=model.device)[None] % model.config.vocab_size
    try:
        lower = run_layers(body, body.embed_tokens(probe), 0, at)
        mine = body.norm(run_layers(body, lower, at, len(body.layers)))
    except (TypeError, AttributeError):
        return False
    whole = body(input_ids=probe, use_cache=False).last_hidden_state
    tolerance = 1e-3 if whole.dtype == torch.float32 else 5e-2
    return bool(torch.allclose(mine.float(), whole.float(), atol=tolerance, rtol=tolerance))


def _looks_back_a_window(sizes: Any) -> bool:
    # A probe is too short to tell: layers run by hand look back without end.
    kinds = getattr(sizes, "layer_types", None)
    if kinds is not None:
        return "sliding_attention" in kinds
    return getattr(sizes, "sliding_window", None) is not None


def end_tokens_of(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids that end an answer, by the model's and by the tokenizer's word."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    found: Sequence[int] = [configured] if isinstance(configured, int) else (configured or [])
    both = [*found, *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])]
    return sorted(set(both))
