"""A server that starts has the figures of the one before it, unless anything has changed."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlmodel import Session

from labeling.statistics.where_it_hurts import WhereItHurts
from labeling.withdrawals.scope import Scope
from labeling.withdrawals.withdrawing import revert, withdraw
from storage.engine import writing
from storage.settings import load_settings
from storage.tables import Account, Project, Role
from tests.labeling.stage import Stage, set_stage
from tests.ui.figures.test_plain_figures import assert_same
from ui import process
from ui.figures import figures_on_disk, kept_figures, measured, measures
from ui.figures.figures_on_disk import forget_figures
from ui.figures.kept_figures import kept


@pytest.fixture
def stage(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    monkeypatch.setattr(kept_figures, "WORTH_A_FILE", 1)
    (tmp_path / "rankloop.db").write_bytes(sqlite_template.read_bytes())
    # Weights are waited for, too: pages show none in the meantime.
    patient = {"figures_patience": 60.0}
    process.configure(load_settings(home=tmp_path).model_copy(update=patient))
    with writing(process.engine()) as session:
        project = Project(name=process.settings().project)
        session.add(project)
    stage = set_stage(process.engine(), project, overlap=3)
    stage.account("lena", Role.LEAD)
    for text in ("s", "t", "u"):
        stage.add_task(text)
        stage.judge("ann", [1, 2, 3, 4])
        stage.judge("bob", [1, 2, 4, 3])
    yield stage
    process.configure(load_settings(home=tmp_path))


def start_again(stage: Stage) -> None:
    """Be another process: nothing is kept but what is on disk."""
    kept_figures.wait_for_files()
    process.configure(process.settings())
    stage.engine = process.engine()


class Counting:
    """Measure how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, rows: Session, before: object) -> int:
        self.times += 1
        return self.times


def look(stage: Stage, count: Counting, **given: object) -> int:
    start_again(stage)
    found = kept("x", count, account=stage.accounts["lena"], on_disk=given)
    kept_figures.wait_for_files()
    return found


def file() -> Path:
    home = process.settings().home
    return figures_on_disk.file_of(home, project_id=process.project_id(), name="x")


ALL = (
    measured.quality, measured.reliability, measured.annotators, measured.weights, measured.between,
    measured.hurts, measured.models, measured.work, measured.waiting,
)  # fmt: skip


def test_the_figures_of_every_page_come_back_as_they_were(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = stage.accounts["lena"]
    before = [one(lead) for one in ALL]
    divided = measured.divided(lead, "policy")
    start_again(stage)

    def again(*_: object) -> None:
        raise AssertionError("it is measured a second time")

    for name in (
        "measure_quality", "measure_reliability", "annotator_reliability", "agreement_matrix",
        "annotator_evidence", "where_it_hurts", "work_by_hour", "review_queue", "breakdown",
        "judgment_columns",
    ):  # fmt: skip
        monkeypatch.setattr(measures, name, again)
    for one, was in zip(ALL, before, strict=True):
        assert_same(was, one(lead))
    assert_same(divided, measured.divided(lead, "policy"))
    hurts = measured.hurts(lead)
    assert isinstance(hurts, WhereItHurts) and len(hurts.disputed) == 3


def test_nothing_changed_is_measured_once_by_all_processes(stage: Stage) -> None:
    count = Counting()
    assert [look(stage, count) for _ in range(3)] == [1, 1, 1]


def test_whatever_changes_is_measured_anew(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    count = Counting()
    look(stage, count)
    stage.judge("eve", [4, 3, 2, 1])
    assert look(stage, count) == 2
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        scope = Scope(annotator_id=stage.account("ann"))
        taken = withdraw(session, project=project, by=None, scope=scope, reason="a bot")
    assert look(stage, count) == 3
    with writing(stage.engine) as session:
        project = session.get_one(Project, stage.project_id)
        revert(session, project=project, by=None, withdrawal_id=taken.id or 0, reason="no bot")
    assert look(stage, count) == 4
    stage.change("cost", hourly_rate=5.0)
    assert look(stage, count) == 5
    assert look(stage, count, home="elsewhere") == 6, "another setting of the process"
    monkeypatch.setattr(figures_on_disk, "_code", lambda: "newer")
    assert look(stage, count, home="elsewhere") == 7, "other code"
    assert look(stage, count, home="elsewhere") == 7


def test_what_comes_while_it_is_measured_is_in_no_file(stage: Stage) -> None:
    def measure(rows: Session, before: object) -> str:
        with writing(stage.engine) as session:
            session.get_one(Account, stage.account("ann")).name = "ann the second"
        rows.rollback()
        return "half of this, half of that"

    kept("x", measure, account=stage.accounts["lena"], on_disk={})
    kept_figures.wait_for_files()
    assert not file().exists()


def test_while_work_comes_in_files_are_written_seldom(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_on() -> str:
        # An annotator who is new is a deed: figures are measured at once.
        stage.judge(f"ann {count.times}", [1, 2, 3, 4])
        kept("x", count, account=stage.accounts["lena"], on_disk={})
        kept_figures.wait_for_files()
        return file().read_bytes().hex()

    count = Counting()
    look(stage, count)
    written = file().read_bytes().hex()
    assert look_on() == written and count.times == 2
    monkeypatch.setattr(kept_figures, "SECONDS_BETWEEN_FILES", 0.0)
    assert look_on() != written and count.times == 3


def test_how_long_it_took_to_measure_is_kept_with_them(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else a server that has just started takes figures for cheap, and measures at every judgment.
    seconds = [0.0]
    monkeypatch.setattr(kept_figures, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    lead, count = stage.accounts["lena"], Counting()

    def slowly(rows: Session, before: object) -> int:
        seconds[0] += 3.0
        return 0

    def look_later(by: float) -> int:
        seconds[0] += by
        stage.add_task(f"at {seconds[0]}")
        stage.judge("ann", [1, 2, 3, 4])
        return kept("x", count, account=lead, on_disk={})

    kept("x", slowly, account=lead, on_disk={})
    start_again(stage)
    assert kept("x", count, account=lead, on_disk={}) == 0
    share = process.settings().figures_share
    assert look_later(2.0 / share) == 0, "measuring takes its share of the time, and no more"
    assert look_later(2.0 / share) == 1


def spoil_by_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_a_byte(path: Path) -> None:
    found = bytearray(path.read_bytes())
    place = found.index(b"figures") + 3
    found[place] ^= 1
    path.write_bytes(bytes(found))


def leave_nothing(path: Path) -> None:
    path.write_bytes(b"")


def be_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def hold_a_pickle(path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (path.parent / "sprung",)

    with path.open("wb") as out:
        np.savez(out, allow_pickle=True, plain=np.array([Trap()], dtype=object))


def be_a_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"figures": 99}))


@pytest.mark.parametrize(
    "spoil",
    [spoil_by_half, spoil_a_byte, leave_nothing, be_a_folder, hold_a_pickle, be_a_pickle],
)
def test_a_file_in_trouble_means_measuring_anew(stage: Stage, spoil: Any) -> None:
    count = Counting()
    look(stage, count)
    spoil(file())
    assert look(stage, count) == 2
    assert not (file().parent / "sprung").exists()
    assert look(stage, count) == (3 if spoil is be_a_folder else 2), "it is written anew"


def test_a_small_project_has_no_file(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_figures, "WORTH_A_FILE", 20_000)
    look(stage, Counting())
    assert not file().parent.exists()


def test_figures_that_no_file_can_hold_are_shown_all_the_same(stage: Stage) -> None:
    start_again(stage)
    found = kept("x", lambda *_: {1, 2}, account=stage.accounts["lena"], on_disk={})
    kept_figures.wait_for_files()
    assert found == {1, 2} and not list(file().parent.glob("*"))


def test_they_can_be_forgotten(stage: Stage) -> None:
    count = Counting()
    look(stage, count)
    assert file().exists()
    forget_figures(process.settings().home)
    assert not file().exists() and look(stage, count) == 2
