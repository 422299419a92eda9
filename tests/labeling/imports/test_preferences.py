"""Imported judgments: stored whole or not at all, counted like any other, judged by nobody here."""

import gzip
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import col, func, select

from labeling.accounts import authenticate, open_sign_in
from labeling.imports.bad_rows import BadRows
from labeling.imports.preference_files import PromptDefaults
from labeling.imports.preferences import import_staged, list_imports, staged_file
from labeling.judging.judging import who_judges
from labeling.policies import list_policies
from labeling.quality_control.guidelines import guideline_readers
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed, NotFound
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    Completion,
    Demonstration,
    Event,
    Import,
    Judgment,
    Policy,
    PolicyKind,
    Project,
    Prompt,
    Role,
    Row,
    Split,
    Task,
    TaskStatus,
)
from tests.labeling.trained_rows import trained_rows
from tests.sample_rows import add_account, add_policy

Bring = Callable[..., Import]
ASK = "Why is the sky blue?"
LONG = [
    {"task_id": 1, "annotator_id": who, "item": "a|b", "label": label, "prompt": ASK,
     "a": "Light.", "b": "Paint.", "a_model": "m1", "b_model": "m2"}
    for who, label in (("ann", 1), ("bob", "tie"), ("ann", "2"))
]  # fmt: skip


def write(path: Path, rows: Sequence[Any]) -> Path:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as file:
        for row in rows:
            file.write((row if isinstance(row, str) else json.dumps(row)) + "\n")
    return path


@pytest.fixture
def engine(sqlite_engine: Engine) -> Engine:
    """Return SQLite for all tests but one: what differs is how rows are inserted."""
    return sqlite_engine


@pytest.fixture
def bring(engine: Engine, project: Project) -> Bring:
    return _bringing(engine, project)


def _bringing(engine: Engine, project: Project) -> Bring:
    def run(path: Path, format: str = "auto", **options: Any) -> Import:
        bad = options.pop("bad", None)
        defaults = options.pop("defaults", None)
        with (
            staged_file(path, format=format, bad=bad, defaults=defaults) as staged,
            writing(engine) as session,
        ):
            return import_staged(
                session,
                project=session.get_one(Project, project.id),
                staged=staged,
                by=options.pop("by", None),
                heldout_share=0.0,
                **options,
            )

    return run


def rows_of(engine: Engine, table: type[Row]) -> list[Any]:
    with reading(engine) as session:
        return list(session.exec(select(table).order_by(col(table.id))))  # type: ignore[attr-defined]


def test_judgments_of_one_task_are_together_and_a_second_by_one_person_is_apart(
    engine: Engine, bring: Bring, tmp_path: Path
) -> None:
    done = bring(write(tmp_path / "long.jsonl", LONG))
    assert done.format == "long"
    assert (done.counts["tasks"], done.counts["judgments"], done.counts["annotators"]) == (2, 3, 2)
    tasks, judgments = rows_of(engine, Task), rows_of(engine, Judgment)
    assert [task.judged for task in tasks] == [task.overlap for task in tasks] == [2, 1]
    assert {task.status for task in tasks} == {TaskStatus.DONE}
    assert {task.import_id for task in tasks} == {done.id}
    texts = {one.id: one.text for one in rows_of(engine, Completion)}
    found = trained_rows(engine, done.project_id)
    said = [
        dict(zip(one["completions"], one["ranks"], strict=True)) for one in found.to_dict("records")
    ]
    assert said == [
        {"Light.": 1, "Paint.": 2},
        {"Light.": 1, "Paint.": 1},
        {"Light.": 2, "Paint.": 1},
    ]
    assert sorted(texts.values()) == ["Light.", "Light.", "Paint.", "Paint."]
    assert len({one.nonce for one in judgments}) == 3


def test_on_postgresql(postgres_engine: Engine, tmp_path: Path) -> None:
    with writing(postgres_engine) as session:
        project = Project(name="default")
        session.add(project)
    done = _bringing(postgres_engine, project)(write(tmp_path / "long.jsonl", LONG))
    found = trained_rows(postgres_engine, done.project_id)
    assert found["ranks"].map(sorted).tolist() == [[1, 2], [1, 1], [1, 2]]
    assert rows_of(postgres_engine, Event)[0].detail["judgments"] == 3


def test_models_are_policies_outside_the_loop(
    engine: Engine, project: Project, bring: Bring, tmp_path: Path
) -> None:
    add_policy(engine, project, version=1)
    bring(write(tmp_path / "long.jsonl", LONG))
    found = [one for one in rows_of(engine, Policy) if one.kind is PolicyKind.IMPORT]
    assert sorted(one.version for one in found) == [-2, -1]
    assert sorted(one.name for one in found) == ["m1", "m2"]
    with reading(engine) as session:
        assert [one.version for one in list_policies(session, project_id=project.id or 0)] == [1]
    texts = {one.text: one.policy_id for one in rows_of(engine, Completion)}
    names = {one.id: one.name for one in found}
    assert (names[texts["Light."]], names[texts["Paint."]]) == ("m1", "m2")


def test_imported_annotators_count_but_cannot_sign_in_or_judge(
    engine: Engine, project: Project, bring: Bring, tmp_path: Path
) -> None:
    real = add_account(engine, "ann")
    bring(write(tmp_path / "long.jsonl", LONG), source="PandaLM")
    ann, bob = (one for one in rows_of(engine, Account) if one.id != real.id)
    assert (ann.name, bob.name) == ("ann (PandaLM)", "bob (PandaLM)")
    assert ann.kind is AccountKind.PERSON and ann.active
    with writing(engine) as session:
        assert who_judges(session, project.id or 0) == []
        with pytest.raises(NotFound):
            open_sign_in(session, account_id=ann.id, hours=1)
        with pytest.raises(NotAllowed):
            authenticate(session, name=ann.name, password="")
        shown = guideline_readers(session, project_id=project.id or 0)
    assert [reader.name for reader in shown] == ["ann"]


def test_one_event_tells_of_an_import(engine: Engine, bring: Bring, tmp_path: Path) -> None:
    done = bring(write(tmp_path / "long.jsonl", LONG))
    (event,) = rows_of(engine, Event)
    assert event.kind == "preferences.imported"
    assert event.detail["import_id"] == done.id and event.detail["judgments"] == 3
    # No draft, no lease, no mark of pace.
    assert all(one.draft is None for one in rows_of(engine, Assignment))
    assert all(one.marks == [] for one in rows_of(engine, Judgment))


def test_pseudonyms_keep_no_name(engine: Engine, bring: Bring, tmp_path: Path) -> None:
    bring(write(tmp_path / "one.jsonl", LONG[:1]), source="x", pseudonymous=True)
    other = [{**LONG[0], "task_id": 2, "prompt": "Why?"}]
    bring(write(tmp_path / "two.jsonl", other), source="x", pseudonymous=True)
    (account,) = rows_of(engine, Account)
    assert "ann (" not in account.name and account.name.startswith("annotator-")


def test_a_real_account_of_the_same_name_is_not_taken(
    engine: Engine, bring: Bring, tmp_path: Path
) -> None:
    add_account(engine, "ann (long)")
    with pytest.raises(Conflict, match="--source"):
        bring(write(tmp_path / "long.jsonl", LONG))
    assert rows_of(engine, Import) == rows_of(engine, Judgment) == rows_of(engine, Prompt) == []


def test_the_same_file_is_refused(engine: Engine, bring: Bring, tmp_path: Path) -> None:
    done = bring(write(tmp_path / "long.jsonl", LONG))
    again = write(tmp_path / "other name.jsonl", LONG)
    with pytest.raises(Conflict, match=rf"import {done.id} of .*long.jsonl: .*3 judgments"):
        bring(again)
    assert len(rows_of(engine, Judgment)) == 3


def test_of_two_who_bring_the_same_file_at_once_one_is_refused(
    postgres_engine: Engine, tmp_path: Path
) -> None:
    with writing(postgres_engine) as session:
        project = Project(name="default")
        session.add(project)
    bring = _bringing(postgres_engine, project)
    # Prompts, models and annotators are there: no unique key of theirs stops the second.
    bring(write(tmp_path / "before.jsonl", LONG))
    path = write(tmp_path / "rows.jsonl", [*LONG[:1], LONG[0] | {"annotator_id": "bob"}])
    with ThreadPoolExecutor(1) as threads:
        with (
            staged_file(path, format="auto") as staged,
            writing(postgres_engine) as session,
        ):
            import_staged(
                session, project=project, staged=staged, by=None, heldout_share=0.0, source="before"
            )
            second = threads.submit(bring, path, source="before")
            wait([second], timeout=2)
        with pytest.raises(Conflict, match="in the project already"):
            second.result(10)
    with reading(postgres_engine) as session:
        assert session.exec(select(func.count()).select_from(Import)).one() == 2


def test_a_bad_row_is_named_and_nothing_is_imported(
    engine: Engine, bring: Bring, tmp_path: Path
) -> None:
    path = write(tmp_path / "long.jsonl", [*LONG, {**LONG[0], "label": "A"}])
    with pytest.raises(BadInput, match=r"long.jsonl, line 4, field label: 'A' is no label"):
        bring(path)
    assert rows_of(engine, Import) == rows_of(engine, Prompt) == rows_of(engine, Account) == []


def test_bad_rows_are_set_aside_with_reasons(engine: Engine, bring: Bring, tmp_path: Path) -> None:
    bad_row = {**LONG[0], "label": "A"}
    path = write(tmp_path / "long.jsonl", [*LONG, bad_row, "{no json"])
    bad = BadRows(file=tmp_path / "bad.jsonl")
    bring(path, bad=bad, bad_rows=2)
    bad.keep()
    assert len(rows_of(engine, Judgment)) == 3
    first, second = map(json.loads, (tmp_path / "bad.jsonl").read_text().splitlines())
    assert first == {
        "file": "long.jsonl", "line": 4, "field": "label",
        "reason": "'A' is no label; use 1, 2 or tie", "row": bad_row,
    }  # fmt: skip
    assert (second["line"], second["row"]) == (5, None) and "JSON" in second["reason"]


def test_only_who_may_bring_data_in(engine: Engine, bring: Bring, tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="import data"):
        bring(write(tmp_path / "long.jsonl", LONG), by=add_account(engine))
    lead = add_account(engine, "lea", role=Role.LEAD)
    assert bring(tmp_path / "long.jsonl", by=lead).by_id == lead.id
    with reading(engine) as session:
        (listed,) = list_imports(session, project_id=1)
    assert (listed["by"], listed["format"], listed["counts"]["tasks"]) == ("lea", "long", 2)


def test_splits_tags_and_language_are_the_rows_or_else_the_defaults(
    engine: Engine, bring: Bring, tmp_path: Path
) -> None:
    rows = [
        {"prompt": "One?", "chosen": "a", "rejected": "b", "split": "test", "language": "de"},
        {"prompt": "Two?", "chosen": "a", "rejected": "b", "tags": ["x"]},
    ]
    bring(
        write(tmp_path / "pairs.jsonl", rows),
        defaults=PromptDefaults(tags=("y",), language="en", license="MIT"),
    )
    one, two = rows_of(engine, Prompt)
    assert (one.split, two.split) == (Split.HELDOUT, Split.TRAIN)
    assert (one.tags, one.language) == (["y"], "de")
    assert (two.tags, two.language, two.license, two.source) == (["x", "y"], "en", "MIT", "pairs")


def test_the_position_tells_nothing_of_the_rank(
    engine: Engine, bring: Bring, tmp_path: Path
) -> None:
    rows = [{"prompt": f"{n}?", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(40)]
    bring(write(tmp_path / "pairs.jsonl.gz", rows))
    first = [one.ranks[0] for one in rows_of(engine, Judgment)]
    assert 8 < first.count(1) < 32


def test_pairs_of_one_judgment_are_one_ranking_with_its_ties(
    engine: Engine, bring: Bring, tmp_path: Path
) -> None:
    texts = {1: "best", 2: "tied", 3: "also tied"}
    rows = [
        {"prompt": ASK, "chosen": texts[1], "rejected": texts[loser], "chosen_id": 1,
         "rejected_id": loser, "judgment_id": 5, "task_id": 9, "annotator": "ann"}
        for loser in (2, 3)
    ]  # fmt: skip
    done = bring(write(tmp_path / "pairs.jsonl", rows))
    assert (done.counts["tasks"], done.counts["judgments"]) == (1, 1)
    (judged,) = trained_rows(engine, done.project_id).to_dict("records")
    ranks = dict(zip(judged["completions"], judged["ranks"], strict=True))
    assert ranks == {"best": 1, "tied": 2, "also tied": 2}


def test_labels_of_a_prompt_are_a_ranking_and_one_alone_is_left_out(
    bring: Bring, tmp_path: Path
) -> None:
    rows = [
        {"prompt": ASK, "completion": "Light.", "label": True},
        {"prompt": ASK, "completion": "Paint.", "label": False},
        {"prompt": "Alone?", "completion": "Yes.", "label": True},
    ]
    done = bring(write(tmp_path / "kto.jsonl", rows))
    assert (done.counts["judgments"], done.counts["nothing_to_compare"]) == (1, 1)


def test_more_completions_than_a_task_ranks_are_bad(bring: Bring, tmp_path: Path) -> None:
    rows = [{"prompt": ASK, "completion": f"{n}", "label": n < 5} for n in range(10)]
    with pytest.raises(BadInput, match="line 1: 10 completions are of one prompt"):
        bring(write(tmp_path / "kto.jsonl", rows))


def test_demonstrations_and_prompts_are_stored(
    engine: Engine, bring: Bring, tmp_path: Path
) -> None:
    shown = write(tmp_path / "shown.jsonl", [{"prompt": ASK, "completion": "Rayleigh."}])
    done = bring(shown)
    (demonstration,) = rows_of(engine, Demonstration)
    assert (demonstration.text, demonstration.import_id) == ("Rayleigh.", done.id)
    bring(write(tmp_path / "asked.jsonl", [{"prompt": ASK}, {"prompt": "New?"}]))
    assert len(rows_of(engine, Prompt)) == 2


def test_labels_of_models_stay_out_of_training(
    engine: Engine, bring: Bring, tmp_path: Path
) -> None:
    row = {"prompt": ASK, "completions": ["a", "b"], "ranks": [1, 2], "annotator": "judge"}
    path = write(tmp_path / "models.jsonl", [{**row, "annotator_kind": "model"}])
    done = bring(path)
    (account,) = rows_of(engine, Account)
    assert account.kind is AccountKind.MODEL
    assert trained_rows(engine, done.project_id).empty
    with reading(engine) as session:
        assert session.exec(select(func.count()).select_from(Judgment)).one() == 1


def test_a_folder_is_one_import_and_its_files_name_the_splits(
    engine: Engine, bring: Bring, tmp_path: Path
) -> None:
    folder = tmp_path / "exported"
    folder.mkdir()
    pair = {"chosen": "a", "rejected": "b"}
    write(folder / "train.jsonl", [{"prompt": "One?", **pair}])
    write(folder / "test.jsonl", [{"prompt": "Two?", **pair}])
    (folder / "README.md").write_text("about")
    done = bring(folder)
    assert (done.file_name, done.counts["rows"]) == ("exported", 2)
    splits = {one.messages[0]["content"]: one.split for one in rows_of(engine, Prompt)}
    assert splits == {"One?": Split.TRAIN, "Two?": Split.HELDOUT}


def test_an_empty_folder_and_an_unknown_shape_are_said(bring: Bring, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no file"):
        bring(tmp_path / "empty")
    with pytest.raises(BadInput, match="line 1: its fields tell no format; say which"):
        bring(write(tmp_path / "odd.jsonl", [{"x": 1}]))
    with pytest.raises(BadInput, match="There is no format nope; use trl_preference"):
        bring(tmp_path / "odd.jsonl", "nope")
