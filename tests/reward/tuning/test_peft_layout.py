"""What is saved where peft has the method: peft computes the same from it."""

import warnings
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.reward.tuning.conftest import LoadTuned
from tests.reward.tuning.test_method import disturb

IDS = torch.tensor([[5, 9, 30, 41, 7, 12], [44, 3, 8, 2, 60, 61]])


@pytest.mark.parametrize("tuning", ["lora", "adapter", "bitfit", "prompt", "prefix"])
def test_peft_reads_it_and_computes_the_same(
    tuned: LoadTuned, tiny_folder: Path, tuning: str, tmp_path: Path
) -> None:
    backbone = tuned(tuning)
    disturb(backbone, "policy")
    states = backbone.top(backbone.trunk(IDS), "policy")
    backbone.save_adapter("policy", tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # peft 0.21 does not know Llama's norms
        theirs = PeftModel.from_pretrained(plain, tmp_path)
    with torch.no_grad():
        logits = theirs(input_ids=IDS).logits[:, -IDS.shape[1] :]
    torch.testing.assert_close(logits, states @ backbone.output_weight.T, atol=1e-4, rtol=1e-4)
