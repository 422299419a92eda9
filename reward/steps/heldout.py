"""The held-out prompts of a round: their ids, their messages, and what people answered to them."""

import hashlib
import random
from dataclasses import dataclass

from sqlmodel import col, select

from labeling.datasets.snapshots import read_demonstrations
from reward.generation.conversations import Messages, prompt_ids
from reward.steps.outcome import StepContext
from reward.steps.prompts import policy_prompts
from storage.engine import reading
from storage.errors import BadInput
from storage.tables import Prompt, Split


@dataclass(frozen=True)
class HeldoutPrompt:
    """A prompt that no training sees: `demonstrations` are people's answers, if there are any."""

    ids: list[int]
    messages: Messages
    demonstrations: list[str]


def heldout_prompts(context: StepContext) -> list[HeldoutPrompt]:
    """Return the prompts that the round compares policies on.

    The first `evaluation.baseline_prompts` are the same in every round, so that what the first
    policy answered to them can be kept; the others are drawn by the round's seed.
    """
    runtime, settings = context.runtime, context.runtime.profile.evaluation
    fitting = {tuple(ids) for ids in policy_prompts(runtime, Split.HELDOUT)}
    texts = _demonstrations(context)
    tokenizer, system = runtime.backbone.tokenizer, runtime.project.system_prompt
    with reading(runtime.engine) as session:
        rows = session.exec(
            select(Prompt)
            .where(Prompt.project_id == runtime.project_id, Prompt.split == Split.HELDOUT)
            .order_by(col(Prompt.id))
        ).all()
    found = []
    for row in rows:
        try:
            ids = prompt_ids(tokenizer, row.messages, system)
        except BadInput:
            continue
        if tuple(ids) in fitting:
            found.append((row, HeldoutPrompt(ids, row.messages, texts.get(row.id or 0, []))))
    found.sort(key=lambda one: hashlib.sha256(one[0].content_sha256.encode()).digest())
    fixed, drawn = found[: settings.baseline_prompts], found[settings.baseline_prompts :]
    random.Random(context.round.seed).shuffle(drawn)
    return [prompt for _, prompt in (fixed + drawn)[: settings.prompts]]


def _demonstrations(context: StepContext) -> dict[int, list[str]]:
    rows = read_demonstrations(context.round.artefacts["snapshot"], context.runtime.home)
    texts: dict[int, list[str]] = {}
    for row in rows[rows["split"] == Split.HELDOUT.value].itertuples():
        texts.setdefault(int(row.prompt_id), []).append(str(row.text))
    return texts
