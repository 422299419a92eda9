"""Figures are measured once a data version, anew after deeds, and waited for only at first."""

from threading import Event

import pytest
from sqlmodel import Session, select

from labeling.labeling_settings import change_labeling
from labeling.statistics.data_version import data_version
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Account, Project, Role
from tests.ui.conftest import Home
from tests.ui.quality.test_quality_pages import judge
from ui import process
from ui.figures.kept_figures import kept


class Counting:
    """Measure how often it was asked, and what it was told of before."""

    def __init__(self) -> None:
        self.befores: list[object] = []
        self.gate = Event()
        self.gate.set()

    def __call__(self, rows: Session, before: int | None) -> int:
        assert self.gate.wait(20)
        self.befores.append(before)
        return len(self.befores)


@pytest.fixture(scope="module")
def home(module_home: Home) -> Home:
    """One home for all: its simulated annotators and its lead are there."""
    judge(module_home, 2)
    module_home.account("lena", Role.LEAD)
    module_home.account("ann")
    return module_home


@pytest.fixture
def lead(home: Home) -> Account:
    # Other settings are another engine to the pages: nothing is kept from the test before.
    process.configure(home.settings.model_copy(update={"figures_share": 1.0}))
    return account(home, "lena")


def account(home: Home, name: str) -> Account:
    with reading(home.engine) as rows:
        return rows.exec(select(Account).where(Account.name == name)).one()


def decide(home: Home, rate: float) -> None:
    with writing(home.engine) as rows:
        project = rows.get_one(Project, home.project_id)
        change_labeling(
            rows, project=project, by=None, section="cost", values={"hourly_rate": rate}
        )


def test_nothing_new_is_measured_once(home: Home, lead: Account) -> None:
    count = Counting()
    assert [kept("x", count, account=lead) for _ in range(3)] == [1, 1, 1]


def test_deeds_are_in_the_next_look_and_work_builds_on_what_was(home: Home, lead: Account) -> None:
    count = Counting()
    kept("x", count, account=lead)
    decide(home, 5.0)
    assert kept("x", count, account=lead) == 2
    judge(home, 2)
    assert kept("x", count, account=lead) == 3
    assert count.befores == [None, None, 2]


def test_an_old_figure_is_shown_while_a_newer_one_takes_long(home: Home, lead: Account) -> None:
    process.configure(home.settings.model_copy(update={"figures_patience": 0.05}))
    count = Counting()
    assert kept("x", count, account=lead) == 1
    count.gate.clear()
    decide(home, 6.0)
    assert kept("x", count, account=lead) == 1
    assert kept("y", count, account=lead, first=0) == 0, "the very first may be done without"
    count.gate.set()
    process.configure(home.settings)


def test_permission_is_asked_whatever_is_kept(home: Home, lead: Account) -> None:
    count = Counting()
    kept("x", count, account=lead)
    with pytest.raises(NotAllowed):
        kept("x", count, account=account(home, "ann"))


def test_an_error_is_raised_and_not_kept(home: Home, lead: Account) -> None:
    def fails(rows: Session, before: object) -> int:
        raise ValueError("nothing to measure")

    for _ in range(2):
        with pytest.raises(ValueError, match="nothing to measure"):
            kept("fails", fails, account=lead)


def test_the_version_tells_deeds_from_work(home: Home) -> None:
    def version() -> object:
        with reading(home.engine) as rows:
            return data_version(rows, project_id=home.project_id)

    before = version()
    assert version() == before
    decide(home, 7.0)
    decided = version()
    judge(home, 2)
    judged = version()
    assert decided.work == before.work and decided.deeds != before.deeds  # type: ignore[attr-defined]
    assert judged.work != decided.work  # type: ignore[attr-defined]
