"""Exports are what trainers read: each is given to the trainer that it is made for, for a step."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import (
    DPOConfig,
    DPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    SFTConfig,
    SFTTrainer,
)

from labeling.datasets.export_preferences import export_preferences
from labeling.judging.demonstrations import add_demonstration
from labeling.projects import get_project
from storage.engine import build_engine, writing
from storage.settings import Settings
from storage.tables import Account


@pytest.fixture
def rows(judged: Settings, tmp_path: Path) -> Any:
    """Return a function that exports a format and loads its training rows."""

    def load(format: str) -> Dataset:
        engine = build_engine(judged.url)
        with writing(engine) as session:
            project = get_project(session, name="default")
            account = session.get_one(Account, 1)
            if format == "trl_prompt_completion":
                for prompt in (1, 2):
                    add_demonstration(
                        session, project=project, account=account, prompt_id=prompt, text="Yes."
                    )
        done = export_preferences(
            engine,
            project=project,
            account=None,
            home=judged.home,
            out=tmp_path / format,
            format=format,
            validation_share=0.0,
        )
        engine.dispose()
        file = str(done.folder / "train.jsonl")
        found = load_dataset("json", data_files=file, split="train", cache_dir=str(tmp_path / "c"))
        assert len(found) == done.train > 0
        return found

    return load


def arguments(kind: Any, folder: Path, **given: Any) -> Any:
    return kind(
        output_dir=str(folder),
        max_steps=1,
        per_device_train_batch_size=2,
        report_to="none",
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
        max_length=512,
        **given,
    )


def assert_it_trained(trainer: Any) -> None:
    loss = trainer.train().training_loss
    assert trainer.state.global_step == 1 and 0 < loss < 100


def test_trl_preference_trains_a_reward_model(rows: Any, tiny_folder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_folder, num_labels=1)
    settings = arguments(RewardConfig, tmp_path / "run")
    assert_it_trained(
        RewardTrainer(
            model, settings, train_dataset=rows("trl_preference"), processing_class=tokenizer
        )
    )


@pytest.mark.parametrize("format", ["trl_preference", "trl_implicit"])
def test_trl_preferences_train_dpo(
    rows: Any, tiny_folder: Path, tmp_path: Path, format: str
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    settings = arguments(DPOConfig, tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    assert_it_trained(
        DPOTrainer(model, args=settings, train_dataset=rows(format), processing_class=tokenizer)
    )


def test_trl_unpaired_trains_kto(rows: Any, tiny_folder: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    settings = arguments(KTOConfig, tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    found = rows("trl_unpaired")
    assert set(found["label"]) == {True, False}
    assert_it_trained(
        KTOTrainer(model, args=settings, train_dataset=found, processing_class=tokenizer)
    )


def test_demonstrations_train_sft(rows: Any, tiny_folder: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    settings = arguments(SFTConfig, tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    found = rows("trl_prompt_completion")
    assert_it_trained(
        SFTTrainer(model, args=settings, train_dataset=found, processing_class=tokenizer)
    )


def test_hh_rlhf_is_read_by_load_dataset(rows: Any) -> None:
    found = rows("hh_rlhf")
    for row in found:
        assert row["chosen"].startswith("\n\nHuman: ")
        shared = row["chosen"].rindex("\n\nAssistant: ")
        assert row["chosen"][:shared] == row["rejected"][:shared]
        assert json.dumps(row["snapshot"])
