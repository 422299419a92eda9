"""Step 1: freeze the judgments and demonstrations that this round trains on."""

import json
import logging
from collections.abc import Sequence
from typing import Any

import pandas
from sqlmodel import Session

from labeling.datasets.code_version import code_version
from labeling.datasets.snapshots import read_consolidated, read_demonstrations, read_snapshot
from labeling.datasets.snapshots import take_snapshot as freeze
from labeling.labeling_settings import labeling_settings
from reward.generation.conversations import answer_ids, prompt_ids
from reward.language_models.backbone import Backbone
from reward.reward_modeling.reward_model import RankedExample
from reward.running.runtime import Runtime
from reward.steps.outcome import CannotTrain, StepContext, StepOutcome
from reward.steps.prompts import check_prompts
from storage.engine import reading
from storage.errors import BadInput
from storage.tables import Snapshot, Split

log = logging.getLogger(__name__)


def take_snapshot(context: StepContext) -> StepOutcome:
    """Write the snapshot and name it on the round."""
    runtime = context.runtime
    runtime.read_project()
    check_prompts(runtime)
    context.working("freezing judgments and demonstrations")
    snapshot = freeze(
        runtime.engine,
        project=runtime.project,
        folder=runtime.home / "snapshots",
        code_version=code_version(),
        store=runtime.settings.checkpoint_store,
    )
    judgments = int(snapshot.manifest["judgments"])
    return StepOutcome(
        artefacts={"snapshot": snapshot.uri},
        metrics={
            "snapshot_sha256": snapshot.rows_sha256,
            "judgments": judgments,
            "demonstrations": int(snapshot.manifest.get("demonstrations", 0)),
        },
        snapshot_id=snapshot.id,
        judgments=judgments,
    )


def rankings_of_round(context: StepContext, split: Split) -> list[RankedExample]:
    """Read the round's rankings of one split from its snapshot, as token ids.

    Where the project asks for it, each weighs as much as its annotator is relied on. Of a snapshot
    with a consolidation rule they are its labels, one a task, which count whole.
    """
    runtime = context.runtime
    with reading(runtime.engine) as session:
        snapshot = session.get_one(Snapshot, context.round.snapshot_id)
        uri, rule = snapshot.uri, snapshot.query.get("consolidation", "none")
    rows = read_snapshot(uri, runtime.home)
    rows = rows[rows["split"] == split.value]
    if rule != "none":
        return ranked_examples(runtime, labelled(rows, read_consolidated(uri, runtime.home)))
    weighs = labeling_settings(runtime.project).reliability.reliability_weights
    return ranked_examples(runtime, rows, reliability_weights(rows) if weighs else None)


def demonstrations_of_round(context: StepContext, split: Split) -> pandas.DataFrame:
    """Read the round's demonstrations of one split from its snapshot, oldest first."""
    runtime = context.runtime
    with reading(runtime.engine) as session:
        uri = _snapshot_uri(session, context.round.snapshot_id)
    rows = read_demonstrations(uri, runtime.home)
    return rows[rows["split"] == split.value]


def labelled(rows: pandas.DataFrame, labels: pandas.DataFrame) -> pandas.DataFrame:
    """Return one row a task, ranked as its label says.

    It is no annotator's, so judgment_id is 0 and nobody said a strength or a score of it. `rows` as
    `read_snapshot`, `labels` as `read_consolidated` give them.
    """
    tasks = rows.drop_duplicates("task_id")
    ranks = labels.set_index("task_id")["ranks"].loc[tasks["task_id"]]
    return tasks.assign(ranks=ranks.to_list(), judgment_id=0, strength=None, likert="{}")


def reliability_weights(rows: pandas.DataFrame) -> list[float]:
    """Return what each snapshot row counts, in [0, 1]: its annotator's reliability.

    1 for a lead's decision, and where the snapshot measured none.
    """
    if "reliability" not in rows:
        return [1.0] * len(rows)
    measured = rows["reliability"].astype(float).where(rows["judgment_id"] > 0).fillna(1.0)
    return [float(weight) for weight in measured]


def ranked_examples(
    runtime: Runtime, rows: pandas.DataFrame, weights: Sequence[float] | None = None
) -> list[RankedExample]:
    """Turn snapshot rows into ranked examples; the completions keep their task positions.

    `weights` is what each row counts, 1 where it is None; a row of weight 0 teaches nothing and is
    left out. So is one that is longer than the model's context, of which the log has the number.
    """
    tokenizer, end = runtime.backbone.tokenizer, end_token(runtime.backbone)
    limit = runtime.backbone.context_length
    examples = []
    too_long = 0
    for row, weight in zip(rows.itertuples(), weights or [1.0] * len(rows), strict=True):
        if weight <= 0:
            continue
        try:
            prompt = prompt_ids(tokenizer, json.loads(row.messages), runtime.project.system_prompt)
        except BadInput:
            continue
        answers = [
            answer_ids(tokenizer, text, ended=reason == "stop", end_token=end)
            for text, reason in zip(row.completions, row.finish_reasons, strict=True)
        ]
        if len(prompt) + max(len(answer) for answer in answers) > limit:
            too_long += 1
            continue
        strength = _strength(row)
        examples.append(
            RankedExample(
                prompt,
                answers,
                [int(rank) for rank in row.ranks],
                int(row.prompt_id),
                weight=weight,
                strength=strength,
                # Where it was asked how much better, that is what a margin is made of.
                scores=None if strength is not None else _scores(row),
                subset=f"policy {row.policy_version}",
                judgment_id=int(row.judgment_id),
            )
        )
    if too_long:
        log.warning(
            "%d of %d rankings have more than the %d tokens of the model's context and teach "
            "nothing.", too_long, len(rows), limit,
        )  # fmt: skip
    return examples


def _scores(row: Any) -> list[float] | None:
    """Return each completion's mean Likert answer, over the criteria that all of them have."""
    # A snapshot of an older version does not say.
    asked: dict[str, list[Any]] = json.loads(getattr(row, "likert", None) or "{}")
    whole = [given for given in asked.values() if None not in given]
    if not whole:
        return None
    return [sum(given) / len(given) for given in zip(*whole, strict=True)]


def _strength(row: Any) -> float | None:
    """Return how much the better of two is better, 0 to 3 as `RankedExample` has it, if asked."""
    # Asked from 1 to 4; a snapshot of an older version does not say.
    asked = getattr(row, "strength", None)
    return None if asked is None or pandas.isna(asked) else float(asked) - 1


def end_token(backbone: Backbone) -> int:
    """Return the id that ends an answer; raise `CannotTrain` where the model has none."""
    own = backbone.tokenizer.eos_token_id
    if own is not None:
        return int(own)
    if not backbone.end_tokens:
        raise CannotTrain("The model has no end-of-sequence token; choose a chat model.")
    return backbone.end_tokens[-1]


def _snapshot_uri(session: Session, snapshot_id: int | None) -> str:
    return session.get_one(Snapshot, snapshot_id).uri
