"""Weights and models that bring code: refused, or passed over, and the code never runs."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from transformers import dynamic_module_utils

from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.models import check_model_folder
from reward.language_models.remote_code import code_brought, code_is_allowed
from reward.training.progress_checkpoint import STATE, TENSORS, load_progress
from reward.tuning.checkpoint import read_checkpoint
from storage.blobs import write_folder
from storage.errors import Unavailable

CODE = """
from pathlib import Path
Path({marker!r}).touch()
from transformers import LlamaConfig, LlamaForCausalLM
class PlantedConfig(LlamaConfig):
    model_type = "planted"
class PlantedModel(LlamaForCausalLM):
    config_class = PlantedConfig
"""


class Bomb:
    """Touches a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "hacked"


def plant_pickle(file: Path, marker: Path) -> None:
    """Write what PyTorch would unpickle, and see that it works."""
    armed = file.with_name("armed.bin")
    torch.save({"weight": Bomb(marker)}, armed)
    torch.load(armed, weights_only=False)
    assert marker.exists()
    marker.unlink()
    armed.replace(file)
    file.with_name(f"{file.name}.pkl").write_bytes(pickle.dumps(Bomb(marker)))


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of a whole, harmless model."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "models" / "owner--name"))


def load(folder: Path) -> Backbone:
    return load_backbone(
        str(folder), device=torch.device("cpu"), dtype=torch.float32, top_layers=1, rank=2
    )


PICKLES = ("pytorch_model.bin", "model.pt", "adapter_model.bin", "optimizer.pt", "rng_state.pth",
           "training_args.bin", "scheduler.pt", "model.safetensors.bin")  # fmt: skip


def test_pickles_beside_the_weights_are_passed_over(folder: Path, marker: Path) -> None:
    for name in PICKLES:
        plant_pickle(folder / name, marker)
    assert load(folder).model is not None
    assert not marker.exists()


def test_a_model_of_pickles_is_refused(folder: Path, marker: Path) -> None:
    (folder / "model.safetensors").unlink()
    for name in PICKLES:
        plant_pickle(folder / name, marker)
    with pytest.raises(Unavailable, match=r"no \.safetensors file"):
        check_model_folder(folder)
    with pytest.raises(Unavailable):
        load(folder)
    assert not marker.exists()


def test_an_index_that_names_pickles_is_refused(folder: Path, marker: Path) -> None:
    (folder / "model.safetensors").unlink()
    plant_pickle(folder / "shard.bin", marker)
    index = {"metadata": {}, "weight_map": {"model.embed_tokens.weight": "shard.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(Unavailable):
        load(folder)
    assert not marker.exists()


def test_a_pickle_that_is_called_safetensors_is_refused(folder: Path, marker: Path) -> None:
    torch.save({"weight": Bomb(marker)}, folder / "model.safetensors")
    with pytest.raises(Unavailable):
        load(folder)
    assert not marker.exists()


@pytest.mark.parametrize("named", ["adapter_model.bin", "adapter_model.safetensors"])
def test_an_adapter_of_pickles_is_refused(tmp_path: Path, marker: Path, named: str) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    plant_pickle(tmp_path / named, marker)
    with pytest.raises(Unavailable, match="cannot be read"):
        read_checkpoint(tmp_path)
    assert not marker.exists()


def test_the_state_of_a_run_is_never_unpickled(tmp_path: Path, marker: Path) -> None:
    """Even where the manifest of a planted folder is right."""
    with write_folder(tmp_path, "progress/fit") as folder:
        for name in ("optimizer.pt", "rng_state.pth", TENSORS):
            plant_pickle(folder / name, marker)
        (folder / STATE).write_text("{}")
    with pytest.raises((Unavailable, SafetensorError)):
        assert load_progress(tmp_path, "progress", "fit") is None
        raise Unavailable("passed over")
    assert not marker.exists()


@pytest.fixture
def planted(folder: Path, marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a model that nobody knows but by the code in its folder."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "planted",
        "architectures": ["PlantedModel"],
        "auto_map": {
            "AutoConfig": "planted.PlantedConfig",
            "AutoModelForCausalLM": "planted.PlantedModel",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "planted.py").write_text(CODE.format(marker=str(marker)))
    return folder


def test_the_code_of_a_model_is_not_run_and_nobody_is_asked(planted: Path, marker: Path) -> None:
    with pytest.raises(Unavailable, match="RANKLOOP_REMOTE_CODE_MODELS"):
        load(planted)
    assert not marker.exists()


def test_an_admin_allows_it_by_name(
    planted: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKLOOP_REMOTE_CODE_MODELS", '["owner/other"]')
    assert not code_is_allowed(planted)
    for name in ("owner/name", str(planted)):
        monkeypatch.setenv("RANKLOOP_REMOTE_CODE_MODELS", json.dumps([name]))
        assert code_is_allowed(planted)
    assert load(planted).model.config.model_type == "planted"
    assert marker.exists()


def test_code_of_another_repository_is_never_run(
    planted: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKLOOP_REMOTE_CODE_MODELS", '["owner/name"]')
    config = json.loads((planted / "config.json").read_text())
    config["auto_map"]["AutoModelForCausalLM"] = "evil/repository--planted.PlantedModel"
    (planted / "config.json").write_text(json.dumps(config))
    with pytest.raises(Unavailable, match="another repository"):
        load(planted)
    assert not marker.exists()


def test_a_known_model_runs_the_code_of_transformers(planted: Path, marker: Path) -> None:
    config = json.loads((planted / "config.json").read_text())
    config |= {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    (planted / "config.json").write_text(json.dumps(config))
    assert code_brought(planted)
    assert type(load(planted).model.get_base_model()).__module__.startswith("transformers.")
    assert not marker.exists()
