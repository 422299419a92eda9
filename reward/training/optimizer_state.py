"""An optimiser's moments as named tensors, so that they can be kept as safetensors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from reward.training.sharded_model import put


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, prefix: str, *, device: str | None = None
) -> dict[str, Tensor]:
    """Return copies of the state of every parameter, named `prefix.index.moment`.

    They lie on `device`; None: where the state does.
    """
    found = {}
    for index, parameter in enumerate(_parameters(optimizer)):
        for moment, value in optimizer.state.get(parameter, {}).items():
            state = torch.as_tensor(value).detach()
            found[f"{prefix}.{index}.{moment}"] = state.to(device or state.device, copy=True)
    return found


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str
) -> None:
    """Set the state of every parameter to what `optimizer_tensors` returned under `prefix`."""
    for index, parameter in enumerate(_parameters(optimizer)):
        start = f"{prefix}.{index}."
        found = {
            name.removeprefix(start): put(parameter, value.clone())
            if value.dim()
            else value.clone()
            for name, value in tensors.items()
            if name.startswith(start)
        }
        optimizer.state.pop(parameter, None)
        if found:
            optimizer.state[parameter] = found


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
