"""What a snapshot's query keeps, and the reason that each other judgment stays out."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.datasets.code_version import code_version
from labeling.datasets.eligibility import DECIDED, MODEL, SUPERSEDED, SWITCHED_OFF, WITHDRAWN
from labeling.datasets.snapshot_filters import (
    DISAGREEMENT,
    NOT_ASKED_ANNOTATOR,
    OTHER_POLICY,
    OTHER_ROUND,
    OUTSIDE_DATES,
    TIED,
    TOO_FEW,
    UNANSWERED,
)
from labeling.datasets.snapshot_list import find_snapshot, list_snapshots
from labeling.datasets.snapshot_query import query_of
from labeling.datasets.snapshots import read_consolidated, read_snapshot, take_snapshot
from labeling.review.adjudication import decide
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed, NotFound
from storage.tables import (
    Account,
    AccountKind,
    Judgment,
    Policy,
    Project,
    Role,
    Round,
    Snapshot,
    Withdrawal,
)
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    """Three tasks: one agreed on by two, one disputed by two, one of one annotator with a tie."""
    stage = set_stage(engine, project, overlap=2)
    for text, ann, bob in (
        ("agreed", [1, 2, 3, 4], [1, 2, 3, 4]),
        ("disputed", [1, 2, 3, 4], [4, 3, 2, 1]),
        ("alone", [1, 1, 2, 3], None),
    ):
        stage.add_task(text)
        stage.judge("ann", ann)
        if bob:
            stage.judge("bob", bob)
    return stage


@pytest.fixture
def sqlite_stage(sqlite_engine: Engine, sqlite_project: Project) -> Stage:
    stage = set_stage(sqlite_engine, sqlite_project, overlap=2)
    stage.add_task("one")
    stage.judge("ann", [1, 2, 3, 4])
    return stage


def freeze(stage: Stage, home: Path, name: str = "", **asked: Any) -> Snapshot:
    return take_snapshot(
        stage.engine,
        project=stage.project,
        folder=home / "snapshots",
        code_version=code_version(),
        query=query_of(asked),
        name=name,
    )


def texts(snapshot: Snapshot, home: Path) -> list[str]:
    return [row[0].partition(".")[0] for row in read_snapshot(snapshot.uri, home)["completions"]]


def excluded(snapshot: Snapshot) -> dict[str, int]:
    found: dict[str, int] = snapshot.manifest["excluded"]
    assert sum(found.values()) + snapshot.manifest["judgments"] == snapshot.manifest["considered"]
    return found


def test_each_filter_names_its_reason(stage: Stage, tmp_path: Path) -> None:
    for asked, kept, reasons in (
        ({}, ["agreed"] * 2 + ["disputed"] * 2 + ["alone"], {}),
        ({"min_agreement": 0.5}, ["agreed"] * 2 + ["alone"], {DISAGREEMENT: 2}),
        ({"min_judgments": 2}, ["agreed"] * 2 + ["disputed"] * 2, {TOO_FEW: 1}),
        ({"ties": "drop-any-tied"}, ["agreed"] * 2 + ["disputed"] * 2, {TIED: 1}),
        ({"annotators": ["bob"]}, ["agreed", "disputed"], {NOT_ASKED_ANNOTATOR: 3}),
        ({"not_annotators": ["bob"]}, ["agreed", "disputed", "alone"], {NOT_ASKED_ANNOTATOR: 2}),
        ({"criteria": ["helpful"]}, [], {UNANSWERED: 5}),
        ({"until": now() - timedelta(hours=1)}, [], {OUTSIDE_DATES: 5}),
        ({"not_annotators": ["bob"], "min_judgments": 2}, [], {NOT_ASKED_ANNOTATOR: 2, TOO_FEW: 3}),
    ):
        snapshot = freeze(stage, tmp_path, **asked)
        assert sorted(texts(snapshot, tmp_path)) == sorted(kept), asked
        assert excluded(snapshot) == reasons, asked


def test_what_never_counts_has_its_reason_too(stage: Stage, tmp_path: Path) -> None:
    task = stage.lend("cid")
    stage.submit("cid", task, [1, 2, 3, 4], "c1")
    stage.submit("cid", task, [4, 3, 2, 1], "c2")
    stage.add_task("of a model")
    stage.judge("mod", [1, 2, 3, 4])
    stage.add_task("of one who left")
    stage.judge("dan", [1, 2, 3, 4])
    lena = stage.account("lena", Role.LEAD)
    with writing(stage.engine) as session:
        session.get_one(Account, stage.account("mod")).kind = AccountKind.MODEL
        session.get_one(Account, stage.account("dan")).active = False
        session.add(
            Withdrawal(
                project_id=stage.project_id,
                annotator_id=stage.account("bob"),
                reason="test",
            )
        )
        lead = session.get_one(Account, lena)
        decide(session, task_id=1, ranks=[2, 1, 3, 4], by=lead, nonce="d", reason="")
    snapshot = freeze(stage, tmp_path)
    assert excluded(snapshot) == {
        SUPERSEDED.words: 1,
        MODEL.words: 1,
        SWITCHED_OFF.words: 1,
        WITHDRAWN.words: 2,
        DECIDED: 1,
    }
    assert snapshot.manifest["decisions"] == 1
    without = freeze(stage, tmp_path, decisions=False)
    assert without.manifest["decisions"] == 0 and DECIDED not in excluded(without)
    assert snapshot.manifest["judgments"] == 4
    assert freeze(stage, tmp_path, models="in").manifest["judgments"] == 5


def test_the_same_question_on_the_same_data_is_the_same_snapshot(
    stage: Stage, tmp_path: Path
) -> None:
    first = freeze(stage, tmp_path, not_annotators=["bob"])
    again = freeze(stage, tmp_path, not_annotators=["bob", "bob"])
    assert again.id == first.id
    other = freeze(stage, tmp_path)
    assert other.rows_sha256 != first.rows_sha256
    assert freeze(stage, tmp_path, not_annotators=["bob"]).id == first.id
    # The same rows by another question are another snapshot, with the same hash.
    same_rows = freeze(stage, tmp_path, annotators=["ann"])
    assert same_rows.id != first.id and same_rows.rows_sha256 == first.rows_sha256
    # A prompt a chunk, and not two hundred.
    stage.change("export", prompts_at_once=1, rows_at_once=1)
    with reading(stage.engine) as session:
        stage.project = session.get_one(Project, stage.project_id)
    assert freeze(stage, tmp_path, not_annotators=["bob"]).id == first.id


def test_one_moment_is_one_question_in_whichever_zone(sqlite_stage: Stage, tmp_path: Path) -> None:
    since = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    # As Berlin's clocks say it an hour before they are put forward, and Kathmandu's.
    zones = [ZoneInfo("Europe/Berlin"), timezone(timedelta(hours=5, minutes=45))]
    first = freeze(sqlite_stage, tmp_path, since=since.isoformat())
    for zone in zones:
        asked = since.astimezone(zone).isoformat()
        assert freeze(sqlite_stage, tmp_path, since=asked).id == first.id


@pytest.mark.parametrize(
    "name",
    ["../../x", "a/b", "a\\b", ".", "..", " ", "\t\n", "a\x00", "\x1b[2J", "a\u202eb", "\ud800",
     "x" * 101, "\u0661"],
)  # fmt: skip
def test_a_name_that_commands_or_leads_elsewhere_is_none(
    sqlite_stage: Stage, tmp_path: Path, name: str
) -> None:
    with pytest.raises(BadInput, match=r"A snapshot cannot be called .* printable") as caught:
        freeze(sqlite_stage, tmp_path, name=name)
    assert str(caught.value).isprintable()
    assert not (tmp_path / "snapshots").exists(), "nothing was frozen for it"


@pytest.mark.parametrize("name", ["2026-03", "v1.2 (late)", " late  spring ", "\u6625"])
def test_other_names_are_taken(sqlite_stage: Stage, tmp_path: Path, name: str) -> None:
    assert freeze(sqlite_stage, tmp_path, name=name).name == " ".join(name.split())


def test_names_are_found_and_never_given_twice(sqlite_stage: Stage, tmp_path: Path) -> None:
    stage = sqlite_stage
    named = freeze(stage, tmp_path, name="spring")
    assert freeze(stage, tmp_path).id == named.id
    with pytest.raises(Conflict, match="a snapshot spring already"):
        freeze(stage, tmp_path, name="spring")
    with pytest.raises(BadInput, match="not only digits"):
        freeze(stage, tmp_path, name="12")
    assert list((tmp_path / "snapshots").glob(".*")) == []
    with writing(stage.engine) as session:
        project_id = stage.project_id
        assert find_snapshot(session, project_id=project_id, which="spring").id == named.id
        with pytest.raises(NotFound, match="no snapshot 99"):
            find_snapshot(session, project_id=project_id, which="99")
        session.add(Round(project_id=project_id, number=1, snapshot_id=named.id))
        session.flush()
        (listed,) = list_snapshots(session, project_id=project_id, account=None)
        assert (listed.name, listed.rounds, listed.judgments) == ("spring", (1,), 1)
        with pytest.raises(NotAllowed):
            annotator = session.get_one(Account, stage.account("ann"))
            list_snapshots(session, project_id=project_id, account=annotator)


def test_a_query_that_does_not_fit_is_refused(sqlite_stage: Stage, tmp_path: Path) -> None:
    for asked, words in (
        ({"annotators": ["nobody"]}, "no account nobody"),
        ({"policies": [7]}, "no policy version 7; see `rankloop policies`"),
        ({"rounds": [0, 3]}, "no round 3; see `rankloop rounds`"),
        ({"min_agreement": 2}, "min_agreement does not fit"),
        ({"consolidation": "vote"}, "consolidation does not fit"),
        ({"since": now(), "until": now() - timedelta(days=1)}, "is not before"),
        ({"nonsense": 1}, "nonsense does not fit"),
    ):
        with pytest.raises(BadInput, match=words):
            freeze(sqlite_stage, tmp_path, **asked)
    with reading(sqlite_stage.engine) as session:
        assert session.exec(select(Snapshot)).all() == []


def test_policies_and_rounds(sqlite_stage: Stage, tmp_path: Path) -> None:
    stage = sqlite_stage
    with writing(stage.engine) as session:
        first = Round(project_id=stage.project_id, number=1)
        session.add(first)
        session.flush()
        later = Policy(project_id=stage.project_id, version=2, round_id=first.id)
        session.add(later)
    stage.policy = later
    stage.add_task("two")
    stage.judge("ann", [1, 2, 3, 4])
    for asked, kept, reason in (
        ({"policies": [1]}, ["one"], OTHER_POLICY),
        ({"policies": [2]}, ["two"], OTHER_POLICY),
        ({"rounds": [0]}, ["one"], OTHER_ROUND),
        ({"rounds": [1]}, ["two"], OTHER_ROUND),
    ):
        snapshot = freeze(stage, tmp_path, **asked)
        assert texts(snapshot, tmp_path) == kept
        assert excluded(snapshot) == {reason: 1}


@pytest.mark.parametrize(
    ("rule", "setting", "value"),
    [
        ("majority", "unseen_votes", 9.0),
        ("ranked_pairs", "unseen_votes", 9.0),
        ("bradley_terry", "score_precision", 9.0),
        ("plackett_luce", "gamma_shape", 9.0),
        ("dawid_skene", "prior_comparisons", 1.0),
    ],
)
def test_the_projects_settings_are_those_of_its_labels(
    sqlite_stage: Stage, tmp_path: Path, rule: str, setting: str, value: float
) -> None:
    stage = sqlite_stage

    def uncertain() -> list[float]:
        uri = freeze(stage, tmp_path, consolidation=rule).uri
        found: list[float] = read_consolidated(uri, tmp_path)["uncertainty"].tolist()
        return found

    before = uncertain()
    assert uncertain() == before
    stage.change("reliability", **{setting: value})
    assert uncertain() != before


def test_consolidated_labels_stand_beside_the_judgments(stage: Stage, tmp_path: Path) -> None:
    lena = stage.account("lena", Role.LEAD)
    with writing(stage.engine) as session:
        lead = session.get_one(Account, lena)
        decide(session, task_id=2, ranks=[2, 1, 3, 4], by=lead, nonce="d", reason="")
    snapshot = freeze(stage, tmp_path, consolidation="majority")
    labels = read_consolidated(snapshot.uri, tmp_path)
    assert labels["ranks"].tolist() == [[1, 2, 3, 4], [2, 1, 3, 4], [1, 1, 2, 3]]
    assert labels["uncertainty"].iloc[1] == 0.0
    assert snapshot.manifest["judgments"] == 4
    with pytest.raises(NotFound, match="no consolidated labels"):
        read_consolidated(freeze(stage, tmp_path).uri, tmp_path)


def test_annotators_go_on_while_a_snapshot_is_frozen(
    sqlite_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, stored = sqlite_stage, []
    from labeling.datasets import freezing

    def meanwhile(*given: Any, **named: Any) -> Any:
        stored.append(stage.judge("bob", [4, 3, 2, 1]))
        return written(*given, **named)

    written = freezing._write_demonstrations
    monkeypatch.setattr("labeling.datasets.freezing._write_demonstrations", meanwhile)
    snapshot = freeze(stage, tmp_path)
    assert stored and snapshot.manifest["judgments"] == 1
    with reading(stage.engine) as session:
        assert len(session.exec(select(Judgment)).all()) == 2
