"""Rankings and prompts of files as token ids, checked against the model's context."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from labeling.imports.demonstration_files import completion_of
from labeling.imports.prompt_files import PROMPTS, NewPrompt, read_prompts
from labeling.imports.ranking_files import RankedText
from labeling.imports.row_files import Place, Row, RowShape, prompt_of, read_rows
from reward.generation.conversations import answer_ids
from reward.reward_modeling.ranked_examples import RankedExample
from reward.stages.model import StageModel
from reward.steps.snapshot import end_token
from storage.errors import BadInput

STAGE_PROMPTS = RowShape(
    things=PROMPTS.things,
    columns=PROMPTS.columns,
    needs=PROMPTS.needs,
    ending="",
)
DEMONSTRATED_PROMPTS = replace(STAGE_PROMPTS, columns=(*PROMPTS.columns, "completion"))
GROUP_DIGITS = 15  # of the prompt's hash: below 2^60


def ranked_examples(model: StageModel, rankings: Sequence[RankedText]) -> list[RankedExample]:
    """Return rankings as token ids; raise `BadInput` naming the first that is too long.

    Completions without a finish reason count as ended by themselves.
    """
    tokenizer, end = model.backbone.tokenizer, end_token(model.backbone)
    examples = []
    for one in rankings:
        prompt = model.ids_of(one.messages, one.where)
        model.check_room(len(prompt), one.where, "the prompt has")
        reasons = one.finish_reasons or ["stop"] * len(one.completions)
        answers = [
            answer_ids(tokenizer, text, ended=reason == "stop", end_token=end)
            for text, reason in zip(one.completions, reasons, strict=True)
        ]
        longest = len(prompt) + max(len(answer) for answer in answers)
        model.check_room(longest, one.where, "the prompt and its longest completion have")
        examples.append(_example(one, prompt, answers))
    return examples


def group_of(one: RankedText) -> int:
    """Return a number that tells the ranking's prompt from every other."""
    return int(one.prompt_sha256[:GROUP_DIGITS], 16)


def _example(one: RankedText, prompt: list[int], answers: list[list[int]]) -> RankedExample:
    return RankedExample(
        prompt,
        answers,
        one.ranks,
        group=group_of(one),
        weight=one.weight,
        strength=one.strength,
        scores=one.scores,
        subset=one.subset,
    )


def read_stage_prompts(file: Path) -> list[NewPrompt]:
    """Return the prompts of a file; raise `BadInput` naming file, line and field."""
    return read_prompts(file, STAGE_PROMPTS)


def read_demonstrated_prompts(file: Path) -> tuple[list[NewPrompt], list[list[str]]]:
    """Return the prompts of a file, and for each the `completion` that its row has, if any.

    Raises `BadInput` naming file, line and field.
    """

    def make(row: Row, place: Place) -> tuple[NewPrompt, list[str]]:
        text = completion_of(row, place)
        prompt = NewPrompt(prompt_of(row, place), "", "", where=place.words)
        return prompt, [] if text is None else [text]

    found = read_rows(file, DEMONSTRATED_PROMPTS, make)
    return [prompt for prompt, _ in found], [texts for _, texts in found]


def short_prompts(model: StageModel, file: Path, prompts: Sequence[NewPrompt]) -> list[list[int]]:
    """Return the ids of the prompts that `ppo.max_prompt_tokens` admits.

    Raises `BadInput` as `prompts_with_room` does, and naming the limit where no prompt is short
    enough.
    """
    limit = model.profile.ppo.max_prompt_tokens
    found = prompts_with_room(model, prompts)
    short = [ids for ids in found if len(ids) <= limit]
    if not short:
        raise BadInput(
            f"{file}: no prompt has at most {limit} tokens (the shortest has "
            f"{min(len(ids) for ids in found)}); raise the limit with --set "
            "ppo.max_prompt_tokens=N."
        )
    return short


def prompts_with_room(model: StageModel, prompts: Sequence[NewPrompt]) -> list[list[int]]:
    """Return the ids of prompts.

    Raises `BadInput` naming one that leaves no room for an answer in the model's context.
    """
    room = model.profile.sampling.max_new_tokens
    found = []
    for prompt in prompts:
        ids = model.ids_of(prompt.messages, prompt.where)
        model.check_room(len(ids) + room, prompt.where, f"the prompt and {room} new tokens are")
        found.append(ids)
    return found
