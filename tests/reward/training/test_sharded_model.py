"""Weights that processes share out: trained as one process trains them, and gone on from."""

import copy
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, OPTConfig, set_seed

from reward.language_models.backbone import Backbone, load_backbone
from reward.policy_optimization.trl_optimizers import train_with
from reward.running.launcher import Launch, launch_command
from reward.training import sharded_model
from reward.training.optimizer_settings import OptimizerSettings
from reward.training.sharded_model import own_parameters, plain_model, set_reference
from storage.errors import BadInput
from tests.reward.training.test_trl_processes import Found, trained
from tests.reward.training.trl_in_processes import LowIds

ROOT = Path(__file__).parents[3]
SCRIPT = "tests.reward.training.trl_in_processes"
TUNINGS = ("lora", "full", "head", "adapter", "bitfit")
METHODS = [f"{method}@{tuning}" for method in ("sft", "dpo") for tuning in TUNINGS]
METHODS += ["dpo-ref@lora", "dpo-ref@full"]


def launch(config: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script in two processes on CPU, as the worker starts them with a launch_config."""
    return subprocess.run(
        launch_command(Launch(2, "cpu", config), SCRIPT, *arguments),
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
             "CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )  # fmt: skip


def sharded(config: str, model: Path, out: Path, methods: str, dying: str = "") -> Found:
    """Return what two processes trained, each with half of every weight."""
    ended = launch(config, str(model), str(out), methods, dying)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = load_file(out)
    for method in methods.split(","):
        held = found.pop(f"{method}.held")
        # The vectors of (IA)³ are single rows, and a row is one process's.
        assert held == pytest.approx(1.0 if "adapter" in method else 0.5, abs=0.01), method
    return found


def check_same(together: Found, alone: Found) -> None:
    for name, value in together.items():
        if "weight" in name or "loss" in name or "grad_norm" in name:
            torch.testing.assert_close(value, alone[name], atol=2e-5, rtol=2e-4, msg=name)


@pytest.fixture(scope="module")
def fsdp2(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Return what FSDP2 trains."""
    out = tmp_path_factory.mktemp("fsdp2") / "out"
    return sharded("fsdp2", tiny_folder, out, ",".join(METHODS))


@pytest.mark.slow
def test_fsdp2_trains_as_one_process_does(tiny_folder: Path, tmp_path: Path, fsdp2: Found) -> None:
    alone = trained(1, tiny_folder, tmp_path / "one", ",".join(METHODS))
    for method in METHODS:
        assert f"{method}.weight.0" in fsdp2
    check_same(fsdp2, alone)


@pytest.mark.slow
def test_fsdp2_goes_on_after_a_kill(tiny_folder: Path, tmp_path: Path, fsdp2: Found) -> None:
    out = tmp_path / "cut"
    assert launch("fsdp2", str(tiny_folder), str(out), "sft@lora", "1:3").returncode != 0
    cut = sharded("fsdp2", tiny_folder, out, "sft@lora", "-1")
    assert "sft@lora.2.loss/sft" not in cut and "sft@lora.4.loss/sft" in cut
    for name in (name for name in cut if "weight" in name):
        assert torch.equal(cut[name], fsdp2[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft@lora", "dpo@full"])
def test_zero3_trains_as_one_process_does(tiny_folder: Path, tmp_path: Path, method: str) -> None:
    pytest.importorskip("deepspeed")
    together = sharded("deepspeed_zero3", tiny_folder, tmp_path / "two", method)
    check_same(together, trained(1, tiny_folder, tmp_path / "one", method))


@pytest.fixture(params=TUNINGS)
def tuned(request: pytest.FixtureRequest, tiny_folder: Path) -> Backbone:
    """Return a backbone whose policy and reference have weights of their own."""
    backbone = load_backbone(
        tiny_folder,
        device=torch.device("cpu"),
        dtype=torch.float32,
        top_layers=2,
        rank=4,
        tuning=request.param,
    )
    backbone.add_adapter("reward", scalar=True)
    generator = torch.Generator().manual_seed(1)
    for name in ("policy", "reference"):
        backbone.add_adapter(name)
        for weight in backbone.parameters(name):
            weight.data += 0.1 * torch.randn(weight.shape, generator=generator)
    return backbone


IDS = torch.tensor([[5, 9, 30, 44, 8]])


def logits(backbone: Backbone, name: str | None) -> torch.Tensor:
    return backbone.top(backbone.trunk(IDS), name) @ backbone.output_weight_of(name).T


@torch.no_grad()
def test_the_copy_computes_as_the_role(tuned: Backbone) -> None:
    for name in ("policy", "reference", None):
        model = plain_model(tuned, name)
        torch.testing.assert_close(
            model(input_ids=IDS).logits, logits(tuned, name), atol=1e-4, rtol=1e-4
        )
        wanted = len(tuned.parameters(name)) if name else 0
        assert sum(one.requires_grad for one in model.parameters()) == wanted
        assert all(one.is_contiguous() for one in model.parameters())


SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
WITH_DROPOUT = {
    "gpt2": GPT2Config(**SIZES, resid_pdrop=0.3, embd_pdrop=0.3, attn_pdrop=0.3),
    "llama": LlamaConfig(**SIZES, intermediate_size=64, attention_dropout=0.3),
    "opt": OPTConfig(
        **SIZES, ffn_dim=64, word_embed_proj_dim=32, dropout=0.3, attention_dropout=0.3,
        layerdrop=0.3,
    ),
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", WITH_DROPOUT)
def test_nothing_is_dropped_while_the_copy_trains(
    backbone: Backbone, kind: str, attention: str
) -> None:
    set_seed(0)
    bare = AutoModelForCausalLM.from_config(WITH_DROPOUT[kind], attn_implementation=attention)
    dropping = Backbone(
        bare, backbone.tokenizer, device=torch.device("cpu"), top_layers=1, rank=2, tuning="full"
    )
    before = copy.deepcopy(dropping.model.config.to_dict())
    model = plain_model(dropping, "policy")
    asleep = model(input_ids=IDS).logits
    model.train()
    for _ in range(4):
        assert torch.equal(model(input_ids=IDS).logits, asleep)
    # The backbone's own stay what they are.
    assert dropping.model.config.to_dict() == before
    first, second = (dropping.model.train()(input_ids=IDS).logits for _ in range(2))
    assert not torch.equal(first, second)


@torch.no_grad()
def test_trls_reference_is_the_role_that_is_asked_for(tiny_folder: Path) -> None:
    backbone = load_backbone(
        tiny_folder, device=torch.device("cpu"), dtype=torch.float32, top_layers=2, rank=4
    )
    # Of another size than the policy, as a checkpoint may be.
    small = load_backbone(
        tiny_folder, device=torch.device("cpu"), dtype=torch.float32, top_layers=1, rank=2
    )
    for weight in small.parameters("policy"):
        weight.data += 0.1
    small.save_adapter("policy", tiny_folder / "small")
    backbone.load_adapter("reference", tiny_folder / "small")
    model = plain_model(backbone, "policy")
    model.add_adapter("ref", model.peft_config["default"])
    set_reference(backbone, "policy", model, "reference")
    trained = {id(one) for one in own_parameters(backbone, model, "policy")}
    assert {id(one) for one in model.parameters() if one.requires_grad} == trained
    model.set_adapter("ref")
    torch.testing.assert_close(
        model(input_ids=IDS).logits, logits(backbone, "reference"), atol=1e-4, rtol=1e-4
    )
    model.set_adapter("default")
    set_reference(backbone, "policy", model, None)
    assert "ref" not in model.peft_config


def test_what_does_not_shard_is_refused(
    tiny_folder: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual = load_backbone(
        tiny_folder, device=torch.device("cpu"), dtype=torch.float32, top_layers=2, rank=4,
        tuning="prompt",
    )  # fmt: skip
    with pytest.raises(BadInput, match="method prompt does not train with sharded weights"):
        plain_model(virtual, "policy")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(BadInput, match="set fsdp_version to 2"):
        sharded_model.is_sharding()
    monkeypatch.setenv("FSDP_VERSION", "2")
    with pytest.raises(BadInput, match="rloo samples while it trains"):
        train_with(
            "rloo", backbone, scorer=LowIds(), prompts=[[5]], pairs=[], reference=None,
            settings=OptimizerSettings(), sampling=None, seed=0,  # type: ignore[arg-type]
        )  # fmt: skip
