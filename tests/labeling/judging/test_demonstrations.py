"""Demonstrations: who may write them, what is stored, and what a file may hold."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.imports.prompts import content_sha256, split_of
from labeling.judging.demonstrations import (
    LONGEST_TEXT,
    DemonstrationImport,
    add_demonstration,
    count_demonstrations,
    demonstrations_of,
    import_demonstrations,
)
from labeling.people.roles import switch_off
from storage.engine import reading, writing
from storage.errors import BadInput, NotAllowed, NotFound
from storage.tables import (
    Account,
    AccountKind,
    Demonstration,
    Event,
    Project,
    Prompt,
    Role,
    Split,
    TaskCompletion,
)
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project)


def write_one(stage: Stage, prompt_id: int, text: str, name: str = "ann") -> Demonstration:
    account_id = stage.account(name)
    with writing(stage.engine) as session:
        account = session.get_one(Account, account_id)
        return add_demonstration(
            session, project=stage.project, account=account, prompt_id=prompt_id, text=text
        )


def test_a_demonstration_is_stored_with_its_author(stage: Stage) -> None:
    prompt_id = stage.add_prompt("Why?")
    written = write_one(stage, prompt_id, "  Because.\n")
    with reading(stage.engine) as session:
        (row,) = demonstrations_of(session, project_id=stage.project_id).to_dict("records")
        event = session.exec(select(Event).where(Event.kind == "demonstration.stored")).one()
    assert (row["id"], row["prompt_id"], row["text"]) == (written.id, prompt_id, "Because.")
    assert row["messages"] == [{"role": "user", "content": "Why?"}]
    assert (row["split"], row["annotator_id"]) == ("train", stage.account("ann"))
    assert event.account_id == stage.account("ann")


def test_splits_are_told_apart(stage: Stage) -> None:
    write_one(stage, stage.add_prompt("a"), "x")
    write_one(stage, stage.add_prompt("b", Split.HELDOUT), "y")
    with reading(stage.engine) as session:
        heldout = demonstrations_of(session, project_id=stage.project_id, split=Split.HELDOUT)
        everything = demonstrations_of(session, project_id=stage.project_id)
    assert heldout["text"].tolist() == ["y"]
    assert everything["text"].tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "says"), [("", "empty"), (" \n\x00", "empty"), ("x" * (LONGEST_TEXT + 1), "too long")]
)
def test_a_text_that_does_not_fit_stores_nothing(stage: Stage, text: str, says: str) -> None:
    prompt_id = stage.add_prompt("Why?")
    with pytest.raises(BadInput, match=says):
        write_one(stage, prompt_id, text)
    with reading(stage.engine) as session:
        assert count_demonstrations(session, project_id=stage.project_id) == 0


def test_a_prompt_of_nowhere_is_refused(stage: Stage) -> None:
    with pytest.raises(NotFound, match="no prompt 77"):
        write_one(stage, 77, "x")


def test_a_rewritten_completion_must_answer_the_same_prompt(stage: Stage) -> None:
    stage.add_task("one")
    other = stage.add_prompt("another")
    account_id = stage.account("ann")
    with writing(stage.engine) as session:
        completion_id = session.exec(select(TaskCompletion.completion_id)).first()
        with pytest.raises(BadInput, match="another prompt"):
            add_demonstration(
                session,
                project=stage.project,
                account=session.get_one(Account, account_id),
                prompt_id=other,
                text="x",
                rewritten_from_id=completion_id,
            )


def test_accounts_switched_off_write_nothing_and_models_are_left_out(stage: Stage) -> None:
    prompt_id = stage.add_prompt("Why?")
    write_one(stage, prompt_id, "by a model", name="judge")
    write_one(stage, prompt_id, "by one who left", name="bob")
    with writing(stage.engine) as session:
        session.get_one(Account, stage.account("judge")).kind = AccountKind.MODEL
        session.get_one(Account, stage.account("bob")).active = False
    with reading(stage.engine) as session:
        assert demonstrations_of(session, project_id=stage.project_id).empty
    with pytest.raises(NotAllowed, match="switched off"):
        write_one(stage, prompt_id, "again", name="bob")


# -- files -----------------------------------------------------------------------------------------


def take_in(stage: Stage, path: Path, role: Role = Role.LEAD) -> DemonstrationImport:
    account_id = stage.account(f"the {role}", role)
    with writing(stage.engine) as session:
        return import_demonstrations(
            session,
            project=stage.project,
            path=path,
            account=session.get_one(Account, account_id),
            heldout_share=0.5,
        )


def jsonl(folder: Path, *rows: object) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_prompts_come_with_their_demonstrations_and_keep_their_split(
    stage: Stage, tmp_path: Path
) -> None:
    known = stage.add_prompt("known")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    path = jsonl(
        tmp_path,
        {"prompt": "known", "completion": "first"},
        {"messages": messages, "completion": [{"role": "assistant", "content": "second"}]},
        {"prompt": "known", "completion": " first "},
    )
    assert take_in(stage, path) == DemonstrationImport(2, 1, 3, prompts_added=1)
    assert take_in(stage, path) == DemonstrationImport(0, 3, 3, prompts_added=0)
    with reading(stage.engine) as session:
        rows = demonstrations_of(session, project_id=stage.project_id)
        added = session.exec(select(Prompt).where(Prompt.id != known)).one()
    assert rows["text"].tolist() == ["first", "second"]
    assert rows["prompt_id"].tolist() == [known, added.id]
    assert added.split is split_of(content_sha256(messages), 0.5)


def test_csv_and_parquet_are_read(stage: Stage, tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "completion"], ["One?", "1,\n2"]])
    pd.DataFrame({"prompt": ["Two?"], "completion": ["2"]}).to_parquet(tmp_path / "a.parquet")
    assert take_in(stage, tmp_path / "a.csv").added == 1
    assert take_in(stage, tmp_path / "a.parquet").added == 1
    with reading(stage.engine) as session:
        rows = demonstrations_of(session, project_id=stage.project_id)
    assert rows["text"].tolist() == ["1,\n2", "2"]


@pytest.mark.parametrize(
    ("row", "field", "says"),
    [
        ({"prompt": "b"}, "completion", "missing"),
        ({"prompt": "b", "completion": " "}, "completion", "empty"),
        ({"prompt": "b", "completion": 3}, "completion", "must be text"),
        ({"prompt": "b", "completion": "x" * (LONGEST_TEXT + 1)}, "completion", "the most"),
        ({"prompt": "b", "completion": [{"role": "user", "content": "x"}]}, "completion", "one"),
        ({"completion": "x"}, "prompt", "missing"),
    ],
)
def test_one_bad_row_imports_nothing(
    stage: Stage, tmp_path: Path, row: dict, field: str, says: str
) -> None:
    path = jsonl(tmp_path, {"prompt": "a", "completion": "x"}, row)
    with pytest.raises(BadInput, match=rf"mine\.jsonl, line 2, field {field}: .*{says}"):
        take_in(stage, path)
    with reading(stage.engine) as session:
        assert session.exec(select(Prompt)).all() == []
        assert session.exec(select(Demonstration)).all() == []


def test_annotators_import_nothing(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(NotAllowed):
        take_in(stage, jsonl(tmp_path, {"prompt": "a", "completion": "x"}), Role.ANNOTATOR)


def test_who_was_switched_off_since_the_page_was_loaded_writes_nothing(stage: Stage) -> None:
    prompt_id, ann = stage.add_prompt("Why?"), stage.account("ann")
    with reading(stage.engine) as session:
        loaded = session.get_one(Account, ann)
    with writing(stage.engine) as session:
        switch_off(session, account=session.get_one(Account, ann), by=None)
    with writing(stage.engine) as session, pytest.raises(NotAllowed, match="switched off"):
        add_demonstration(
            session, project=stage.project, account=loaded, prompt_id=prompt_id, text="So.",
            nonce="nonce-0001",
        )  # fmt: skip


def test_the_same_nonce_stores_once(stage: Stage) -> None:
    prompt_id, other = stage.add_prompt("Why?"), stage.add_prompt("How?")

    def write(name: str, prompt_id: int, text: str) -> Demonstration:
        account_id = stage.account(name)
        with writing(stage.engine) as session:
            return add_demonstration(
                session, project=stage.project, account=session.get_one(Account, account_id),
                prompt_id=prompt_id, text=text, nonce="nonce-0001",
            )  # fmt: skip

    assert write("ann", prompt_id, "So.").id == write("ann", prompt_id, "So.").id
    for name, asked in [("ann", other), ("bob", prompt_id)]:
        with pytest.raises(BadInput, match="another demonstration"):
            write(name, asked, "So.")
    with reading(stage.engine) as session:
        assert count_demonstrations(session, project_id=stage.project_id) == 1
