"""The prompts that policies are trained and compared on."""

from sqlmodel import col, select

from reward.generation.conversations import prompt_ids
from reward.running.runtime import Runtime
from reward.steps.outcome import CannotTrain
from storage.engine import reading
from storage.errors import BadInput
from storage.tables import Prompt, Split


def policy_prompts(runtime: Runtime, split: Split) -> list[list[int]]:
    """Return the ids of a split's prompts that leave room for an answer, oldest first."""
    backbone = runtime.backbone
    room = backbone.context_length - runtime.profile.sampling.max_new_tokens
    limit = min(runtime.profile.ppo.max_prompt_tokens, room)
    with reading(runtime.engine) as session:
        prompts = session.exec(
            select(Prompt)
            .where(Prompt.project_id == runtime.project_id, Prompt.split == split)
            .order_by(col(Prompt.id))
        ).all()
    found = []
    for prompt in prompts:
        try:
            ids = prompt_ids(backbone.tokenizer, prompt.messages, runtime.project.system_prompt)
        except BadInput:
            continue
        if len(ids) <= limit:
            found.append(ids)
    return found


def check_prompts(runtime: Runtime) -> None:
    """Raise `CannotTrain` before any work where there is nothing to train or to compare on."""
    limit = runtime.profile.ppo.max_prompt_tokens
    for split, use in ((Split.TRAIN, "train on"), (Split.HELDOUT, "compare policies on")):
        if not policy_prompts(runtime, split):
            raise CannotTrain(
                f"There is no {split.value} prompt of at most {limit} tokens to {use}; import more "
                "prompts, or raise training.ppo.max_prompt_tokens."
            )
