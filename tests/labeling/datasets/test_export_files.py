"""Files of an export: every type holds the same rows, whole, split by prompt, weighed by prompt."""

import csv
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from datasets import load_dataset, load_from_disk
from sqlalchemy import Engine
from sqlmodel import select

from labeling.datasets.export_preferences import Export, export_preferences
from labeling.datasets.row_writers import CsvWriter
from labeling.datasets.snapshot_examples import export_split
from labeling.formats.registry import FORMATS
from labeling.judging.demonstrations import add_demonstration
from labeling.review.adjudication import decide
from storage.engine import build_engine, writing
from storage.errors import BadInput, NotFound, Unavailable
from storage.tables import Account, Project, Prompt, Role, Split
from tests.labeling.stage import Stage, set_stage

PROMPTS = 12


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Any:
    """Twelve prompts, every fourth held out; the first has nine completions, the others two."""
    file = tmp_path_factory.mktemp("files") / "rankloop.db"
    shutil.copyfile(sqlite_template, file)
    engine = build_engine(f"sqlite:///{file}")
    with writing(engine) as session:
        project = Project(name="=default |x|", completions_per_task=4, overlap=1)
        session.add(project)
    stage = set_stage(engine, project, overlap=2)
    for number in range(PROMPTS):
        split = Split.HELDOUT if number % 4 == 3 else Split.TRAIN
        k = 2 if number else 9
        stage.add_task(f"=prompt {number}", k=k, split=split)
        for name in ("ann", "bob"):
            stage.judge(name, list(range(1, k + 1)))
    ann = stage.account("ann")
    with writing(engine) as session:
        account = session.get_one(Account, ann)
        add_demonstration(session, project=project, account=account, prompt_id=1, text="Mine.")
    yield stage
    engine.dispose()


def export(stage: Stage, home: Path, **given: Any) -> Export:
    return export_preferences(
        stage.engine,
        project=stage.project,
        account=None,
        home=home,
        **{"out": home / "out", "validation_share": 0.4} | given,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("file_type", ["jsonl.gz", "parquet", "json"])
def test_packed_files_hold_the_rows_of_the_plain_ones(
    stage: Stage, tmp_path: Path, file_type: str
) -> None:
    export(stage, tmp_path)
    plain = lines(tmp_path / "out/train.jsonl")
    done = export(stage, tmp_path, out=tmp_path / "packed", file_type=file_type)
    loader = "parquet" if file_type == "parquet" else "json"
    path = str(done.folder / f"train.{file_type}")
    found = load_dataset(loader, data_files=path, split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) == len(plain) == done.train
    assert [row["chosen"] for row in found] == [row["chosen"] for row in plain]
    assert found["weight"][:] == pytest.approx([row["weight"] for row in plain])


def test_zstd_holds_the_bytes_of_the_plain_file(stage: Stage, tmp_path: Path) -> None:
    export(stage, tmp_path)
    done = export(stage, tmp_path, out=tmp_path / "packed", file_type="jsonl.zst")
    with pyarrow.input_stream(done.folder / "train.jsonl.zst", compression="zstd") as file:
        assert file.read() == (tmp_path / "out/train.jsonl").read_bytes()


def test_arrow_is_what_load_from_disk_reads(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = export(stage, tmp_path, file_type="arrow")
    assert capsys.readouterr().err == "", "a pipe is told nothing"
    found = load_from_disk(str(done.folder))
    assert {split: len(rows) for split, rows in found.items()} == done.rows
    assert found["train"][0]["prompt"] == [{"content": "=prompt 0", "role": "user"}]
    assert (done.folder / "README.md").exists()


def test_csv_defuses_formulas(stage: Stage, tmp_path: Path) -> None:
    done = export(stage, tmp_path, file_type="csv", format="ultrafeedback")
    with (done.folder / "train.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == done.train
    assert {row["prompt"][:2] for row in rows} == {"'="}
    assert json.loads(rows[0]["chosen"])[0]["content"].startswith("=prompt")
    writer = CsvWriter(tmp_path / "one.csv", pyarrow.schema([("a", pyarrow.string())]))
    for text in ("=1", "+1", "-1", "@x", "\tx", "plain"):
        writer.write({"a": text})
    writer.write({"a": -1})
    writer.close()
    with (tmp_path / "one.csv").open(newline="", encoding="utf-8") as file:
        cells = [row[0] for row in csv.reader(file)]
    assert cells == ["a", "'=1", "'+1", "'-1", "'@x", "'\tx", "plain", "-1"]


def test_no_prompt_is_in_two_files_and_the_split_stays(stage: Stage, tmp_path: Path) -> None:
    done = export(stage, tmp_path)
    prompts = {
        split: {row["prompt_id"] for row in lines(done.folder / f"{split}.jsonl")}
        for split in done.rows
    }
    assert all(prompts.values())
    assert sum(map(len, prompts.values())) == len(set.union(*prompts.values())) == PROMPTS
    assert prompts["test"] == {4, 8, 12}
    again = export(stage, tmp_path, out=tmp_path / "again", format="ranking")
    assert {row["prompt_id"] for row in lines(again.folder / "validation.jsonl")} == prompts[
        "validation"
    ]


def test_validation_is_a_share_of_the_prompts() -> None:
    splits = [export_split("train", f"prompt {number}", 0.25) for number in range(2000)]
    assert 0.2 < splits.count("validation") / 2000 < 0.3
    assert export_split("heldout", "prompt 1", 0.5) == "test"
    # A larger share only adds prompts.
    for number in range(200):
        if export_split("train", f"prompt {number}", 0.1) == "validation":
            assert export_split("train", f"prompt {number}", 0.3) == "validation"


@pytest.mark.parametrize("shape", FORMATS.values(), ids=FORMATS)
def test_every_prompt_weighs_one_in_every_format(stage: Stage, tmp_path: Path, shape: Any) -> None:
    done = export(stage, tmp_path, format=shape.name)
    weights: defaultdict[str, float] = defaultdict(float)
    for split in done.rows:
        for row in lines(done.folder / f"{split}.jsonl"):
            origin = {**row, **row.get("metadata", {}), **row.get("meta", {})}
            origin |= row.get("origin", {})
            weights[str(origin["prompt_id"])] += origin["weight"]
    assert len(weights) == (1 if shape.unit == "demonstration" else PROMPTS)
    assert list(weights.values()) == pytest.approx([1.0] * len(weights))


def test_a_snapshot_is_exported_as_it_was_frozen(stage: Stage, tmp_path: Path) -> None:
    done = export(stage, tmp_path, snapshot=None)
    again = export(stage, tmp_path, out=tmp_path / "again", snapshot=str(done.snapshot_id))
    first = (done.folder / "train.jsonl").read_bytes()
    assert first == (again.folder / "train.jsonl").read_bytes()
    assert lines(done.folder / "train.jsonl")[0]["snapshot"] == done.snapshot
    rows = tmp_path / "snapshots" / done.snapshot / "judgments.parquet"
    rows.write_bytes(rows.read_bytes()[:-8] + b"00000000")
    with pytest.raises(Unavailable, match="not the one that was written"):
        export(stage, tmp_path, out=tmp_path / "third", snapshot=str(done.snapshot_id))
    assert not (tmp_path / "third").exists()
    with pytest.raises(NotFound, match="no snapshot 99"):
        export(stage, tmp_path, out=tmp_path / "third", snapshot="99")
    with pytest.raises(BadInput, match="no file type xlsx; use jsonl"):
        export(stage, tmp_path, out=tmp_path / "third", file_type="xlsx")


def test_an_interrupted_export_leaves_nothing_half_written(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = tmp_path / ".out.0123.export-part"
    leftover.mkdir()

    def interrupt(what: str, share: float) -> None:
        if what == "writing rows" and share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(stage, tmp_path, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["snapshots"]
    assert export(stage, tmp_path).train > 0


def test_the_card_says_what_the_files_hold(stage: Stage, tmp_path: Path) -> None:
    done = export(stage, tmp_path)
    card = (done.folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith('---\npretty_name: "Preferences of =default |x|"\nlicense: other\n')
    assert "# Preferences of the project =default x\n" in card
    assert "| pairwise agreement | 1.000" in card
    assert "| tasks with two judgments or more | 12 |" in card
    assert f"`{done.snapshot}`" in card
    found = load_dataset(str(done.folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in found.items()} == done.rows


def header(done: Export) -> str:
    card: str = (done.folder / "README.md").read_text(encoding="utf-8")
    return card.split("\n---\n")[0]


def test_the_card_names_a_licence_that_every_prompt_has_and_no_other(
    sqlite_engine: Engine, sqlite_project: Project, tmp_path: Path
) -> None:
    stage = set_stage(sqlite_engine, sqlite_project)
    ann = stage.account("ann")
    for number in range(2):
        stage.add_task(f"prompt {number}")
        stage.judge("ann", [1, 2, 3, 4])
    written = stage.add_prompt("written")

    def licensed(*names: str) -> None:
        with writing(stage.engine) as session:
            for prompt, name in zip(session.exec(select(Prompt)).all(), names, strict=True):
                prompt.license = name

    def exported(shape: str, name: str) -> str:
        return header(export(stage, tmp_path, format=shape, out=tmp_path / name))

    licensed("MIT", "MIT", "CC-BY-NC-4.0")
    with writing(stage.engine) as session:
        account = session.get_one(Account, ann)
        project = session.get_one(Project, stage.project_id)
        add_demonstration(
            session, project=project, account=account, prompt_id=written, text="Mine."
        )
    assert "\nlicense: mit\n" in exported("trl_preference", "all")
    assert "\nlicense: cc-by-nc-4.0\n" in exported("trl_prompt_completion", "written")
    licensed("MIT", "", "")
    assert "\nlicense: other\n" in exported("trl_preference", "some")
    assert "\nlicense: other\n" in exported("trl_prompt_completion", "none")


def test_a_lead_who_decides_is_no_annotator(
    sqlite_engine: Engine, sqlite_project: Project, tmp_path: Path
) -> None:
    stage = set_stage(sqlite_engine, sqlite_project)
    lena = stage.account("lena", Role.LEAD)
    for number in range(2):
        task_id = stage.add_task(f"prompt {number}")
        stage.judge("ann", [1, 2, 3, 4])
    with writing(stage.engine) as session:
        by = session.get_one(Account, lena)
        decide(session, task_id=task_id, ranks=[4, 3, 2, 1], by=by, nonce="n", reason="")
    card = (export(stage, tmp_path).folder / "README.md").read_text(encoding="utf-8")
    assert "| annotators | 1 |" in card and "| of them leads' decisions | 1 |" in card


@pytest.mark.parametrize("shape", FORMATS)
def test_every_format_fits_into_columns(stage: Stage, tmp_path: Path, shape: str) -> None:
    done = export(stage, tmp_path, format=shape, file_type="parquet")
    assert len(pyarrow.parquet.read_table(done.folder / "train.parquet")) == done.train


def test_engines_agree(engine: Engine, project: Project, tmp_path: Path) -> None:
    stage = set_stage(engine, project)
    stage.add_task("one")
    stage.judge("ann", [1, 2, 2, 3])
    done = export(stage, tmp_path, validation_share=0.0)
    assert [
        (row["chosen"][0]["content"], row["rejected"][0]["content"])
        for row in lines(done.folder / "train.jsonl")
    ] == [
        ("one.0", "one.1"),
        ("one.0", "one.2"),
        ("one.0", "one.3"),
        ("one.1", "one.3"),
        ("one.2", "one.3"),
    ]
