import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import linear

from reward.language_models import frozen_linear
from reward.language_models.backbone import Backbone
from reward.language_models.frozen_linear import FrozenLinear, multiply_by_onednn, product


class Spy:
    """Counts what oneDNN's operator is asked for, and asks it."""

    def __init__(self, operator: Callable[..., Tensor]) -> None:
        self.calls = 0
        self._operator = operator

    def __call__(self, *arguments: Any) -> Tensor:
        self.calls += 1
        return self._operator(*arguments)


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy(torch.ops.mkldnn._linear_pointwise)
    monkeypatch.setattr(frozen_linear, "ONEDNN", spy)
    return spy


def _columns_first(weight: Tensor) -> Tensor:
    return weight.T.contiguous().T


@torch.no_grad()
@given(
    rows=st.integers(0, 40),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 70),
    transposed=st.booleans(),
    biased=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_it_is_the_same_product(
    rows: int, inputs: int, outputs: int, transposed: bool, biased: bool, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    states = torch.randn(rows, inputs, generator=draw)
    weight = torch.randn(outputs, inputs, generator=draw)
    bias = torch.randn(outputs, generator=draw) if biased else None
    laid_out = _columns_first(weight) if transposed else weight
    exact = linear(
        states.double(), weight.double(), None if bias is None else bias.double()
    ).float()
    torch.testing.assert_close(product(states, laid_out, bias), exact, atol=1e-4, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    "states",
    [
        torch.arange(48.0).reshape(2, 3, 8),
        torch.arange(96.0).reshape(2, 3, 16)[..., ::2],
        torch.arange(48.0).reshape(2, 3, 8)[:, -1],
        torch.arange(24.0).reshape(8, 3).T,
        torch.arange(8.0).expand(5, 8),
        torch.arange(8.0),
    ],
    ids=["batched", "every other", "last position", "transposed", "expanded", "one row"],
)
def test_states_of_any_layout(onednn: Spy, states: Tensor) -> None:
    weight = _columns_first(torch.arange(40.0).reshape(5, 8))
    assert torch.equal(product(states, weight), linear(states, weight))
    assert onednn.calls == 1


def test_onednn_multiplies_where_no_gradient_is_wanted(onednn: Spy) -> None:
    states, weight = torch.ones(2, 3), torch.ones(4, 3)
    product(states, weight)
    assert onednn.calls == 0
    with torch.no_grad():
        product(states, weight)
    assert onednn.calls == 1
    with torch.inference_mode():
        product(states, weight)
    assert onednn.calls == 2


class _Spread(nn.Parameter):
    """A weight of a kind of its own, as those that are spread over processes are."""


@torch.no_grad()
@pytest.mark.parametrize(
    "weight",
    [
        torch.ones(4, 3, dtype=torch.bfloat16),
        _columns_first(torch.ones(8, 3))[2:6],
        _Spread(torch.ones(4, 3)),
        torch.ones(4, 3, device="meta"),
    ],
    ids=["half precision", "part of a transposed one", "spread", "not on a processor"],
)
def test_what_does_not_fit_is_torchs(onednn: Spy, weight: Tensor) -> None:
    states = torch.ones(2, 3, dtype=weight.dtype, device=weight.device)
    assert product(states, weight).shape == (2, 4)
    assert onednn.calls == 0


@torch.no_grad()
def test_it_can_be_switched_off(onednn: Spy, monkeypatch: pytest.MonkeyPatch) -> None:
    states, weight = torch.ones(2, 3), torch.ones(4, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product(states, weight).dtype == torch.bfloat16
    with torch.backends.mkldnn.flags(enabled=False):
        assert product(states, weight).tolist() == [[3.0] * 4] * 2
    assert onednn.calls == 0
    monkeypatch.setattr(frozen_linear, "ONEDNN", None)
    assert product(states, weight).tolist() == [[3.0] * 4] * 2


def test_the_gradient_is_that_of_torchs_own_layer() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 5)
    states = torch.randn(3, 6, requires_grad=True)
    (expected,) = torch.autograd.grad(layer(states).square().sum(), states)
    multiply_by_onednn(layer)
    assert isinstance(layer, FrozenLinear)
    (found,) = torch.autograd.grad(layer(states).square().sum(), states)
    assert torch.equal(found, expected)


def test_a_layer_with_a_forward_of_its_own_keeps_it() -> None:
    class Doubled(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2.0 * super().forward(input)

    model = nn.Sequential(nn.Linear(3, 3), Doubled(3, 2))
    multiply_by_onednn(model)
    assert [type(one) for one in model] == [FrozenLinear, Doubled]


@torch.no_grad()
def test_every_pass_of_a_backbone_that_is_not_learned_from_uses_it(
    backbone: Backbone, onednn: Spy
) -> None:
    ids = torch.tensor([[5, 6, 7]])
    trunk = backbone.trunk(ids)
    lower = onednn.calls
    assert lower == 7 * backbone.split, "query, key, value, output, gate, up, down"
    backbone.top(trunk, "policy")
    assert onednn.calls - lower >= 7 * backbone.top_layers
    onednn.calls = 0
    cache, _ = backbone.start_cache("policy", 1)
    with backbone.merged("policy"):
        backbone.step(ids, torch.ones_like(ids), torch.arange(3)[None], cache)
    assert onednn.calls == 7 * backbone.depth


# Prints by how many MiB the process grows over 300 numbers of rows.
GROWING = """
import psutil, torch
from torch import nn
from reward.language_models.frozen_linear import multiply_by_onednn
torch.set_num_threads(1)
layer = nn.Linear(576, 1536)
multiply_by_onednn(layer)
def resident():
    return psutil.Process().memory_info().rss / 2**20
with torch.no_grad():
    for rows in range(400, 1, -1):
        if rows == 300:
            before = resident()
        layer(torch.zeros(rows, 576))
print(resident() - before)
"""


def _growth(**environment: str) -> float:
    known = {key: value for key, value in os.environ.items() if key not in frozen_linear.CACHES}
    done = subprocess.run(
        [sys.executable, "-c", GROWING],
        env={**known, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.timeout(120)
def test_a_process_does_not_grow_with_every_number_of_rows() -> None:
    many = _growth(**dict.fromkeys(frozen_linear.CACHES, "1024"))
    # What an environment says stands, and without it little is kept.
    assert _growth() < 20 < 100 < many
