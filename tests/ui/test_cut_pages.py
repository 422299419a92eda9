"""The leads' pages while a connection to PostgreSQL is cut: nobody notices it."""

from typing import Any

import pytest
from sqlmodel import select
from streamlit.testing.v1 import AppTest

from benchmarks.labeling_stage import add_tasks
from labeling.accounts import create_account
from labeling.projects import get_project
from labeling.simulated.simulation import simulate
from storage.engine import reading, writing
from storage.tables import Judgment, Review, Role
from tests.ui.test_database import Administrator, administrator
from ui import session
from ui.languages import words_for
from ui.review.review_deeds import CHOSEN

__all__ = ["administrator"]

PAGES = ("guidelines", "history", "review", "withdrawals")
#: Read in the same way, at a second for each of their transactions.
MORE = (
    "account", "accounts", "audit", "export", "judgments_behind", "labeling_settings", "overview",
    "rounds", "throughput", "webhooks",
)  # fmt: skip


@pytest.fixture
def judged(administrator: Administrator, monkeypatch: pytest.MonkeyPatch) -> Administrator:
    """Two simulated annotators have judged four tasks; an admin is signed in."""
    add_tasks(administrator.engine, "default", range(4))
    with reading(administrator.engine) as rows:
        project = get_project(rows, name="default")
    simulate(
        administrator.engine, project=project, annotators=2, judgments=4, noise=0.4,
        preference="shorter", seed=1, minutes=5, fill_pool=lambda: 0,
    )  # fmt: skip
    with writing(administrator.engine) as rows:
        account = create_account(rows, name="lena", role=Role.ADMIN)
    monkeypatch.setattr(session, "current_account", lambda: account)
    monkeypatch.setattr(session, "own_token", lambda: None)
    monkeypatch.setattr(session, "words", lambda: words_for(None, None))
    return administrator


def draw(name: str, **state: Any) -> AppTest:
    def script(name: str) -> None:
        from importlib import import_module

        from ui import session

        with session.trouble_told():
            import_module(f"ui.views.{name}").show()

    page = AppTest.from_function(script, args=(name,), default_timeout=60)
    for key, value in state.items():
        page.session_state[key] = value
    page = page.run()
    assert not page.exception, page.exception
    return page


def contents(page: AppTest) -> list[tuple[str, Any]]:
    return [(each.type, getattr(each, "value", None)) for each in page.main]


@pytest.mark.parametrize(
    "name", [*PAGES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]
)
def test_one_cut_is_noticed_on_no_page(judged: Administrator, name: str) -> None:
    whole = [kind for kind, _ in contents(draw(name))]
    for passed in range(60):
        judged.to_pass, judged.to_cut, judged.cut = passed, 1, 0
        page = draw(name)
        if not judged.cut:
            break
        assert [kind for kind, _ in contents(page)] == whole, (name, passed)
    judged.to_cut = 0
    assert passed > 0 and not judged.cut, "every transaction of the page had its turn"


def test_a_deed_that_is_cut_says_so_where_it_was_done_and_is_done_once(
    judged: Administrator,
) -> None:
    with reading(judged.engine) as rows:
        task_id = rows.exec(select(Judgment.task_id)).first()
    page = draw("review", **{CHOSEN: task_id})
    keep = next(each for each in page.button if each.label == "Keep as it is")
    judged.to_cut = 1
    page = keep.click().run()
    assert judged.cut == 1 and not page.exception, page.exception
    assert any("may not be stored" in each.value for each in page.warning)
    with reading(judged.engine) as rows:
        assert rows.exec(select(Review)).all() == []
    keep = next(each for each in page.button if each.label == "Keep as it is")
    page = keep.click().run()
    assert not page.exception and not any("stored" in each.value for each in page.warning)
    with reading(judged.engine) as rows:
        assert len(rows.exec(select(Review)).all()) == 1
