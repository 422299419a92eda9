"""Products with frozen weights in fp32 on a processor, by the faster of torch's two libraries.

torch multiplies fp32 matrices on a processor with MKL, and keeps oneDNN, which it holds as well,
for other types. Measured on an AMD EPYC with AVX-512 and two threads, oneDNN is 1.6 to 2.2 times as
fast for the 16 rows of a decoding step, about level for a single one, and 1.2 to 1.3 times as fast
for 448 (docs/decisions/0020). Its operator knows no gradient, so passes that are learned from stay
with MKL, beside which a whole update gained nothing.

oneDNN, and torch beside it, keep what they have prepared for each shape of a product: 1,024 shapes
unless they are told otherwise, some 0.6 MiB each of SmolLM2's. A step has a few; prompts of other
lengths bring new ones, so that a process grew until the caches were full.
"""

import os
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

# torch's own compiler calls it; a build without oneDNN has none.
ONEDNN: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
#: what oneDNN and torch read how many shapes they keep from, when they first multiply
CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
SHAPES = 64  # a decoder's layers have five products, so a dozen numbers of rows


class FrozenLinear(nn.Linear):
    """A linear layer that multiplies by oneDNN wherever no gradient is wanted."""

    def forward(self, input: Tensor) -> Tensor:
        """Return input @ weight.T + bias: (…, in) → (…, out)."""
        return product(input, self.weight, self.bias)


def multiply_by_onednn(model: nn.Module) -> None:
    """Turn every linear layer of a model into a `FrozenLinear`; its weights stay as they are.

    From the process's first product on, few shapes are kept, unless its environment says how many.
    """
    for cache in CACHES:
        os.environ.setdefault(cache, str(SHAPES))
    for module in model.modules():
        # A subclass has a forward of its own.
        if type(module) is nn.Linear:
            module.__class__ = FrozenLinear


def product(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return states @ weight.T + bias, by oneDNN where it can.

    Args:
        states: (…, in).
        weight: (out, in), either of its sides contiguous.
        bias: (out,), or None.

    Returns:
        (…, out). The two libraries differ by rounding.
    """
    if torch.is_grad_enabled() or not _fits_onednn(states, weight):
        return linear(states, weight, bias)
    found: Tensor = ONEDNN(states, weight, bias, "none", [], "")
    return found


def _fits_onednn(states: Tensor, weight: Tensor) -> bool:
    return (
        ONEDNN is not None
        and bool(torch.backends.mkldnn.enabled)
        and states.dtype == weight.dtype == torch.float32
        and states.device.type == weight.device.type == "cpu"
        # Of a weight with gaps, such as a part of a transposed one, it first makes a copy, slowly.
        and (weight.is_contiguous() or weight.T.is_contiguous())
        # What spreads a weight over processes is a tensor of its own kind.
        and type(weight) in (Tensor, nn.Parameter)
        and not torch.is_autocast_enabled("cpu")
    )
