"""A large project's figures are measured before anyone asks; small ones are left alone."""

import shutil
from pathlib import Path

import pytest
from sqlmodel import Session

from labeling.statistics import known_judgments
from labeling.statistics.stored_judgments import StoredJudgments, read_judgments
from storage.engine import writing
from storage.settings import Settings, load_settings
from storage.tables import Account, Project, Role
from tests.labeling.stage import set_stage
from ui import process
from ui.figures import kept_figures, measured, measured_ahead, measures
from ui.figures.kept_figures import _all


@pytest.fixture
def empty(tmp_path: Path, sqlite_template: Path) -> Settings:
    """Configure this process for a home whose database has no project."""
    settings = load_settings(home=tmp_path)
    shutil.copyfile(sqlite_template, tmp_path / "rankloop.db")
    process.configure(settings)
    return settings


@pytest.fixture
def judged(empty: Settings) -> Account:
    engine = process.engine()
    with writing(engine) as session:
        project = Project(name=empty.project)
        session.add(project)
    stage = set_stage(engine, project, overlap=2)
    stage.add_task("t")
    stage.judge("ann", [1, 2, 3, 4])
    stage.judge("bob", [1, 2, 3, 4])
    stage.account("lena", Role.LEAD)
    return stage.accounts["lena"]


def test_a_large_projects_figures_are_there_before_anyone_asks(
    judged: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_ahead, "WORTH_A_FILE", 2)
    measured_ahead.measure_ahead().join()
    newest = {name for name, one in _all.items() if one.engine is process.engine() and one.newest}
    assert {"loop", "quality", "reliability", "work", "waiting", "annotators"} <= newest

    def again(*_: object) -> None:
        raise AssertionError("it is measured a second time")

    monkeypatch.setattr(kept_figures._Figures, "_measure", again)
    assert measured.quality(judged).pairwise_agreement.value == 1.0


def test_a_small_project_is_left_alone(judged: Account) -> None:
    measured_ahead.measure_ahead().join()
    assert not any(one.engine is process.engine() for one in _all.values())


@pytest.mark.usefixtures("empty")
def test_without_a_project_the_server_starts_all_the_same() -> None:
    measured_ahead.measure_ahead().join()


def test_who_brought_much_in_leaves_files_for_the_server_that_starts_next(
    judged: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_ahead, "WORTH_A_FILE", 2)
    monkeypatch.setattr(kept_figures, "WORTH_A_FILE", 2)
    monkeypatch.setattr(known_judgments, "WORTH_A_FILE", 2)
    told: list[float] = []
    measured_ahead.measure_into_files(new=2, progress=lambda what, share: told.append(share))
    assert told == sorted(told) and told[0] == 0.0 and told[-1] == 1.0
    process.configure(process.settings())

    def again(*_: object, **__: object) -> None:
        raise AssertionError("it is measured a second time")

    for name in (
        "measure_quality", "measure_reliability", "annotator_reliability", "agreement_matrix",
        "annotator_evidence", "where_it_hurts", "work_by_hour", "review_queue", "breakdown",
    ):  # fmt: skip
        monkeypatch.setattr(measures, name, again)
    monkeypatch.setattr(known_judgments, "read_judgments", only_what_is_new)
    for figures in (
        measured.quality, measured.reliability, measured.annotators, measured.between,
        measured.hurts, measured.work, measured.waiting, measured.usual_groups, measured.columns,
    ):  # fmt: skip
        figures(judged)


def only_what_is_new(session: Session, *, project_id: int, after: int) -> StoredJudgments:
    """Read as ever, but never all of them: without `after` this is a TypeError."""
    return read_judgments(session, project_id=project_id, after=after)


def test_little_beside_what_there_was_is_left_to_the_server(
    judged: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_ahead, "WORTH_A_FILE", 2)
    monkeypatch.setattr(measured_ahead, "_WORTH_THE_TIME", 0.9)
    measured_ahead.measure_into_files(new=1, progress=lambda what, share: None)
    assert not any(one.engine is process.engine() for one in _all.values())
