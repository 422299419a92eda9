"""Guidelines, known answers and settings, as leads and annotators have them."""

import pytest
from pydantic.fields import FieldInfo
from sqlmodel import select
from streamlit.testing.v1 import AppTest

from labeling.labeling_settings import LabelingSettings, change_labeling, labeling_settings
from labeling.quality_control.guidelines import guidelines_in_force, publish_guidelines
from labeling.quality_control.known_answers import make_gold
from storage.engine import reading, writing
from storage.tables import Account, KnownAnswer, Project, Role, Task, TaskKind
from tests.ui.conftest import Home
from tests.ui.test_views import judge, open_page
from ui import process, session
from ui.languages import words_for
from ui.plain_text import plain
from ui.setting_words import FIELDS, SECTIONS


@pytest.fixture
def lead(home: Home, monkeypatch: pytest.MonkeyPatch) -> Account:
    process.configure(home.settings)
    account = home.account("lena", Role.LEAD)
    monkeypatch.setattr(session, "current_account", lambda: account)
    monkeypatch.setattr(session, "words", lambda: words_for(None, None))
    return account


@pytest.fixture
def annotator(lead: Account, home: Home, monkeypatch: pytest.MonkeyPatch) -> Account:
    account = home.account("ann")
    monkeypatch.setattr(session, "current_account", lambda: account)
    return account


def settings_of(home: Home) -> LabelingSettings:
    with reading(home.engine) as rows:
        return labeling_settings(rows.get_one(Project, home.project_id))


def press(page: AppTest, label: str) -> AppTest:
    (button,) = [each for each in page.button if each.label == label]
    page = button.click().run()
    assert not page.exception, page.exception
    return page


def save(page: AppTest, section: str) -> AppTest:
    place = list(LabelingSettings.model_fields).index(section)
    page = [each for each in page.button if each.label == "Save"][place].click().run()
    assert not page.exception, page.exception
    return page


def test_every_setting_has_words() -> None:
    fields: dict[str, FieldInfo] = LabelingSettings.model_fields
    named = {
        f"{section}.{field}"
        for section, info in fields.items()
        for field in info.annotation.model_fields  # type: ignore[union-attr]
    }
    assert named == set(FIELDS) and set(fields) == set(SECTIONS)


def test_a_setting_is_saved_and_the_others_stay(lead: Account, home: Home) -> None:
    page = open_page("labeling_settings")
    by_label = {each.label: each for each in page.number_input}
    assert by_label["Gold tasks, %"].value == 5.0
    by_label["Gold tasks, %"].set_value(12.5)
    page = save(page, "gold")
    found = settings_of(home)
    assert found.gold.rate == 0.125
    assert found == LabelingSettings(gold=found.gold)
    assert {each.label: each.value for each in page.number_input}["Gold tasks, %"] == 12.5
    page = save(page, "gold")
    assert page.info[0].value == "Nothing is changed here."


def test_a_cap_can_be_set_and_taken_away(lead: Account, home: Home) -> None:
    for value, cap in ((200, 200), (0, None)):
        page = open_page("labeling_settings")
        label = "Most judgments of one annotator"
        {each.label: each for each in page.number_input}[label].set_value(value)
        save(page, "assignment")
        assert settings_of(home).assignment.most_judgments == cap


def test_a_ready_set_takes_the_place_of_the_criteria(lead: Account, home: Home) -> None:
    page = open_page("labeling_settings")
    page.selectbox[0].select("helpful, honest, harmless")
    press(page, "Use it")
    names = [each.name for each in settings_of(home).page.criteria]
    assert names == ["helpful", "honest", "harmless"]


def test_what_does_not_fit_is_said_and_not_saved(lead: Account, home: Home) -> None:
    page = open_page("labeling_settings")
    {each.label: each for each in page.text_area}["Flags"].set_value("x" * 101)
    page = save(page, "page")
    assert "labeling" in page.error[0].value and settings_of(home) == LabelingSettings()
    assert page.error[0].value.startswith(plain("Flags, number 1: The setting"))


def test_a_flag_that_is_given_twice_is_offered_once(lead: Account, home: Home) -> None:
    page = open_page("labeling_settings")
    {each.label: each for each in page.text_area}["Flags"].set_value("unsafe\nother\n unsafe")
    save(page, "page")
    assert settings_of(home).page.flags == ("unsafe", "other")


def test_annotators_have_no_settings(annotator: Account, home: Home) -> None:
    with pytest.raises(AssertionError, match="may not"):
        open_page("labeling_settings")


def test_a_lead_publishes_guidelines(lead: Account, home: Home) -> None:
    page = open_page("guidelines")
    page.text_area[0].set_value("# Be kind\n![x](http://attack.invalid/a.png)").run()
    page.text_input[0].set_value("first").run()
    page = press(page, "Publish")
    with reading(home.engine) as rows:
        found = guidelines_in_force(rows, project_id=home.project_id)
    assert found is not None and (found.version, found.note) == (1, "first")
    assert all("![x]" not in each.value for each in page.markdown)


def test_an_annotator_reads_before_the_next_task(annotator: Account, home: Home) -> None:
    def ask() -> None:
        import streamlit as st

        from ui import session
        from ui.views import guidelines

        if not guidelines.ask_to_read(session.require_account(), session.words()):
            st.text("the task")

    for text in ("Be kind.", "Be brief."):
        with writing(home.engine) as rows:
            project = rows.get_one(Project, home.project_id)
            publish_guidelines(rows, project=project, by=None, text=text)
        page = AppTest.from_function(ask, default_timeout=60).run()
        assert not page.exception and text in [each.value for each in page.markdown]
        page = press(page, "I have read them")
        assert [each.value for each in page.text] == ["the task"]
    assert page.code == [] or "-Be kind." not in page.code[0].value


def add_known(home: Home, by: Account, kind: TaskKind) -> None:
    with writing(home.engine) as rows:
        task_id = rows.exec(select(Task.id).where(Task.kind == TaskKind.ORDINARY)).first() or 0
        make_gold(rows, task_id=task_id, ranks=[1, 2, 3, 4], by=by, kind=kind)


def test_leads_see_known_answers_and_people(lead: Account, home: Home) -> None:
    assert "none yet" in open_page("qualification").info[0].value
    with writing(home.engine) as rows:
        project = rows.get_one(Project, home.project_id)
        change_labeling(rows, project=project, by=None, section="gold", values={"rate": 1.0})
    add_known(home, lead, TaskKind.GOLD)
    judge(home, 4)
    page = open_page("qualification")
    tasks, people = (each.value for each in page.dataframe)
    assert list(tasks["Set"]) == ["gold"] and list(tasks["Answers"]) == [2]
    assert list(people["gold_tasks"]) == [1, 1] and 0 <= people["gold"][0] <= 1
    page = press(page, "Let through")
    page = press(page, "Withdraw it")
    assert "none yet" in page.info[0].value
    people = page.dataframe[0].value
    assert "waved through" in list(people["qualification"])


def test_an_annotator_sees_where_they_stand(annotator: Account, lead: Account, home: Home) -> None:
    add_known(home, lead, TaskKind.QUALIFICATION)
    page = open_page("qualification")
    assert page.title[0].value == "Qualification"
    assert "One task comes before real work" in page.text[0].value
    assert len(page.dataframe) == 0


def test_a_known_answer_is_made_of_the_task_at_hand(lead: Account, home: Home) -> None:
    def review(task_id: int) -> None:
        from ui.review.known_answer_offer import offer

        offer(task_id, lambda: [2, 1, 1, 3])

    with reading(home.engine) as rows:
        task_id = rows.exec(select(Task.id)).first() or 0
    page = AppTest.from_function(review, args=(task_id,), default_timeout=60).run()
    page.text_area[0].set_value("The second is right.")
    press(page, "Make it one")
    with reading(home.engine) as rows:
        (known,) = rows.exec(select(KnownAnswer)).all()
        made = rows.get_one(Task, known.task_id)
    assert (known.ranks, known.explanation) == ([2, 1, 1, 3], "The second is right.")
    assert (made.kind, made.repeats_id) == (TaskKind.GOLD, task_id)
