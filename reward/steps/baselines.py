"""What a round's candidate is held against beside the live policy.

The first policy shows what all rounds together gained, the few-shot model
(`reward/evaluating/few_shot.py`) what prompting gives before any tuning. Both answer the same
prompts in every round, so what they answered is kept in the home's folder `evaluations`, named by
the hash of everything that it depends on.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlmodel import select

from labeling.datasets.snapshots import read_snapshot
from reward.evaluating.few_shot import best_examples, ids_with_examples
from reward.evaluating.policy_figures import Evaluator
from reward.generation.conversations import Messages
from reward.generation.sampling import Sample
from reward.steps.heldout import HeldoutPrompt
from reward.steps.outcome import StepContext
from storage.engine import reading
from storage.tables import Policy, Split

FOLDER = "evaluations"
SAMPLES = 1  # The candidate has `evaluation.samples`: a prompt has that many pairs.


def first_policy_answers(
    context: StepContext, evaluator: Evaluator, prompts: Sequence[HeldoutPrompt]
) -> list[list[Sample]]:
    """Return what the first policy, the bare model, answers to the prompts."""
    return _kept_or_sampled(context, evaluator, [one.ids for one in prompts])


def few_shot_answers(
    context: StepContext, evaluator: Evaluator, prompts: Sequence[HeldoutPrompt]
) -> list[list[Sample]]:
    """Return what the bare model answers with examples before each prompt; empty without any.

    The examples are the best completions of the oldest rankings on train prompts that have one
    best completion, each of another prompt; a prompt that leaves them no room gets fewer.
    """
    examples = _examples(context, context.runtime.profile.evaluation.few_shot)
    if not examples:
        return []
    shown = [_with_examples(context, one, examples) for one in prompts]
    return _kept_or_sampled(context, evaluator, shown)


def _examples(context: StepContext, count: int) -> list[Messages]:
    rows = read_snapshot(context.round.artefacts["snapshot"], context.runtime.home)
    rankings = (
        (json.loads(str(row.messages)), row.completions, row.ranks)
        for row in rows[rows["split"] == Split.TRAIN.value].itertuples()
    )
    return best_examples(rankings, count)


def _with_examples(
    context: StepContext, prompt: HeldoutPrompt, examples: list[Messages]
) -> list[int]:
    runtime = context.runtime
    found = ids_with_examples(
        runtime.backbone.tokenizer,
        prompt.messages,
        examples,
        system_prompt=runtime.project.system_prompt,
        room=runtime.backbone.context_length - runtime.profile.sampling.max_new_tokens,
    )
    return found or prompt.ids


def _kept_or_sampled(
    context: StepContext, evaluator: Evaluator, prompts: list[list[int]]
) -> list[list[Sample]]:
    file = _file_of(context, evaluator, prompts)
    kept = _read(file)
    if kept is None:
        kept = evaluator.sample(None, prompts, SAMPLES)
        _write(file, kept)
    return kept


def _file_of(context: StepContext, evaluator: Evaluator, prompts: list[list[int]]) -> Path:
    runtime = context.runtime
    with reading(runtime.engine) as session:
        first = session.exec(
            select(Policy).where(Policy.project_id == runtime.project_id, Policy.version == 1)
        ).one()
    depends_on = [
        first.checkpoint_uri,
        str(runtime.profile.dtype),
        asdict(evaluator.sampling),
        SAMPLES,
        prompts,
    ]
    digest = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()
    return runtime.home / FOLDER / f"{digest[:32]}.json"


def _read(file: Path) -> list[list[Sample]] | None:
    """Return kept answers, None where there are none that can be read: they are drawn again."""
    try:
        rows: Any = json.loads(file.read_text())
        return [[Sample(one["ids"], one["ended"]) for one in of_prompt] for of_prompt in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(file: Path, answers: list[list[Sample]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [[{"ids": one.ids, "ended": one.ended} for one in of_prompt] for of_prompt in answers]
    part = file.with_suffix(f".{uuid4().hex}.part")
    part.write_text(json.dumps(rows))
    os.replace(part, file)
