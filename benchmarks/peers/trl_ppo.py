"""The PPO of trl 1.12, the last TRL that had one, an iteration at a go; it runs beside its trl.

Policy: LoRA on every linear layer. Reference: the adapter off. Reward model and value model: whole
sequence classifiers of the same size; TRL trains the value model whole.
"""

import time

import torch
import transformers
import trl.experimental.ppo.ppo_trainer as ppo_module
from arguments import peer_arguments
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer
from workload import brevity, random_prompts, report, wait_for_turn


class Turns(TrainerCallback):
    """Waits for a turn before each iteration and reports after it."""

    def __init__(self) -> None:
        self.began = 0.0
        self.logged: dict[str, float] = {}

    def on_train_begin(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        wait_for_turn()
        self.began = time.perf_counter()

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:  # type: ignore[no-untyped-def]
        self.logged = dict(logs or {})

    def on_step_end(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        report(
            seconds=time.perf_counter() - self.began,
            score=self.logged.get("objective/scores"),
            kl=self.logged.get("objective/kl"),
        )
        wait_for_turn()
        self.began = time.perf_counter()


def main() -> None:
    """Build TRL's trainer and let it train, a turn an iteration."""
    options = peer_arguments(__doc__)
    torch.set_num_threads(options.threads)
    transformers.set_seed(options.seed)
    transformers.logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(options.model, padding_side="left")
    # TRL masks every token that equals the padding token, and this model pads with its end token.
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    dtype = getattr(torch, options.dtype)

    def classifier():  # type: ignore[no-untyped-def]
        made = AutoModelForSequenceClassification.from_pretrained(
            options.model, dtype=dtype, num_labels=1
        )
        made.config.pad_token_id = 0
        return made

    policy = AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype)
    policy.config.pad_token_id = 0
    reward, value = classifier(), classifier()
    if options.learn:
        _compute_rewards(reward, tokenizer.eos_token_id)
    prompts = random_prompts(
        tokenizer, options.prompts * options.iterations, *options.prompt_tokens, options.seed
    )
    # TRL shuffles what it is given; one epoch draws every prompt once, as ours does.
    rows = Dataset.from_list([{"input_ids": ids} for ids in prompts])
    trainer = PPOTrainer(
        args=PPOConfig(
            output_dir="trl-output",
            per_device_train_batch_size=options.micro_batch,
            gradient_accumulation_steps=options.prompts
            // options.micro_batch
            // options.minibatches,
            num_mini_batches=options.minibatches,
            num_ppo_epochs=options.epochs,
            total_episodes=options.prompts * options.iterations,
            local_rollout_forward_batch_size=options.prompts,
            response_length=options.new_tokens,
            stop_token="eos" if options.stop else None,
            temperature=options.temperature,
            learning_rate=options.learning_rate,
            lr_scheduler_type="constant",
            missing_eos_penalty=None,
            bf16=False,
            use_cpu=options.device == "cpu",
            report_to="none",
            num_sample_generations=0,
            save_strategy="no",
            seed=options.seed,
            logging_steps=1,
            disable_tqdm=True,
        ),
        processing_class=tokenizer,
        model=policy,
        ref_model=None,
        reward_model=reward,
        value_model=value,
        train_dataset=rows,
        eval_dataset=rows.select(range(2)),
        peft_config=LoraConfig(
            r=options.rank,
            lora_alpha=2 * options.rank,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
        callbacks=[Turns()],
    )
    trained = sum(one.numel() for one in trainer.model.parameters() if one.requires_grad)
    report(trained=trained)
    trainer.train()


def _compute_rewards(reward_model, end_token: int) -> None:  # type: ignore[no-untyped-def]
    """Let the reward model's place be taken by the function that ours is rewarded by."""
    original = ppo_module.get_reward

    def get_reward(model, ids, pad, context):  # type: ignore[no-untyped-def]
        if model is not reward_model:
            return original(model, ids, pad, context)
        scores = []
        for row in ids[:, context:].tolist():
            ended = end_token in row
            kept = row[: row.index(end_token) + 1] if ended else [t for t in row if t != pad]
            scores.append(brevity(len(kept), ended))
        found = torch.tensor(scores, device=ids.device)
        return None, found, None

    ppo_module.get_reward = get_reward


if __name__ == "__main__":
    main()
