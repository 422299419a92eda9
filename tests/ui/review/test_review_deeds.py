"""Where the review page says why something was not done: beside the button, by AppTest."""

import pytest
from streamlit.testing.v1 import AppTest

from labeling.judging.judgments import submit_judgment
from labeling.work_queue.assignment import next_assignment
from storage.engine import writing
from storage.tables import Account, Role
from tests.ui.conftest import Home
from ui import process, session
from ui.languages import words_for


@pytest.fixture
def page(home: Home, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """Open the review page on a task that two annotators judged the other way round."""
    process.configure(home.settings)
    lead = home.account("lena", Role.LEAD)
    monkeypatch.setattr(session, "current_account", lambda: lead)
    monkeypatch.setattr(session, "words", lambda: words_for(None, None))
    for name, ranks in (("ann", [1, 2, 3, 4]), ("bob", [4, 3, 2, 1])):
        judge(home, home.account(name), ranks)

    def script() -> None:
        from ui.views import review

        review.show()

    return AppTest.from_function(script, default_timeout=60).run()


def judge(home: Home, account: Account, ranks: list[int]) -> None:
    me = account.id or 0
    with writing(home.engine) as rows:
        lent = next_assignment(rows, project_id=home.project_id, annotator_id=me, minutes=5)
        assert lent is not None
        submit_judgment(
            rows, assignment_id=lent.assignment_id, annotator_id=me, ranks=ranks,
            milliseconds=9000, nonce=f"nonce-of-{account.name}",
        )  # fmt: skip


def after(page: AppTest, label: str) -> list[str]:
    """Return what the page says between its last button of that label and the next heading."""
    drawn = [(each.type, getattr(each, "label", ""), getattr(each, "value", "")) for each in page]
    last = max(
        at for at, (kind, named, _) in enumerate(drawn) if (kind, named) == ("button", label)
    )
    said = []
    for kind, _, value in drawn[last + 1 :]:
        if kind in ("subheader", "markdown"):
            break
        if kind == "warning":
            said.append(str(value))
    return said


def press(page: AppTest, label: str) -> AppTest:
    found = [each for each in page.button if each.label == label]
    page = found[-1].click().run()
    assert not page.exception, page.exception
    return page


def test_a_refused_decision_is_told_at_its_buttons(page: AppTest) -> None:
    assert after(page, "Withdraw") == []
    page = press(page, "Decide")
    (said,) = after(page, "Make it one")
    assert said.startswith("Give A, B, C, D a rank first")
    page = press(page, "Withdraw")
    (said,) = after(page, "Make it one")
    assert "reason" in said and "rank first" not in said
    # It is gone with the next deed.
    page = press(page, "Use this ranking")
    assert after(page, "Make it one") == []


def test_a_refused_deed_on_a_judgment_is_told_in_its_card(page: AppTest) -> None:
    page = press(page, "Discard it")
    (said,) = after(page, "Discard it")
    assert "reason" in said
    assert after(page, "Make it one") == []
    assert [each.value for each in page.warning].count(said) == 1
