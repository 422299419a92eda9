import json
from pathlib import Path

import pyarrow.parquet
import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.datasets.snapshot_rows import FIRST_COLUMNS, SCHEMA, rows_sha256
from labeling.datasets.snapshots import (
    FILTERS,
    create_snapshot,
    read_demonstrations,
    read_snapshot,
)
from labeling.judging.demonstrations import add_demonstration
from storage.engine import reading, writing
from storage.errors import Unavailable
from storage.tables import (
    Account,
    AccountKind,
    Event,
    Judgment,
    Policy,
    PolicyStatus,
    Project,
    Prompt,
    Round,
    Snapshot,
    Split,
)
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project, overlap=2)
    stage.add_task("héllo")
    return stage


def freeze(stage: Stage, home: Path) -> Snapshot:
    with writing(stage.engine) as session:
        return create_snapshot(
            session, project=stage.project, folder=home / "snapshots", code_version="abc"
        )


def test_a_snapshot_holds_what_was_judged(stage: Stage, tmp_path: Path) -> None:
    stage.judge("ann", [2, 1, 2, 3])
    snapshot = freeze(stage, tmp_path)
    rows = read_snapshot(snapshot.uri, tmp_path)
    (row,) = rows.to_dict("records")
    assert json.loads(row["messages"]) == [{"role": "user", "content": "héllo"}]
    assert row["completions"] == [f"héllo.{position}" for position in range(4)]
    assert row["ranks"] == [2, 1, 2, 3]
    assert len(set(row["completion_ids"])) == 4
    assert (row["split"], row["policy_version"]) == ("train", 1)
    assert row["annotator_id"] == stage.account("ann")


def test_the_manifest_says_what_it_is(stage: Stage, tmp_path: Path) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    snapshot = freeze(stage, tmp_path)
    manifest = json.loads((tmp_path / snapshot.uri / "manifest.json").read_text())
    assert manifest["rows_sha256"] == snapshot.rows_sha256
    assert manifest["judgments"] == 1
    with reading(stage.engine) as session:
        assert manifest["newest_judgment"] == session.exec(select(Judgment.id)).one()
    assert manifest["judgments_by_annotator"] == {str(stage.account("ann")): 1}
    assert manifest["judgments_by_split"] == {"train": 1}
    assert manifest["code_version"] == "abc"
    assert manifest["filters"] == FILTERS
    with reading(stage.engine) as session:
        assert "snapshot.created" in session.exec(select(Event.kind)).all()


def test_the_same_data_gives_the_same_snapshot(stage: Stage, tmp_path: Path) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    first = freeze(stage, tmp_path)
    again = freeze(stage, tmp_path)
    elsewhere = freeze(stage, tmp_path / "other")
    assert again.id == first.id
    assert elsewhere.id != first.id and elsewhere.rows_sha256 == first.rows_sha256
    stage.judge("bob", [1, 2, 3, 4])
    later = freeze(stage, tmp_path)
    assert later.rows_sha256 != first.rows_sha256
    assert len(read_snapshot(first.uri, tmp_path)) == 1
    assert len(read_snapshot(later.uri, tmp_path)) == 2


def test_the_split_and_the_round_come_with_each_row(stage: Stage, tmp_path: Path) -> None:
    with writing(stage.engine) as session:
        made = Round(project_id=stage.project_id, number=3)
        session.add(made)
        session.flush()
        stage.policy = Policy(
            project_id=stage.project_id, version=2, round_id=made.id, status=PolicyStatus.CANDIDATE
        )
        session.add(stage.policy)
    stage.add_task("held out", split=Split.HELDOUT)
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("ann", [1, 2, 3, 4])
    rows = read_snapshot(freeze(stage, tmp_path).uri, tmp_path)
    found = sorted(zip(rows["split"], rows["round"], rows["policy_version"], strict=True))
    assert found == [("heldout", 3, 2), ("train", 0, 1)]


def test_superseded_switched_off_and_model_judgments_are_left_out(
    stage: Stage, tmp_path: Path
) -> None:
    task = stage.lend("ann")
    stage.submit("ann", task, [1, 2, 3, 4], "n1")
    stage.submit("ann", task, [4, 3, 2, 1], "n2")
    stage.judge("bob", [1, 1, 1, 1])
    with writing(stage.engine) as session:
        session.get_one(Account, stage.account("bob")).kind = AccountKind.MODEL
    rows = read_snapshot(freeze(stage, tmp_path).uri, tmp_path)
    assert rows["ranks"].tolist() == [[4, 3, 2, 1]]
    with writing(stage.engine) as session:
        session.get_one(Account, stage.account("ann")).active = False
    assert read_snapshot(freeze(stage, tmp_path).uri, tmp_path).empty


def test_broken_files_are_named_and_replaced_by_a_new_snapshot(
    stage: Stage, tmp_path: Path
) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    snapshot = freeze(stage, tmp_path)
    file = tmp_path / snapshot.uri / "judgments.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(Unavailable, match=r"snapshot-\d+-\w+/judgments\.parquet"):
        read_snapshot(snapshot.uri, tmp_path)
    file.unlink()
    with pytest.raises(Unavailable, match=r"snapshot-\d+-\w+/judgments\.parquet"):
        read_snapshot(snapshot.uri, tmp_path)
    fresh = freeze(stage, tmp_path)
    assert fresh.uri != snapshot.uri
    assert len(read_snapshot(fresh.uri, tmp_path)) == 1


def test_rows_that_the_manifest_does_not_name_are_refused(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    snapshot = freeze(stage, tmp_path)
    file = tmp_path / snapshot.uri / "judgments.parquet"
    table = pyarrow.parquet.read_table(file)
    changed = table.set_column(
        table.schema.get_field_index("ranks"), table.schema.field("ranks"), [[[4, 3, 2, 1]]]
    )
    pyarrow.parquet.write_table(changed, file)
    # Even where the file's own hash was made to fit.
    monkeypatch.setattr("storage.blobs.verify", lambda *_: snapshot.manifest)
    with pytest.raises(Unavailable, match="not those that its manifest names"):
        read_snapshot(snapshot.uri, tmp_path)


def test_the_hash_sees_every_column(stage: Stage, tmp_path: Path) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    rows = read_snapshot(freeze(stage, tmp_path).uri, tmp_path)
    original = rows_sha256(rows)
    for column in rows.columns.difference(["created_at"]):
        changed = rows.copy()
        changed[column] = [["other"]]
        assert rows_sha256(changed) != original


def demonstrate(stage: Stage, text: str) -> None:
    account_id = stage.account("ann")
    with writing(stage.engine) as session:
        prompt_id = session.exec(select(Prompt.id)).first()
        add_demonstration(
            session,
            project=stage.project,
            account=session.get_one(Account, account_id),
            prompt_id=prompt_id or 0,
            text=text,
        )


def test_demonstrations_are_frozen_beside_the_judgments(stage: Stage, tmp_path: Path) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    demonstrate(stage, "grüß dich")
    snapshot = freeze(stage, tmp_path)
    demonstrate(stage, "later")
    (row,) = read_demonstrations(snapshot.uri, tmp_path).to_dict("records")
    assert (row["text"], row["split"]) == ("grüß dich", "train")
    assert json.loads(row["messages"]) == [{"role": "user", "content": "héllo"}]
    assert snapshot.manifest["demonstrations"] == 1
    assert snapshot.manifest["demonstrations_by_split"] == {"train": 1}


def test_a_new_demonstration_alone_makes_a_new_snapshot(stage: Stage, tmp_path: Path) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    before = freeze(stage, tmp_path)
    demonstrate(stage, "one")
    after = freeze(stage, tmp_path)
    assert after.id != before.id
    assert after.rows_sha256 == before.rows_sha256
    assert freeze(stage, tmp_path).id == after.id
    assert len(read_demonstrations(after.uri, tmp_path)) == 1


def test_a_snapshot_of_the_first_layout_is_read(stage: Stage, tmp_path: Path) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    snapshot = freeze(stage, tmp_path)
    rows = read_snapshot(snapshot.uri, tmp_path)[list(FIRST_COLUMNS)]
    schema = pyarrow.schema([SCHEMA.field(name) for name in FIRST_COLUMNS])
    old = tmp_path / "snapshots/old"
    old.mkdir()
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pandas(rows, schema=schema, preserve_index=False),
        old / "judgments.parquet",
    )
    manifest = {"rows_sha256": rows_sha256(rows, schema), "judgments": 1, "files": {}}
    (old / "manifest.json").write_text(json.dumps(manifest))
    read = read_snapshot("snapshots/old", tmp_path)
    assert read.equals(rows)
    assert read_demonstrations("snapshots/old", tmp_path).empty


def test_demonstrations_that_the_manifest_does_not_name_are_refused(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demonstrate(stage, "one")
    snapshot = freeze(stage, tmp_path)
    manifest = {**snapshot.manifest, "demonstrations_sha256": "0" * 64}
    monkeypatch.setattr("storage.blobs.verify", lambda *_: manifest)
    with pytest.raises(Unavailable, match=r"demonstrations\.parquet are not those"):
        read_demonstrations(snapshot.uri, tmp_path)
