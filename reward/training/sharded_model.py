"""A role as a plain model of transformers, for processes that share its weights out.

Under FSDP2 or DeepSpeed's ZeRO-3 each process holds a part of every weight, and a module's weights
are put together while it computes. What shards a model wants transformers' own modules and calls
(`reward/language_models/role_model.py` calls layers by hand), so the role is trained in a copy of
the backbone, and what was trained is gathered and copied back. Leaves out: virtual tokens, and
sampling while weights are shared out. Which processes shard is said by `accelerate launch`
(`reward/launch/fsdp2.yaml`, `reward/launch/deepspeed_zero3.yaml`).
"""

import copy
import os
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from peft import PeftModel, get_peft_model
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedConfig

from reward.language_models.backbone import Backbone
from storage.errors import BadInput

ADAPTER = "default"  # what TRL asks a model of peft for
REFERENCE = "ref"  # what TRL calls the adapter that DPO compares with
ON = ("1", "true", "yes")
DROPOUTS = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
)


def by_fsdp() -> bool:
    """Say whether this process was started to shard by FSDP; raise `BadInput` for its version 1."""
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() not in ON:
        return False
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise BadInput("Weights are shared out by FSDP2 alone; set fsdp_version to 2.")
    return True


def by_deepspeed() -> bool:
    """Say whether this process was started to train by DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() in ON


def is_sharding() -> bool:
    """Say whether this process was started to hold a part of the weights only."""
    return by_fsdp() or by_deepspeed()


def home_of_backbone(device: torch.device, *, sharded: bool) -> torch.device:
    """Return where the backbone lies: in the machine's memory where a copy of it is sharded."""
    return torch.device("cpu") if sharded and is_sharding() else device


def shard_on_cpu(trainer: Any) -> None:
    """Let accelerate shard by FSDP on CPU, where it would train whole copies without a word.

    Only its list of devices leaves CPU out (1.15); torch's `fully_shard` takes it, with gloo.
    """
    state = trainer.accelerator.state
    if state.distributed_type is not DistributedType.MULTI_CPU:
        return
    state.fsdp_plugin = FullyShardedDataParallelPlugin()
    for shared in (AcceleratorState._shared_state, PartialState._shared_state):
        shared["distributed_type"] = DistributedType.FSDP
    trainer.is_fsdp_enabled = True


def count_on_cpu() -> None:
    """Let accelerate know of the other processes where DeepSpeed trains on CPU.

    With DeepSpeed it asks GPUs alone how many processes there are (1.15), and finds one.
    """
    if not by_deepspeed() or torch.cuda.is_available() or not torch.distributed.is_initialized():
        return
    PartialState._shared_state |= {
        "num_processes": torch.distributed.get_world_size(),
        "process_index": torch.distributed.get_rank(),
        "local_process_index": int(os.environ.get("LOCAL_RANK", "0")),
    }


def plain_model(backbone: Backbone, name: str | None, *, trained: bool = True) -> Any:
    """Return a copy of the backbone that computes as a role, or (None) as the bare model.

    It drops nothing out in training mode either, where a `Trainer` puts it: a role of the backbone
    is trained in evaluation mode. Only the role's own weights want gradients, and none of them
    unless `trained`. Raises `BadInput` for a tuning method that a plain model does not have.
    """
    if backbone.tuning in ("prompt", "prefix"):
        raise BadInput(
            f"The tuning method {backbone.tuning} does not train with sharded weights; choose "
            "launch_config ddp, or another method."
        )
    backbone.use(name)
    model: Any = copy.deepcopy(backbone.model)
    if isinstance(model, PeftModel):
        model = model.unload()
        if name is not None:
            config = copy.deepcopy(backbone.model.peft_config[name])
            with warnings.catch_warnings():
                # peft tells of norms, which it has no name for, that it goes on with them.
                warnings.simplefilter("ignore")
                model = get_peft_model(model, config, adapter_name=ADAPTER)
    elif model.get_output_embeddings().weight is not model.get_input_embeddings().weight:
        # A role may own one of two weights that the bare model has as one.
        model.config.tie_word_embeddings = False
    _drop_nothing(model)
    model.requires_grad_(False)
    for parameter in model.parameters():
        # FSDP2 takes no weight that lies transposed in memory.
        parameter.data = parameter.data.contiguous()
    if name is not None:
        _copy(backbone.parameters(name), own_parameters(backbone, model, name))
        for parameter in own_parameters(backbone, model, name):
            parameter.requires_grad_(trained)
    return model


def _drop_nothing(model: nn.Module) -> None:
    """Set every probability of dropping something out to 0: of modules, attributes and configs.

    Attention takes its own from an attribute (`attention_dropout` of Llama's) or, in a few models,
    from the config while it computes; OPT leaves out whole layers by `layerdrop`.
    """
    for module in model.modules():
        if isinstance(module, DROPOUTS):
            module.p = 0.0
        for owner in (module, *_configs_of(module)):
            for name, value in list(vars(owner).items()):
                if "drop" in name and isinstance(value, float) and 0.0 < value <= 1.0:
                    setattr(owner, name, 0.0)


def _configs_of(module: nn.Module) -> list[PreTrainedConfig]:
    return [one for one in vars(module).values() if isinstance(one, PreTrainedConfig)]


def own_parameters(
    backbone: Backbone, model: nn.Module, name: str, adapter: str = ADAPTER
) -> list[nn.Parameter]:
    """Return the weights of a copy that are a role's own, in the order of the backbone's."""
    own = {id(one) for one in backbone.parameters(name)}
    backbone.use(name)
    theirs = dict(model.named_parameters())
    return [
        theirs[f"{key}.".replace(f".{name}.", f".{adapter}.").removesuffix(".")]
        for key, one in backbone.model.named_parameters()
        if id(one) in own
    ]


def set_reference(backbone: Backbone, name: str, model: Any, reference: str | None) -> None:
    """Make TRL's adapter `ref`, which begins as the role `name`, the reference that is asked for.

    None deletes it: TRL then compares with the model without adapters.
    """
    model.delete_adapter(REFERENCE)
    if reference is not None:
        model.add_adapter(REFERENCE, copy.deepcopy(backbone.model.peft_config[reference]))
        theirs = own_parameters(backbone, model, reference, REFERENCE)
        _copy(backbone.parameters(reference), theirs)
    # peft lets gradients reach whatever it adds.
    model.requires_grad_(False)
    for parameter in own_parameters(backbone, model, name):
        parameter.requires_grad_(True)


def take_back(backbone: Backbone, name: str, model: nn.Module) -> None:
    """Copy what was trained into the backbone's role, in every process; all have to call it."""
    trained = own_parameters(backbone, model, name)
    _copy([whole(one) for one in trained], backbone.parameters(name))


def whole(tensor: Tensor) -> Tensor:
    """Return a weight, or a moment of it, with the parts of all processes; all have to call it."""
    if isinstance(tensor, DTensor):
        found: Tensor = tensor.full_tensor()
        return found.detach()
    with _gathered(tensor):
        return tensor.detach().clone()


def put(tensor: Tensor, values: Tensor) -> Tensor:
    """Return whole values as `tensor` holds its own: this process's part, where it is shared."""
    if not isinstance(tensor, DTensor):
        return values.to(tensor.device)
    given = values.to(tensor.device_mesh.device_type)
    return distribute_tensor(given, tensor.device_mesh, tensor.placements)


def _gathered(tensor: Tensor) -> Any:
    if not hasattr(tensor, "ds_id"):
        return nullcontext()
    # Who started this process with DeepSpeed has it; it is none of our packages.
    return import_module("deepspeed").zero.GatheredParameters([tensor])


@torch.no_grad()
def _copy(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    for theirs, mine in zip(source, target, strict=True):
        mine.copy_(theirs)
