"""Which numbers a frozen model computes with, and whether the hardware multiplies bfloat16 itself.

What is trained beside the frozen weights stays in float32, and PPO asks the update's own passes for
the log-probabilities that its ratio is taken to, since those of sampling are rounded otherwise.
"""

import torch

AUTO = "auto"
# These train weights of the model itself, and a small step is lost in the eight bits of a bfloat16.
TRAINS_THE_MODELS_OWN = ("full", "head", "bitfit")
CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def computing_dtype(device: torch.device, tuning: str) -> torch.dtype:
    """Return what the frozen weights of a backbone are computed with, where no setting says it.

    Args:
        device: where it computes.
        tuning: the method, one of `reward.tuning.method.TUNINGS`.
    """
    # On processors it is 1.3 to 1.4 times as fast and may learn a little less from as many samples
    # (docs/training-speed.md), so there it is a choice; on a GPU the difference is far larger.
    gains = device.type == "cuda" and multiplies_bfloat16(device)
    return torch.bfloat16 if gains and tuning not in TRAINS_THE_MODELS_OWN else torch.float32


def multiplies_bfloat16(device: torch.device) -> bool:
    """Say whether the device has instructions for products of bfloat16, instead of emulating them.

    True of CUDA from compute capability 8.0 on, and of x86 processors with AVX-512-BF16 or AMX.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        return any(has.get(name, False) for name in CPU_INSTRUCTIONS)
    return False
