"""TRL's RewardTrainer, a pass at a go: `python -m benchmarks.peers.trl_reward --model FOLDER …`.

It takes pairs, so every answer of a ranking of K is read K − 1 times. Gradient checkpointing and
bf16, which are on by default, are off: both cost time here.
"""

import tempfile
import time
import warnings

import torch
import transformers
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl import RewardConfig, RewardTrainer

from benchmarks.peers.reward_workload import Ranking, read_rankings, reward_arguments
from benchmarks.peers.workload import report, wait_for_turn

PADDING = 0  # not the end token, which this model pads with: TRL would not read it


class Passes(TrainerCallback):
    """Waits for a turn before each pass and reports after it."""

    def __init__(self) -> None:
        self.began = 0.0

    def on_epoch_begin(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        wait_for_turn()
        self.began = time.perf_counter()

    def on_epoch_end(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        report(seconds=time.perf_counter() - self.began, trunk_seconds=0.0)


def main() -> None:
    """Train until no more turns come; the turn after the last pass measures."""
    options = reward_arguments(__doc__)
    torch.set_num_threads(options.threads)
    transformers.set_seed(options.seed)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    disable_progress_bars()
    warnings.simplefilter("ignore")
    train, heldout = read_rankings(options.rankings)
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(options, train, folder)
        weights = trainer.model.parameters()
        report(trained=sum(one.numel() for one in weights if one.requires_grad))
        trainer.train()
        wait_for_turn()
        report(accuracy=_accuracy(trainer.model, heldout))


def _trainer(options, train: list[Ranking], folder: str) -> RewardTrainer:  # type: ignore[no-untyped-def]
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(PADDING)
    model = AutoModelForSequenceClassification.from_pretrained(
        options.model, dtype=torch.float32, num_labels=1
    )
    pairs, micro = _pairs_a_step(options, train)
    return RewardTrainer(
        model=model,
        args=RewardConfig(
            output_dir=folder,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=pairs // micro,
            num_train_epochs=options.passes,
            learning_rate=options.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=options.warmup_steps,
            weight_decay=0.01,
            max_length=None,
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            dataloader_pin_memory=False,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            seed=options.seed,
        ),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(
            [
                {
                    "chosen_ids": one.prompt + one.answers[better],
                    "rejected_ids": one.prompt + one.answers[worse],
                }
                for one in train
                for better, worse in one.pairs
            ]
        ),
        peft_config=LoraConfig(
            r=options.rank,
            lora_alpha=2 * options.rank,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="SEQ_CLS",
        ),
        callbacks=[Passes()],
    )


def _pairs_a_step(options, train: list[Ranking]) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    """Return the pairs of an optimiser step and of a micro-batch, an exact part of them."""
    answers = len(train[0].answers)
    pairs = options.rankings_per_step * len(train[0].pairs)
    micro = (options.micro_batch or options.rankings_per_step * answers) // 2
    if not micro or pairs % micro:
        raise SystemExit(f"{pairs} pairs a step cannot be cut into micro-batches of {micro}.")
    return pairs, micro


@torch.no_grad()
def _accuracy(model, rankings: list[Ranking]) -> float:  # type: ignore[no-untyped-def]
    """Return the share of pairs whose better answer scores higher, equal scores counted half."""
    model.eval()
    outcomes = []
    for one in rankings:
        rows = [torch.tensor(one.prompt + answer) for answer in one.answers]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PADDING)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        scores = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0]
        margins = (scores[better] - scores[worse] for better, worse in one.pairs)
        outcomes += [0.5 * (1 + float(torch.sign(margin))) for margin in margins]
    return sum(outcomes) / len(outcomes)


if __name__ == "__main__":
    main()
