"""My judgments, run by Streamlit's AppTest: pages of ten, newest first, nothing of others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from labeling.judging.criteria import READY_SETS
from labeling.judging.judgments import submit_judgment
from labeling.labeling_sections import Criterion
from labeling.labeling_settings import change_labeling
from labeling.projects import get_project
from labeling.simulated.simulation import simulate
from labeling.work_queue.assignment import next_assignment
from storage.engine import reading, writing
from storage.tables import Account, Project, Role
from tests.ui.conftest import Home, make_home
from ui import process, session
from ui.languages import words_for


def open_history() -> AppTest:
    def script() -> None:
        from ui.views import history

        history.show()

    page = AppTest.from_function(script, default_timeout=60).run()
    assert not page.exception, page.exception
    return page


@pytest.fixture
def many(tmp_path: Path, sqlite_template: Path) -> Iterator[Home]:
    home = make_home(tmp_path / "many", sqlite_template, tasks=12)
    yield home
    home.engine.dispose()


def sign_in(home: Home, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    process.configure(home.settings)
    monkeypatch.setattr(session, "current_account", lambda: account)
    monkeypatch.setattr(session, "words", lambda: words_for(None, None))


def test_it_is_empty_before_the_first_judgment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(home, home.account("ann"), monkeypatch)
    assert "Nothing yet" in open_history().info[0].value


def test_what_was_answered_is_said_in_the_annotators_language(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = home.account("ann")
    sign_in(home, account, monkeypatch)
    monkeypatch.setattr(session, "words", lambda: words_for(None, "zh"))
    me = account.id or 0
    own = Criterion(name="polite", kind="check")
    with writing(home.engine) as rows:
        project = rows.get_one(Project, home.project_id)
        criteria = [*READY_SETS["helpful, honest, harmless"], own]
        change_labeling(
            rows, project=project, by=None, section="page",
            values={"criteria": [each.model_dump() for each in criteria]},
        )  # fmt: skip
        lent = next_assignment(rows, project_id=home.project_id, annotator_id=me, minutes=5)
        assert lent is not None
        submit_judgment(
            rows, assignment_id=lent.assignment_id, annotator_id=me, ranks=[1, 2, 3, 4],
            milliseconds=1, nonce="0123456789", flags=["unsafe"],
            likert={"helpful": [7, None, None, None]}, checks={"polite": [True, None, None, None]},
        )  # fmt: skip
    said = [each.value for each in open_history().text]
    assert any(each.startswith("有帮助: ") for each in said)
    assert any(each.startswith("polite: ") and "是" in each for each in said)
    assert "标记: 不安全" in said


def test_ten_on_a_page_newest_first(many: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with reading(many.engine) as rows:
        project = get_project(rows, name="default")
    simulate(
        many.engine, project=project, annotators=1, judgments=12, noise=0.0,
        preference="shorter", seed=1, minutes=5, fill_pool=lambda: 0,
    )  # fmt: skip
    with reading(many.engine) as rows:
        annotator = rows.get_one(Account, many.judgments("sim-1")[0].annotator_id)
    sign_in(many, annotator, monkeypatch)
    page = open_history()
    questions = [each.value for each in page.text if each.value.startswith("Question")]
    assert questions[0].startswith("Question 11?")
    assert [each.label for each in page.button].count("Correct") == 10
    (older,) = [each for each in page.button if each.label == "Older"]
    older.click().run()
    assert [each.label for each in page.button] == ["Correct", "Correct", "Newest"]
    sign_in(many, many.account("bob", Role.ANNOTATOR), monkeypatch)
    assert "Nothing yet" in open_history().info[0].value
