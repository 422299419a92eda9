"""The hostile texts through every file: read as they are or refused in a sentence, never obeyed."""

import csv
import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Engine
from sqlmodel import select

from labeling.datasets.export_preferences import export_preferences
from labeling.datasets.file_types import FILE_TYPES
from labeling.datasets.snapshots import valid_name
from labeling.formats.example import Answer, Example, Ranking, WrittenAnswer
from labeling.formats.hh_rlhf import dialogue
from labeling.formats.registry import FORMATS
from labeling.imports.bad_rows import BadRows
from labeling.imports.completions import import_completions, stage_completions, valid_model
from labeling.imports.imported_accounts import valid_source
from labeling.imports.preference_files import stage_files
from labeling.imports.preference_rows.registry import READERS
from labeling.imports.preferences import import_staged, staged_file
from labeling.imports.prompt_files import read_prompts
from labeling.imports.prompts import import_prompts, staged_prompts
from labeling.imports.row_files import BadRow, valid_language, valid_tags
from labeling.imports.staging import Staging
from labeling.judging.answers import valid_rationale
from labeling.labeling_sections import PageSettings
from labeling.spreadsheets import defused
from labeling.webhooks.addresses import checked_url
from labeling.webhooks.messages import body_of
from storage.engine import reading, writing
from storage.errors import BadInput
from storage.printable import printable
from storage.tables import Completion, Event, Project, Prompt
from tests.hostile_texts import LONG_LINE, STORABLE, TEXTS, UNSTORABLE, HostileText

DANGEROUS_CELL = re.compile(r"[ \u00a0\ufeff]*[=+\-@\t\r\n＝＋－＠]")
OTHER = "An answer that means no harm."


def example(number: int, text: str) -> Example:
    """Return a judged task in which everything that people and models write is the text."""
    return Example(
        prompt_id=number,
        task_id=number,
        messages=[{"role": "user", "content": text}],
        completions=(Answer(2 * number, text, 1, "model"), Answer(2 * number + 1, OTHER, 1, "m")),
        rankings=(Ranking((1, 2), "annotator-a", judgment_id=number, rationale=text[:9000]),),
        demonstrations=(WrittenAnswer(number, text, "annotator-a"),),
        snapshot="snapshot-1-abc",
        source=text[:50],
        license=text[:50],
        tags=(text.strip()[:50],),
    )


def write(path: Path, format: str, kind: str, texts: tuple[HostileText, ...]) -> None:
    shape = FORMATS[format]
    writer = FILE_TYPES[kind].open(path, shape.schema, 16)
    for number, one in enumerate(texts, start=1):
        made = example(number, one.text)
        # A format of demonstrations takes them from an example that has nothing else.
        made = replace(made, task_id=0) if shape.unit == "demonstration" else made
        for row in shape.rows(made):
            writer.write(row)
    writer.close()


def read(path: Path, format: str) -> list[tuple[str, str]]:
    """Return prompt and answer of all that a file holds, as an import reads it."""
    with Staging() as staging:
        stage_files(staging, files=[path], format=format, bad=BadRows())
        found: list[tuple[str, str]] = [
            (one.prompt.messages[0]["content"], completion.text)
            for task in staging.staged_tasks()
            for one in task.rankings
            for completion in one.completions
        ]
        for kind in ("demonstration", "prompt"):
            for one in staging.others(kind):
                prompt = one if kind == "prompt" else one.prompt
                found.append((prompt.messages[0]["content"], getattr(one, "text", "")))
    return found


def carried(format: str, text: str) -> str:
    """Return the text as the format has it: HH-RLHF takes one newline before a false turn."""
    if format != "hh_rlhf":
        return text
    return dialogue([{"role": "user", "content": text}]).removeprefix("\n\nHuman: ")


DATA_TYPES = ("jsonl", "json", "parquet", "arrow", "jsonl.zst")


@pytest.mark.parametrize("kind", DATA_TYPES[:1])
@pytest.mark.parametrize("format", sorted(FORMATS))
def test_what_is_exported_is_read_back_to_the_character(
    format: str, kind: str, tmp_path: Path
) -> None:
    expect_read_back(format, kind, tmp_path)


@pytest.mark.parametrize("kind", DATA_TYPES[1:])
def test_every_data_file_keeps_every_character(kind: str, tmp_path: Path) -> None:
    expect_read_back("ranking", kind, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DATA_TYPES[1:])
@pytest.mark.parametrize("format", sorted(FORMATS))
def test_every_format_in_every_data_file(format: str, kind: str, tmp_path: Path) -> None:
    expect_read_back(format, kind, tmp_path)


def expect_read_back(format: str, kind: str, folder: Path) -> None:
    path = folder / f"rows.{kind}"
    write(path, format, kind, STORABLE)
    found = set(read(path, format))
    unit = FORMATS[format].unit
    for one in STORABLE:
        text = carried(format, one.text)
        wanted = {(text, "")} if unit == "prompt" else {(text, text)}
        if unit not in ("prompt", "demonstration"):
            wanted.add((text, OTHER))
        assert wanted <= found, one.name


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_no_cell_of_a_csv_for_people_is_a_formula(format: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write(path, format, "csv", STORABLE)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert len(rows) > len(STORABLE)
    numbers = re.compile(r"-?\d+(\.\d+)?")
    for row in rows:
        for cell in row:
            assert not DANGEROUS_CELL.match(cell) or numbers.fullmatch(cell), repr(cell[:80])


@pytest.mark.parametrize("one", TEXTS, ids=lambda one: one.name)
def test_a_defused_cell_is_the_text_behind_at_most_an_apostrophe(one: HostileText) -> None:
    made = defused(one.text)
    assert made in (one.text, f"'{one.text}")
    assert not DANGEROUS_CELL.match(made)


def prompt_file(folder: Path, kind: str, text: str) -> Path:
    path = folder / f"prompts.{kind}"
    if kind == "csv":
        with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
            csv.writer(file).writerows([["prompt"], [text]])
    else:
        row = json.dumps({"prompt": text}, ensure_ascii=kind == "jsonl")
        raw = f"[{row}]" if kind == "json" else row + "\n"
        path.write_bytes(raw.encode("utf-8", "surrogatepass"))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_prompts_are_read_to_the_character_or_refused(kind: str, tmp_path: Path) -> None:
    for one in TEXTS:
        path = prompt_file(tmp_path, kind, one.text)
        if one.storable:
            (found,) = read_prompts(path)
            assert found.messages == [{"role": "user", "content": one.text}], one.name
            continue
        with pytest.raises(BadInput) as refusal:
            read_prompts(path)
        assert_one_sentence(str(refusal.value))


@pytest.mark.parametrize("field", ["prompt", "chosen", "rejected", "annotator", "tags", "source"])
@pytest.mark.parametrize("one", UNSTORABLE, ids=lambda one: one.name)
def test_what_no_database_stores_is_refused_in_every_field(
    one: HostileText, field: str, tmp_path: Path
) -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b", "annotator": "ann", field: one.text}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with Staging() as staging, pytest.raises(BadRow) as refusal:
        stage_files(staging, files=[path], format="trl_preference", bad=BadRows())
    assert_one_sentence(str(refusal.value))
    assert field in str(refusal.value)


DEPTH = 100_000
BOMBS = {"lists": "[" * DEPTH + "]" * DEPTH, "objects": '{"a":' * DEPTH + "1" + "}" * DEPTH}


@pytest.mark.parametrize("name", sorted(BOMBS))
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_deep_json_is_refused_not_a_crash(name: str, kind: str, tmp_path: Path) -> None:
    bomb = BOMBS[name]
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        quoted = bomb.replace('"', '""')
        path.write_text(f'messages\n"{quoted}"\n', encoding="utf-8")
    else:
        path.write_text(bomb if kind == "json" else f"{bomb}\n", encoding="utf-8")
    with pytest.raises(BadInput) as refusal:
        read_prompts(path)
    assert_one_sentence(str(refusal.value))
    for format in READERS:
        with Staging() as staging, pytest.raises(BadInput):
            stage_files(staging, files=[path], format=format, bad=BadRows())


def assert_one_sentence(said: str) -> None:
    """A refusal is short, and nothing in it commands a terminal or begins a line of its own."""
    assert len(said) < 600, said[:700]
    assert printable(said) == said, repr(said)


@pytest.mark.parametrize(
    "kind",
    [*(pytest.param(kind, marks=pytest.mark.slow) for kind in ("parquet", "csv", "json")), "jsonl"],
)
def test_ten_megabytes_on_one_line_come_back(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{kind}"
    write(path, "ranking", kind, (LONG_LINE,))
    assert (LONG_LINE.text, LONG_LINE.text) in read(path, "ranking")


def test_a_database_keeps_every_character_and_its_export_too(
    engine: Engine, project: Project, tmp_path: Path
) -> None:
    """Prompts, completions and preferences go in, and what is exported is what went in."""
    prompts = tmp_path / "prompts.jsonl"
    lines = [json.dumps({"prompt": one.text, "tags": [one.text[:40]]}) for one in STORABLE]
    prompts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with staged_prompts(prompts) as staged, writing(engine) as session:
        import_prompts(session, project=project, prompts=staged, heldout_share=0.0)
    completions = tmp_path / "completions.jsonl"
    lines = [
        json.dumps({"prompt": one.text, "completion": answer, "model": "m"})
        for one in STORABLE
        for answer in (one.text, OTHER)
    ]
    completions.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with Staging() as staging, writing(engine) as session:
        staged = stage_completions(staging, completions)
        import_completions(session, project=project, staged=staged, by=None, heldout_share=0.0)
    write(tmp_path / "judged.jsonl", "ranking", "jsonl", STORABLE)
    with (
        staged_file(tmp_path / "judged.jsonl", format="auto") as staged,
        writing(engine) as session,
    ):
        import_staged(session, project=project, staged=staged, by=None, heldout_share=0.0)
    with reading(engine) as session:
        asked = {one[0]["content"] for one in session.exec(select(Prompt.messages))}
        answered = set(session.exec(select(Completion.text)))
        mine = session.get_one(Project, project.id)
    texts = {one.text for one in STORABLE}
    assert texts <= asked and texts <= answered
    out = tmp_path / "out"
    mine.name = "<img src=x> ![x](http://attack.invalid) | ` ---\n# x"
    export_preferences(
        engine, project=mine, account=None, home=tmp_path, out=out, format="ranking",
        validation_share=0.0,
    )  # fmt: skip
    kept = {answer for _, answer in read(out / "train.jsonl", "ranking")}
    assert texts <= kept
    expect_harmless_card((out / "README.md").read_text(encoding="utf-8"))


def expect_harmless_card(card: str) -> None:
    """The card's header is plain YAML, and its Markdown fetches, links and runs nothing."""
    _, header, body = card.split("---\n", 2)
    assert yaml.safe_load(header)["pretty_name"].startswith("Preferences of <img")
    outside = re.sub(r"```.*?```", "", body, flags=re.S)
    assert "![" not in outside and "](" not in outside
    assert not re.search(r"<[a-z!/]", re.sub(r"`[^`]*`", "", outside), flags=re.I)
    titles = [line for line in outside.splitlines() if line.startswith("# ")]
    assert len(titles) == 1


def test_a_text_of_newlines_costs_no_more_than_its_length() -> None:
    began = time.process_time()
    assert dialogue([{"role": "user", "content": "\n" * 300_000 + "x"}]).endswith("\nx")
    assert time.process_time() - began < 1


@pytest.mark.parametrize("one", TEXTS, ids=lambda one: one.name)
def test_a_webhooks_message_is_one_line_of_ascii(one: HostileText) -> None:
    project = Project(id=1, name=one.text[:100])
    event = Event(id=1, kind="judgment.stored", detail={"said": one.text})
    body = body_of(project, event, "judgment.stored")
    assert body.isascii() and not re.search(rb"[\x00-\x1f\x7f]", body)
    assert json.load(io.BytesIO(body))["data"]["said"] == one.text


@pytest.mark.parametrize("one", TEXTS, ids=lambda one: one.name)
def test_a_rationale_is_kept_or_refused(one: HostileText) -> None:
    page = PageSettings()
    if len(one.text) > 10_000:
        with pytest.raises(BadInput, match="10000 characters are the most"):
            valid_rationale(one.text, page)
        return
    kept = valid_rationale(one.text, page)
    assert kept == one.text or not one.storable
    kept.encode()
    assert "\x00" not in kept


#: What a request says beside its file, by the field that an error is to name.
FIELDS: dict[str, Callable[[str], str]] = {
    "snapshot": valid_name,
    "tag": lambda text: ",".join(valid_tags([text])),
    "language": valid_language,
    "source": valid_source,
    "model": valid_model,
    "address": lambda text: checked_url(f"https://example.org/{text}", private=False).geturl(),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("one", TEXTS, ids=lambda one: one.name)
def test_what_a_request_names_is_printable_or_refused_by_its_field(
    one: HostileText, field: str
) -> None:
    try:
        kept = FIELDS[field](one.text)
    except BadInput as error:
        assert field in str(error) and len(str(error)) < 700
        return
    assert kept.isprintable() and one.storable
