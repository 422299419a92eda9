"""The leads' pages of figures: what they show, from which judgments, and to whom."""

from typing import Any

import pandas
import pytest
from sqlmodel import select
from streamlit.testing.v1 import AppTest

from labeling.simulated.simulation import simulate
from storage.engine import reading, writing
from storage.tables import Account, Policy, PolicyStatus, Project, Role, Round, RoundState
from tests.ui.conftest import ATTACK, Home
from tests.ui.test_views import figures, open_page
from ui import process, session
from ui.charts.figure_table import csv_of
from ui.charts.shares import share, whole_percents
from ui.languages import words_for


@pytest.fixture(scope="module")
def judged(module_home: Home) -> Home:
    """Eight tasks, each judged by two simulated annotators in 90 seconds."""
    judge(module_home)
    module_home.account("lena", Role.LEAD)
    with writing(module_home.engine) as rows:
        rows.connection().exec_driver_sql("UPDATE judgment SET milliseconds = 90000")
        project = rows.get_one(Project, module_home.project_id)
        project.labeling = {"cost": {"hourly_rate": 20.0, "currency": "EUR"}}
        rows.add(project)
    return module_home


@pytest.fixture
def lead(judged: Home, monkeypatch: pytest.MonkeyPatch) -> Account:
    process.configure(judged.settings)
    with reading(judged.engine) as rows:
        account = rows.exec(select(Account).where(Account.role == Role.LEAD)).one()
    monkeypatch.setattr(session, "current_account", lambda: account)
    monkeypatch.setattr(session, "words", lambda: words_for(None, None))
    return account


def judge(home: Home, judgments: int = 16) -> None:
    """Two simulated annotators judge each task, mostly alike."""
    with reading(home.engine) as rows:
        project = rows.get_one(Project, home.project_id)
    simulate(
        home.engine, project=project, annotators=2, judgments=judgments, noise=0.1,
        preference="shorter", seed=1, minutes=5, fill_pool=lambda: 0,
    )  # fmt: skip


def tables(page: AppTest) -> list[pandas.DataFrame]:
    return [each.value for each in page.dataframe]


def test_the_overview_says_where_the_loop_stands_and_what_is_wrong(
    lead: Account,
) -> None:
    page = open_page("overview")
    shown = figures(page)
    assert shown["Live policy"] == "version 1" and shown["Judgments"] == "16"
    assert shown["Until the next round"] == "34"
    assert float(shown["Krippendorff's alpha"]) > 0.5
    assert any("No worker is running" in each.value for each in page.markdown)


def test_agreement_has_every_measure_and_who_agrees_with_whom(lead: Account) -> None:
    page = open_page("agreement")
    measures, by_version, two, disputed = tables(page)[:4]
    assert len(measures) == 15 and measures["value"].notna().all()
    assert measures["value"].between(measures["low"], measures["high"]).all()
    assert list(by_version["group"]) == ["version 1"] and list(by_version["judgments"]) == [16]
    assert two[["name", "other"]].to_numpy().tolist() == [["sim-1", "sim-2"]]
    assert int(two["n"].iloc[0]) == 8 * 6 and len(disputed) == 8
    alpha = measures.loc[measures["Measure"] == "Krippendorff's alpha, pairs", "value"].iloc[0]
    assert by_version["value"].iloc[0] == pytest.approx(alpha)


def test_annotators_are_shown_with_their_weights_and_biases(lead: Account) -> None:
    page = open_page("annotators")
    reliable, position = tables(page)[:2]
    rows = reliable[reliable["judgments"] > 0]
    assert list(rows["name"]) == ["sim-1", "sim-2"] and list(rows["judgments"]) == [8, 8]
    assert rows["weight"].between(0, 1).all()
    assert (position["first_shown_chance"] == 0.25).all()
    shares = pandas.concat([rows[["ability", "with_others"]].stack(), position["longer_wins"]])
    assert all(share == round(share, 2) for share in shares.dropna()) and shares.notna().any()


def test_throughput_counts_hours_and_costs(lead: Account) -> None:
    page = open_page("throughput")
    shown = figures(page)
    assert shown["Judgments an hour"] == "40" and shown["Active time a task"] == "90.0 s"
    assert shown["Cost"] == "8.00 EUR", "16 judgments of 90 seconds are 0.4 hours"
    by_annotator = tables(page)[1]
    assert list(by_annotator["cost"]) == [4.0, 4.0]


def test_the_judgments_behind_a_figure_are_text(lead: Account) -> None:
    page = open_page("judgments_behind")
    assert "16" in page.markdown[0].value
    (table,) = tables(page)
    assert set(table["Annotator"]) == {"sim-1", "sim-2"} and len(table) == 16
    assert table["Completion B"].str.contains("onerror").all()
    assert any(ATTACK in each.value for each in page.text)
    assert all("onerror" not in each.value for each in page.markdown)


@pytest.mark.parametrize(
    "name", ["overview", "agreement", "annotators", "throughput", "judgments_behind"]
)
def test_annotators_have_no_figures(lead: Account, name: str) -> None:
    lead.role = Role.ANNOTATOR
    with pytest.raises(AssertionError, match="may not"):
        open_page(name)


def add_two_rounds(home: Home) -> None:
    """Versions 2 and 3, each of a round whose evaluation kept an answer to the same prompt."""
    with writing(home.engine) as rows:
        first = rows.exec(select(Policy)).one()
        first.status = PolicyStatus.RETIRED
        rows.add(first)
        rows.flush()
        base = first
        for number, version in ((1, 2), (2, 3)):
            samples = [
                {
                    "prompt": "Why?",
                    "candidate": f"as {version} says",
                    "live": f"as {version - 1} says",
                }
            ]
            one = Round(
                project_id=home.project_id, number=number, state=RoundState.DONE,
                reason="50 new judgments", base_policy_id=base.id,
                metrics={"samples": samples, "policies": [{"policy": "candidate", "kl": version}]},
            )  # fmt: skip
            rows.add(one)
            rows.flush()
            status = PolicyStatus.LIVE if version == 3 else PolicyStatus.RETIRED
            base = Policy(
                project_id=home.project_id, version=version, round_id=one.id, status=status
            )
            rows.add(base)
            rows.flush()


@pytest.fixture
def with_versions(lead: Account, judged: Home) -> Account:
    with reading(judged.engine) as rows:
        known = rows.exec(select(Round)).first()
    if known is None:
        add_two_rounds(judged)
    return lead


def test_two_versions_are_compared_side_by_side(with_versions: Account) -> None:
    page = open_page("rounds")
    said = [each.value for each in page.text]
    assert "as 2 says" in said and "as 3 says" in said
    figures_of_both = page.table[-1].value
    assert list(figures_of_both.columns) == ["Version 2 (round 1)", "Version 3 (round 2)"]
    assert "2\\.0" in figures_of_both.iloc[0, 0] and "3\\.0" in figures_of_both.iloc[0, 1]


def test_who_ranks_blind_learns_of_no_version(with_versions: Account) -> None:
    with_versions.role = Role.ANNOTATOR
    page = open_page("rounds")
    assert set(figures(page)) == {"Until the next round", "Worker"}
    assert "Policy" not in tables(page)[0].columns
    everything: list[Any] = [*page.markdown, *page.text, *page.caption, *page.subheader]
    assert not [each.value for each in everything if "ersion" in each.value]


def test_a_csv_holds_no_formula() -> None:
    table = pandas.DataFrame({"name": ["=cmd|' /C calc'!A0", "-x", "ann"], "value": [-1.5, 2, 3]})
    read = csv_of(table).decode().splitlines()
    assert read == ["name,value", "'=cmd|' /C calc'!A0,-1.5", "'-x,2.0", "ann,3.0"]


def test_shares_are_shown_in_whole_percents_and_exact_in_the_csv() -> None:
    table = pandas.DataFrame({"share": [0.96428, 0.8, None], "n": [0.5, 28.25, 3]})
    columns = {"share": share("Share"), "n": "Number", "gone": share("Not there")}
    shown = whole_percents(table, columns)
    assert list(shown["share"].dropna()) == [0.96, 0.8] and shown["share"].isna().sum() == 1
    assert list(shown["n"]) == [0.5, 28.25, 3] and list(shown) == ["share", "n"]
    assert csv_of(table).decode().splitlines()[1] == "0.96428,0.5"
