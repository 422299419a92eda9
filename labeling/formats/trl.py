"""TRL's conversational preferences: `prompt`, `chosen` and `rejected` as lists of messages."""

from typing import Any

NAME = "trl"


def row_of(comparison: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON row of one comparison (keys as the columns of `comparisons`).

    TRL's RewardTrainer and DPOTrainer read the first three fields as they are; the others say
    where the preference is from.
    """
    return {
        "prompt": comparison["messages"],
        "chosen": [{"role": "assistant", "content": comparison["chosen"]}],
        "rejected": [{"role": "assistant", "content": comparison["rejected"]}],
        "prompt_id": comparison["prompt_id"],
        "task_id": comparison["task_id"],
        "judgment_id": comparison["judgment_id"],
        "chosen_id": comparison["chosen_id"],
        "rejected_id": comparison["rejected_id"],
        "policy_version": comparison["policy_version"],
        "round": comparison["round"],
        "annotator": comparison["annotator"],
        "annotator_kind": comparison["annotator_kind"],
    }
