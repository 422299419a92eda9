"""The pages of withdrawals and webhooks, run by Streamlit's AppTest."""

import pytest
from sqlmodel import select

from storage.engine import reading
from storage.tables import Account, Webhook, Withdrawal
from tests.labeling.webhooks.receiver import SECRET, VARIABLE, receiving
from tests.ui.conftest import Home
from tests.ui.test_views import judge, lead, open_page
from ui import process

__all__ = ["lead"]


def test_a_lead_sees_what_it_touches_before_withdrawing_and_reverts(
    home: Home,
    lead: Account,
) -> None:
    judge(home)
    page = open_page("withdrawals")
    assert page.button[0].disabled
    page.selectbox(key="withdraw annotator").select_index(0).run()
    page.button[0].click().run()
    shown = " ".join(each.value for each in page.text)
    assert "no longer count" in shown
    assert "No snapshot, round, policy or export has used them." in shown
    deed = next(each for each in page.button if each.label == "Withdraw")
    deed.click().run()
    assert "Give a reason" in page.error[0].value
    page.text_input(key="unsaved-withdrawal").input("guessed")
    next(each for each in page.button if each.label == "Withdraw").click().run()
    assert not page.exception
    assert "Withdrawn, as number 1" in page.success[0].value
    page.text_input(key="unsaved-revert-1").input("it was another")
    page.button(key="revert 1 now").click().run()
    with reading(home.engine) as session:
        (row,) = session.exec(select(Withdrawal)).all()
    assert (row.reason, row.by_id, row.reverted_reason) == ("guessed", lead.id, "it was another")
    assert any("Reverted by lena" in each.value for each in page.caption)


def test_a_webhook_is_added_tested_and_removed(
    home: Home,
    lead: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    process.configure(home.settings.model_copy(update={"webhook_private_addresses": True}))
    page = open_page("webhooks")
    with receiving() as receiver:
        page.text_input(key="webhook url").input(receiver.url)
        page.multiselect(key="webhook kinds").select("alarm.raised")
        page.text_input(key="webhook secret").input(VARIABLE)
        next(each for each in page.button if each.label == "Add").click().run()
        assert "Webhook 1 is told from now on" in page.success[0].value
        page.button(key="test 1").click().run()
        assert "took the test message" in page.success[0].value
        assert len(receiver.got) == 1
    assert list(page.dataframe[0].value["kind"]) == ["webhook.tested"]
    page.button(key="remove 1").click().run()
    assert not page.exception
    with reading(home.engine) as session:
        assert session.exec(select(Webhook)).all() == []
