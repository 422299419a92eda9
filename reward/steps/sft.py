"""Step 2: supervised fine-tuning on demonstrations, where there are enough new ones.

It begins at the bare model, with every demonstration there is, and what comes out is both where the
policy starts and what its KL is taken to (Ouyang et al. 2022, §3.5). Without enough new ones the
round keeps the reference that its base policy was trained against.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from reward.language_models.backbone import Backbone
from reward.steps.outcome import PROGRESS, CannotTrain, StepContext, StepOutcome, new_uri
from reward.steps.snapshot import demonstrations_of_round, end_token
from reward.training.progress_checkpoint import ProgressPlace
from reward.training.sft_settings import SFTSettings
from storage.blobs import checked_path, write_folder
from storage.engine import reading
from storage.errors import BadInput, Unavailable
from storage.tables import Policy, Round, Split

if TYPE_CHECKING:
    from reward.training.sft import DemonstratedAnswer

ADAPTER = "sft"
TRAINED_ON = "demonstrations.json"  # beside the weights: what they were fitted to


def train_on_demonstrations(context: StepContext) -> StepOutcome:
    """Fine-tune where the snapshot has enough demonstrations that this line never trained on.

    Artefacts: `sft` and `reference`, the same folder, where it trained; else the inherited
    `reference`, if there is one.
    """
    rows = demonstrations_of_round(context, Split.TRAIN)
    inherited = _inherited_reference(context)
    used = _trained_on(context, inherited)
    fresh = len(set(rows["id"]) - used)
    metrics: dict[str, Any] = {"demonstrations_train": len(rows), "demonstrations_new": fresh}
    if fresh == 0 or fresh < context.runtime.profile.sft.min_new:
        return StepOutcome(
            artefacts={} if inherited is None else {"reference": inherited},
            metrics={**metrics, "sft": "skipped"},
        )
    return _fine_tune(context, rows, metrics)


def _fine_tune(
    context: StepContext, rows: pandas.DataFrame, metrics: dict[str, Any]
) -> StepOutcome:
    # Imported here: a round without demonstrations never pays for TRL, and the processes that
    # train together start this module.
    from reward.steps.together import fine_tune_together, trains_together
    from reward.training.sft import short_enough

    runtime, one = context.runtime, context.round
    settings, backbone = runtime.profile.sft, runtime.backbone
    shown = short_enough(_as_ids(context, rows), settings, backbone.context_length)
    if not shown:
        raise CannotTrain(
            f"No demonstration has at most {settings.max_tokens} tokens; write shorter ones, or "
            "raise training.sft.max_tokens."
        )
    backbone.add_adapter(ADAPTER)
    if trains_together(context):
        losses = fine_tune_together(context, shown)
    else:
        place = progress_place(runtime.home, one.artefacts.get(PROGRESS))
        losses = fine_tune(
            backbone, shown, settings, seed=one.seed, report=context.report, place=place
        )
    uri = new_uri(context, ADAPTER)
    with write_folder(runtime.home, uri) as folder:
        backbone.save_adapter(ADAPTER, folder)
        ids = [int(key) for key in rows["id"]]
        (folder / TRAINED_ON).write_text(json.dumps(ids), encoding="utf-8")
    return StepOutcome(
        artefacts={"sft": uri, "reference": uri},
        metrics={
            **metrics,
            "sft": "trained",
            "sft_demonstrations": len(shown),
            "sft_left_out": len(rows) - len(shown),
            "sft_loss_first": losses[0],
            "sft_loss_last": losses[-1],
        },
    )


def fine_tune(
    backbone: Backbone,
    shown: Sequence["DemonstratedAnswer"],
    settings: SFTSettings,
    *,
    seed: int,
    report: Callable[[int, int, Mapping[str, float]], None],
    place: ProgressPlace | None,
) -> list[float]:
    """Fit the adapter `sft`; return the loss of every step.

    Raises `CannotTrain` where the loss is not finite.
    """
    from reward.training.sft import train_sft

    try:
        return train_sft(
            backbone, ADAPTER, shown, settings, seed=seed, on_step=report, folder=place
        )
    except FloatingPointError as error:
        raise CannotTrain(f"{error}; lower training.sft.learning_rate.") from error


def _as_ids(context: StepContext, rows: pandas.DataFrame) -> list[Any]:
    from reward.training.sft import demonstrated_answer

    runtime, found = context.runtime, []
    end = end_token(runtime.backbone)
    for row in rows.itertuples():
        try:
            one = demonstrated_answer(
                runtime.backbone.tokenizer,
                json.loads(row.messages),
                row.text,
                system_prompt=runtime.project.system_prompt,
                end_token=end,
            )
        except BadInput:
            continue
        found.append(one)
    return found


def progress_place(home: Path, uri: str | None) -> ProgressPlace | None:
    """Return where the step keeps its progress under the round's; None where there is none."""
    return ProgressPlace(home, f"{uri}/{ADAPTER}") if uri else None


def _inherited_reference(context: StepContext) -> str | None:
    """Return the reference of the round that made this round's base policy, if it had one."""
    with reading(context.runtime.engine) as session:
        base = session.get_one(Policy, context.round.base_policy_id)
        # A policy that was rolled back to is its parent once more, with the parent's reference.
        while base.round_id is None and base.parent_id is not None:
            base = session.get_one(Policy, base.parent_id)
        if base.round_id is None:
            return None
        return session.get_one(Round, base.round_id).artefacts.get("reference")


def _trained_on(context: StepContext, reference: str | None) -> set[int]:
    """Return the demonstrations that a reference was fitted to."""
    if reference is None:
        return set()
    home = context.runtime.home
    file = checked_path(home, reference) / TRAINED_ON
    try:
        return set(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise Unavailable(
            f"The checkpoint file {file} cannot be read ({error}); restore it from a backup."
        ) from error
