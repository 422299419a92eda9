"""What a model computes with: bfloat16 on GPUs that have it, unless weights of its own train."""

import pytest
import torch

from reward.language_models.devices import describe_device
from reward.language_models.number_format import (
    TRAINS_THE_MODELS_OWN,
    computing_dtype,
    multiplies_bfloat16,
)
from reward.language_models.profiles import training_profile
from reward.tuning.method import TUNINGS

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def able_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)


@pytest.mark.parametrize(
    ("has", "wanted"),
    [
        ({"avx512_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_a_processor_is_asked_for_its_instructions_and_left_a_choice(
    monkeypatch: pytest.MonkeyPatch, has: dict, wanted: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert multiplies_bfloat16(CPU) is wanted
    assert ("bfloat16" in describe_device("cpu")) is wanted
    assert training_profile(CPU).dtype == torch.float32
    chosen = {"backbone": {"dtype": "bfloat16"}}
    assert training_profile(CPU, chosen).dtype == torch.bfloat16


def test_a_gpu_that_emulates_it_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert computing_dtype(CUDA, "lora") == torch.float32
    assert asked == [False]


@pytest.mark.usefixtures("able_gpu")
@pytest.mark.parametrize("tuning", [name for name in TUNINGS if name != "feature"])
def test_methods_that_train_the_models_own_weights_keep_float32(tuning: str) -> None:
    wanted = torch.float32 if tuning in TRAINS_THE_MODELS_OWN else torch.bfloat16
    assert training_profile(CUDA, {"backbone": {"tuning": tuning}}).dtype == wanted


@pytest.mark.usefixtures("able_gpu")
@pytest.mark.parametrize(
    ("dtypes", "wanted"),
    [
        (["float32"], torch.float32),
        (["float32", "auto"], torch.bfloat16),
        (["auto", "float32"], torch.float32),
    ],
)
def test_the_last_word_on_the_dtype_wins(dtypes: list[str], wanted: torch.dtype) -> None:
    overrides = [{"backbone": {"dtype": dtype}} for dtype in dtypes]
    assert training_profile(CUDA, *overrides).dtype == wanted
