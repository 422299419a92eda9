"""What a format was written from is what is read of it, as far as the format can say it."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labeling.datasets.file_types import FILE_TYPES
from labeling.formats import hh_rlhf
from labeling.formats.example import Answer, Example, Ranking, WrittenAnswer
from labeling.formats.registry import FORMATS
from labeling.imports.bad_rows import BadRows
from labeling.imports.preference_files import stage_files
from labeling.imports.preference_rows.registry import READERS, detect
from labeling.imports.row_shape import Place
from labeling.imports.staging import Staging
from labeling.judging.rankings import dense_ranks
from tests.labeling.formats.judged_example import JUDGED, LABEL, PAIR, WRITTEN

WHOLE = ("ranking", "argilla", "label_studio", "open_assistant")
PAIRS = (
    *("trl_preference", "trl_implicit", "hh_rlhf", "openai_preference", "ultrafeedback"),
    "summarize_from_feedback",
)
NAMES_MODELS = ("ranking", "argilla", "label_studio", "open_assistant", "summarize_from_feedback")
SAY_STRENGTH = ("trl_preference", "trl_implicit", "summarize_from_feedback")

_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
_TRICKS = st.sampled_from(["\n", "\n\n", "Human:", "Assistant:", "\n\nHuman: ", '"', "["])
_TEXT = st.lists(_CHARACTERS | _TRICKS, max_size=8).map("".join)
_SAID = _TEXT.filter(lambda text: bool(text.strip()))


@st.composite
def _messages(draw: st.DrawFn) -> list[dict[str, str]]:
    turns = draw(st.integers(0, 1)) * 2 + 1
    spoken = [("user", "assistant")[turn % 2] for turn in range(turns)]
    roles = ["system", *spoken] if draw(st.booleans()) else spoken
    return [{"role": role, "content": draw(_SAID)} for role in roles]


@st.composite
def examples(draw: st.DrawFn) -> list[Example]:
    found = []
    for number in range(draw(st.integers(1, 3))):
        k = draw(st.integers(2, 5))
        texts = draw(st.lists(_TEXT, min_size=k, max_size=k, unique=True))
        ranks = st.lists(st.integers(1, k), min_size=k, max_size=k).map(dense_ranks).map(tuple)
        raters = draw(st.integers(1, 3))
        rankings = []
        for rater in range(raters):
            given_ranks = draw(ranks)
            strict = k == 2 and given_ranks[0] != given_ranks[1]
            rankings.append(
                Ranking(
                    given_ranks,
                    f"annotator-{rater}",
                    draw(st.sampled_from(["person", "simulated", "model"])),
                    judgment_id=number * 10 + rater + 1,
                    strength=draw(st.sampled_from([None, 1, 4])) if strict else None,
                )
            )
        found.append(
            Example(
                prompt_id=number + 1,
                task_id=number + 1,
                messages=draw(_messages()),
                completions=tuple(
                    Answer(number * 10 + place, text, place % 3, f"model {place % 3}")
                    for place, text in enumerate(texts)
                ),
                rankings=tuple(rankings),
                snapshot="snapshot-1-abc",
            )
        )
    return found


def _rows(name: str, some: Sequence[Example]) -> list[dict[str, Any]]:
    rows = [row for example in some for row in FORMATS[name].rows(example)]
    return [json.loads(json.dumps(row)) for row in rows]


def _read(name: str, rows: Sequence[dict[str, Any]]) -> list[Any]:
    """Return the judgments that rows of a format become."""
    reader = READERS[name]
    with Staging() as staging:
        for number, row in enumerate(rows, start=1):
            place = Place(Path("rows.jsonl"), number, reader.shape)
            for one in reader.read(row, place):
                staging.add(one, place)
        staging.put_together(BadRows())
        tasks = list(staging.staged_tasks())
    for task in tasks:
        names = [(one.annotator.kind, one.annotator.name) for one in task.rankings]
        assert len(set(names)) == len(names)
        texts = [[completion.text for completion in one.completions] for one in task.rankings]
        assert texts.count(texts[0]) == len(texts)
    return [
        _judgment(
            one.prompt.messages,
            one.annotator.name,
            one.annotator.kind.value,
            [(each.text, each.model) for each in one.completions],
            one.ranks,
            one.strength,
        )
        for task in tasks
        for one in task.rankings
    ]


def _judgment(
    messages: list[dict[str, str]],
    annotator: str,
    kind: str,
    completions: Sequence[tuple[str, str]],
    ranks: Sequence[int],
    strength: int | None,
) -> str:
    ranked = sorted(zip(completions, ranks, strict=True))
    return json.dumps([messages, annotator, kind, ranked, strength])


def _wanted(name: str, some: Sequence[Example]) -> Iterator[str]:
    """Yield the judgments as the format can carry them."""
    for example in some:
        messages = [_carried(name, one) for one in example.messages]
        for label in example.rankings:
            ranks: list[int] = list(label.ranks)
            kept = list(range(len(ranks)))
            if name not in WHOLE and len(set(ranks)) == 1:
                continue
            if name == "trl_unpaired":
                kept = [at for at in kept if ranks[at] in (min(ranks), max(ranks))]
                ranks = [1 if rank == min(ranks) else 2 for rank in ranks]
            strength = label.strength
            if name not in SAY_STRENGTH and name not in ("ranking", "label_studio"):
                strength = None
            yield _judgment(
                messages,
                label.annotator,
                label.annotator_kind,
                [(_answer(name, example, at), _model(name, example, at)) for at in kept],
                [ranks[at] for at in kept],
                strength,
            )


def _carried(name: str, message: dict[str, str]) -> dict[str, str]:
    if name != "hh_rlhf":
        return message
    return {**message, "content": hh_rlhf._TURN.sub("\n", message["content"])}


def _answer(name: str, example: Example, at: int) -> str:
    return _carried(name, {"content": example.completions[at].text})["content"]


def _model(name: str, example: Example, at: int) -> str:
    answer = example.completions[at]
    return answer.policy if name in NAMES_MODELS else f"policy-{answer.policy_version}"


@pytest.mark.parametrize("name", [*WHOLE, *PAIRS, "trl_unpaired"])
@given(some=examples())
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_judgments_come_back(name: str, some: list[Example]) -> None:
    assert Counter(_read(name, _rows(name, some))) == Counter(_wanted(name, some))


@given(
    messages=_messages(), texts=st.lists(_SAID.map(str.strip).filter(bool), min_size=1, max_size=3)
)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_demonstrations_and_prompts_come_back(
    messages: list[dict[str, str]], texts: list[str]
) -> None:
    written = tuple(WrittenAnswer(at, text, "annotator-a") for at, text in enumerate(texts))
    example = Example(prompt_id=1, task_id=0, messages=messages, demonstrations=written)
    for name, kind in (("trl_prompt_completion", "demonstration"), ("trl_prompt_only", "prompt")):
        reader = READERS[name]
        place = Place(Path("rows.jsonl"), 1, reader.shape)
        with Staging() as staging:
            for row in _rows(name, [example]):
                for one in reader.read(row, place):
                    staging.add(one, place)
            found = list(staging.others(kind))
        if kind == "prompt":
            assert [one.messages for one in found] == [messages]
        else:
            assert [(one.prompt.messages, one.text) for one in found] == [
                (messages, text) for text in texts
            ]
            assert {one.annotator.name for one in found} == {"annotator-a"}


def test_all_that_a_ranking_says_comes_back() -> None:
    reader = READERS["ranking"]
    place = Place(Path("rows.jsonl"), 1, reader.shape)
    (row,) = _rows("ranking", [JUDGED])
    first, second = reader.read(row, place)
    ann, bob = JUDGED.rankings
    assert first.likert == ann.likert and first.checks == ann.checks  # type: ignore[union-attr]
    assert (first.flags, first.rationale) == (ann.flags, ann.rationale)  # type: ignore[union-attr]
    assert (first.milliseconds, second.ranks) == (4000, bob.ranks)  # type: ignore[union-attr]
    assert (first.prompt.tags, first.prompt.language) == (("physics",), "en")  # type: ignore[union-attr]
    assert (first.prompt.source, first.prompt.license) == ("mine", "MIT")  # type: ignore[union-attr]
    assert first.completions[2].finish_reason == "length"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["ranking", "argilla", "label_studio", "open_assistant"])
def test_a_consolidated_label_alone_is_one_annotator(name: str) -> None:
    from dataclasses import replace

    alone = replace(JUDGED, rankings=(), consolidated=LABEL)
    reader = READERS[name]
    place = Place(Path("rows.jsonl"), 1, reader.shape)
    (found,) = reader.read(_rows(name, [alone])[0], place)
    assert found.ranks == (1, 3, 2)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", sorted(FILE_TYPES))
def test_every_file_type_of_every_format_is_read_back(kind: str, tmp_path: Path) -> None:
    for name, shape in FORMATS.items():
        some = [WRITTEN] if name == "trl_prompt_completion" else [JUDGED, PAIR]
        path = tmp_path / f"{name}.{kind}"
        writer = FILE_TYPES[kind].open(path, shape.schema, 2)
        for example in some:
            for row in shape.rows(example):
                writer.write(row)
        writer.close()
        with Staging() as staging:
            found, _ = stage_files(staging, files=[path], format=name, bad=BadRows())
            assert found == name
            if name == "trl_prompt_completion":
                assert staging.count_of("demonstration") == 1
            elif name == "trl_prompt_only":
                assert staging.count_of("prompt") == 2
            else:
                assert staging.rankings == 3, name


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_shape_tells_the_format(name: str) -> None:
    some = WRITTEN if name == "trl_prompt_completion" else JUDGED
    row = _rows(name, [some])[0]
    assert detect(row, Place(Path("rows.jsonl"), 1, READERS[name].shape)).name == name


def test_every_format_that_is_written_is_read() -> None:
    assert set(FORMATS) <= set(READERS)
