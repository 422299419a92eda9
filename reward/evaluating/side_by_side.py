"""Completions of two policies side by side: where one gained most, where it lost most, others."""

from collections.abc import Sequence
from typing import Any

from reward.evaluating.policy_figures import REWARD_MODEL, EvaluationSettings, PolicyFigures
from reward.generation.conversations import Messages

Rows = list[dict[str, Any]]


def side_by_side(
    prompts: Sequence[Messages],
    named: tuple[str, PolicyFigures],
    other: tuple[str, PolicyFigures],
    settings: EvaluationSettings,
) -> dict[str, Rows]:
    """Return `best_samples` and `worst_samples` by reward difference, and other `samples`.

    `named` and `other` are the policies by the names that a row says them under. Where no reward
    model judged them there are others alone.
    """
    (name, ours), (other_name, theirs) = named, other
    judged = REWARD_MODEL in ours.scores and REWARD_MODEL in theirs.scores
    indices = range(min(len(prompts), len(ours.texts), len(theirs.texts)))

    def row(index: int) -> dict[str, Any]:
        found: dict[str, Any] = {
            "prompt": in_words(prompts[index]),
            name: ours.texts[index][0],
            other_name: theirs.texts[index][0],
        }
        if judged:
            found[f"{name}_reward"] = ours.scores[REWARD_MODEL][index][0]
            found[f"{other_name}_reward"] = theirs.scores[REWARD_MODEL][index][0]
        return found

    def gain(index: int) -> float:
        return ours.scores[REWARD_MODEL][index][0] - theirs.scores[REWARD_MODEL][index][0]

    order = sorted(indices, key=lambda index: -gain(index)) if judged else []
    extremes = min(settings.extreme_samples, len(order) // 3)
    best, worst = order[:extremes], order[len(order) - extremes :][::-1]
    others = [index for index in indices if index not in {*best, *worst}]
    return {
        "samples": [row(index) for index in others[: settings.shown_samples]],
        "best_samples": [row(index) for index in best],
        "worst_samples": [row(index) for index in worst],
    }


def in_words(messages: Messages) -> str:
    """Return a conversation as people read it: one turn alone, or each with its role."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in messages)
