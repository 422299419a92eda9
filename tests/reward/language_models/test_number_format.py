"""What a model computes with: bfloat16 where hardware has it, unless weights of its own train."""

import pytest
import torch

from reward.language_models import number_format
from reward.language_models.number_format import computing_dtype, multiplies_bfloat16
from reward.language_models.profiles import training_profile
from reward.tuning.method import TUNINGS

CPU = torch.device("cpu")


def _processor(monkeypatch: pytest.MonkeyPatch, **has: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)


@pytest.mark.parametrize(
    ("has", "wanted"),
    [
        ({"avx512_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_a_processor_is_asked_for_its_instructions(
    monkeypatch: pytest.MonkeyPatch, has: dict, wanted: bool
) -> None:
    _processor(monkeypatch, **has)
    assert multiplies_bfloat16(CPU) is wanted
    assert training_profile(CPU).dtype == (torch.bfloat16 if wanted else torch.float32)


def test_a_gpu_that_emulates_it_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert computing_dtype(torch.device("cuda"), "lora") == torch.float32
    assert asked == [False]


@pytest.mark.parametrize("tuning", [name for name in TUNINGS if name != "feature"])
def test_methods_that_train_the_models_own_weights_keep_float32(
    monkeypatch: pytest.MonkeyPatch, tuning: str
) -> None:
    _processor(monkeypatch, avx512_bf16=True)
    own = tuning in number_format.TRAINS_THE_MODELS_OWN
    wanted = torch.float32 if own else torch.bfloat16
    assert training_profile(CPU, {"backbone": {"tuning": tuning}}).dtype == wanted


@pytest.mark.parametrize(
    ("dtypes", "wanted"),
    [
        (["float32"], torch.float32),
        (["float32", "auto"], torch.bfloat16),
        (["auto", "float32"], torch.float32),
    ],
)
def test_the_last_word_on_the_dtype_wins(
    monkeypatch: pytest.MonkeyPatch, dtypes: list[str], wanted: torch.dtype
) -> None:
    _processor(monkeypatch, avx512_bf16=True)
    overrides = [{"backbone": {"dtype": dtype}} for dtype in dtypes]
    assert training_profile(CPU, *overrides).dtype == wanted
