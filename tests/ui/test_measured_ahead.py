"""A server that starts measures a large project's figures, and leaves small ones alone."""

import shutil
from pathlib import Path

import pytest

from storage.engine import writing
from storage.settings import Settings, load_settings
from storage.tables import Account, Project, Role
from tests.labeling.stage import set_stage
from ui import kept_figures, measured, measured_ahead, process
from ui.kept_figures import _all


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
