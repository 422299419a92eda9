"""Which device trains here, found by looking."""

import platform

import torch

from reward.language_models.number_format import multiplies_bfloat16
from storage.errors import Unavailable


def find_device(setting: str = "auto") -> torch.device:
    """Return the device for `auto`, `cuda`, `mps` or `cpu`; raise `Unavailable` if it is absent."""
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if setting == "auto":
        return torch.device(next(name for name, here in present.items() if here))
    if not present.get(setting, False):
        raise Unavailable(
            f"The device {setting} was asked for but is not here; set RANKLOOP_DEVICE=auto."
        )
    return torch.device(setting)


def describe_device(setting: str = "auto") -> str:
    """Return the device in words, for `rankloop doctor` and the Rounds page."""
    device = find_device(setting)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"cuda: {properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if device.type == "mps":
        return f"mps: {platform.processor() or 'Apple silicon'}"
    quick = ", instructions for bfloat16" if multiplies_bfloat16(device) else ""
    return f"cpu: {torch.get_num_threads()} threads{quick}"
