"""The pages other than ranking, run by Streamlit's AppTest, without and with something to show."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from labeling.projects import get_project
from labeling.simulated.simulation import simulate
from storage.clock import now
from storage.engine import reading, writing
from storage.tables import (
    Account,
    GuidelineVersion,
    Role,
    Round,
    RoundPoint,
    RoundState,
    WorkerLease,
)
from tests.ui.conftest import Home
from ui import process, session
from ui.languages import words_for
from ui.plain_text import plain

SECONDS = 60


@pytest.fixture
def lead(home: Home, monkeypatch: pytest.MonkeyPatch) -> Account:
    process.configure(home.settings)
    account = home.account("lena", Role.LEAD)
    monkeypatch.setattr(session, "current_account", lambda: account)
    monkeypatch.setattr(session, "words", lambda: words_for(None, None))
    return account


def judge(home: Home, judgments: int = 8) -> None:
    with reading(home.engine) as rows:
        project = get_project(rows, name="default")
    simulate(
        home.engine, project=project, annotators=2, judgments=judgments, noise=0.1,
        preference="shorter", seed=1, minutes=5, fill_pool=lambda: 0,
    )  # fmt: skip


def open_page(name: str) -> AppTest:
    def script(name: str) -> None:
        from importlib import import_module

        import_module(f"ui.views.{name}").show()

    page = AppTest.from_function(script, args=(name,), default_timeout=SECONDS).run()
    assert not page.exception, page.exception
    return page


def figures(page: AppTest) -> dict[str, str]:
    return {each.label: str(each.value) for each in page.metric}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("overview", "Nothing is judged yet."),
        ("agreement", "Nothing is judged yet."),
        ("annotators", "There is no annotator yet."),
        ("throughput", "Nobody has judged yet."),
        ("judgments_behind", "No judgment fits."),
        ("export", "There are no preferences yet."),
        ("rounds", "The first one starts by itself after 50 more judgments."),
    ],
)
def test_an_empty_page_says_what_comes_next(lead: Account, name: str, advice: str) -> None:
    assert advice in open_page(name).info[0].value


def test_a_first_round_that_waits_for_a_worker_is_not_said_to_want_judgments(
    lead: Account, home: Home
) -> None:
    process.configure(home.settings.model_copy(update={"judgments_per_round": 1}))
    assert "after one more judgment." in open_page("rounds").info[0].value
    judge(home, judgments=1)
    assert "starts by itself while a worker runs" in open_page("rounds").info[0].value


def test_export_writes_a_folder_and_offers_it(lead: Account, home: Home) -> None:
    judge(home)
    page = open_page("export")
    page.button[0].click().run()
    assert not page.exception
    (folder,) = (home.path / "exports").iterdir()
    rows = (folder / "train.jsonl").read_text().splitlines()
    row, command = (each.value for each in page.code)
    assert "rankloop export preferences --format trl_preference" in command
    assert list(json.loads(row))[:3] == ["prompt", "chosen", "rejected"]
    assert plain(str(folder)) in page.success[0].value
    assert f"{len(rows)} train" in page.success[0].value


def test_export_takes_a_snapshot_in_a_chosen_shape(lead: Account, home: Home) -> None:
    judge(home)
    open_page("export").button[0].click().run()
    page = open_page("export")
    page.selectbox[0].set_value("1").run()
    assert figures(page)["Judgments"] == "8"
    page.selectbox[1].set_value("ranking").run()
    page.selectbox[2].set_value("parquet").run()
    page.button[0].click().run()
    assert not page.exception and page.success
    command = "rankloop export preferences --snapshot 1 --format ranking --files parquet"
    row, shown = (each.value for each in page.code)
    assert command in shown and "completions" in json.loads(row)
    names = [path.name for path in (home.path / "exports").glob("ranking-*/*")]
    assert "train.parquet" in names and "README.md" in names


def add_round(home: Home, state: RoundState) -> None:
    with writing(home.engine) as rows:
        one = Round(
            project_id=home.project_id, number=1, state=state, reason="50 new judgments",
            judgments=50, started_at=now() - timedelta(minutes=3),
            metrics={"gate": {"reward_accuracy": 0.61}},
        )  # fmt: skip
        rows.add(one)
        rows.flush()
        assert one.id is not None
        for step in range(1, 5):
            rows.add(
                RoundPoint(
                    round_id=one.id, state=RoundState.PPO, step_index=step, steps=8,
                    metrics={"objective/scores": step / 4, "objective/kl": step * 1.0},
                )
            )  # fmt: skip
        rows.add(
            WorkerLease(
                project_id=home.project_id, owner="host", doing="![x](http://a)",
                expires_at=now() + timedelta(minutes=2),
            )
        )  # fmt: skip


def test_a_running_round_is_shown_with_its_curves(lead: Account, home: Home) -> None:
    add_round(home, RoundState.PPO)
    page = open_page("rounds")
    shown = figures(page)
    assert shown["Live policy"] == "version 1"
    assert shown["Worker"] == "running"
    captions = [each.value for each in page.caption]
    assert {"Policy: mean reward", "Policy: KL to the reference, nats a completion"} <= set(
        captions
    )
    # A word joiner keeps the browser's Markdown from making a link of a bare address.
    text = "\\!\\[x\\]\\(http\u2060\\://a\\)"
    assert text in captions, "what a worker does is text, not Markdown"
    table = page.dataframe[-1].value
    assert list(table["State"]) == ["ppo"]
    assert list(table["Reward accuracy"]) == [0.61]


GATE = [
    {"name": "reward_accuracy", "figure": 0.6123, "bound": 0.5, "passed": True,
     "meaning": "lower bound of the accuracy"},
    {"name": "win_rate", "figure": 0.44, "bound": 0.5, "passed": False,
     "meaning": "lower bound of the win rate"},
    {"name": "kl", "figure": 7.0, "bound": 40.0, "passed": True, "meaning": "nats a completion"},
]  # fmt: skip
SAMPLES = [{"prompt": "Why? ![x](http://a)", "candidate": "**new**", "live": "<b>old</b>"}]


def add_ended_rounds(home: Home) -> None:
    """A round that was published, one that the gate stopped, and one that runs."""
    with writing(home.engine) as rows:
        for number, (state, reason, metrics) in enumerate(
            [
                (RoundState.DONE, "50 new judgments", {"gate": GATE[:1]}),
                (RoundState.REJECTED, "Not published: *", {"gate": GATE, "samples": SAMPLES}),
                (RoundState.PPO, "50 new judgments", {}),
            ],
            start=1,
        ):
            rows.add(
                Round(
                    project_id=home.project_id, number=number, state=state, reason=reason,
                    metrics=metrics,
                )
            )  # fmt: skip


def test_the_latest_ended_round_says_why_and_shows_samples_as_text(
    lead: Account, home: Home
) -> None:
    add_ended_rounds(home)
    page = open_page("rounds")
    assert page.subheader[-1].value == "Round 2: why it was not published"
    checks = page.table[0].value
    assert list(checks["Passed"]) == ["no", "yes", "yes"]
    assert list(checks["Wanted"]) == ["above 0.5", "above 0.5", "at most 40"]
    assert list(checks["Figure"]) == ["0.44", "0.612", "7"]
    shown = [each.value for each in page.text]
    assert shown == ["Not published: *", *SAMPLES[0].values()]
    assert page.expander[0].label == "Held-out prompts answered by both policies (1)"


def test_a_round_shows_its_tasks_and_what_was_not_measured_or_run(
    lead: Account, home: Home
) -> None:
    scored = [
        {"task": task, "policy": policy, "part": task != "mmlu",
         "figures": {"acc": 0.4, "acc_stderr": 0.01, "sample_len": 100}}
        for task in ("mmlu", "mmlu_anatomy") for policy in ("candidate", "live")
    ]  # fmt: skip
    absent = {**GATE[2], "figure": None}
    failed = [{"task": "gsm8k", "reason": "lm-eval is <b>not</b> installed."}]
    metrics = {"gate": [absent], "tasks": scored, "tasks_not_run": failed}
    with writing(home.engine) as rows:
        rows.add(
            Round(project_id=home.project_id, number=1, state=RoundState.DONE, metrics=metrics)
        )
    page = open_page("rounds")
    assert not page.exception
    captions = [each.value for each in page.caption]
    assert "What was not measured stops no version." in captions
    tasks, parts = (table.value for table in page.table[1:])
    assert list(tasks.index) == ["mmlu\\: acc"]
    assert tasks["The one before"].iloc[0] == tasks["This round's"].iloc[0] != "–"
    assert list(parts.index) == ["mmlu\\_anatomy\\: acc"]
    assert [each.label for each in page.expander] == ["Parts of the tasks (1)"]
    said = "Task gsm8k was not run: lm-eval is <b>not</b> installed."
    assert said in [each.value for each in page.text]


def test_an_earlier_round_can_be_chosen(lead: Account, home: Home) -> None:
    add_ended_rounds(home)
    page = open_page("rounds")
    assert page.selectbox[0].options == ["2 (the latest)", "1"]
    page.selectbox[0].select(1).run()
    assert page.subheader[-1].value == "Round 1: why it was published"
    assert len(page.table[0].value) == 1


def test_who_ranks_blind_sees_no_samples(lead: Account, home: Home) -> None:
    add_ended_rounds(home)
    lead.role = Role.ANNOTATOR
    page = open_page("rounds")
    assert len(page.table[0].value) == 3
    assert not page.expander


def test_a_round_can_be_asked_for(lead: Account, home: Home) -> None:
    judge(home, 2)
    page = open_page("rounds")
    page.button[0].click().run()
    assert list(page.dataframe[0].value["Reason"]) == ["requested by lena"]
    page.button[0].click().run()
    assert "has not ended yet" in page.warning[0].value


def test_an_annotator_sees_no_button(lead: Account, home: Home) -> None:
    lead.role = Role.ANNOTATOR
    assert len(open_page("rounds").button) == 0


def test_guidelines(lead: Account, home: Home) -> None:
    assert "1 is best" in open_page("guidelines").markdown[0].value
    with writing(home.engine) as rows:
        text = "Be kind. ![x](http://a/b.png)"
        project = get_project(rows, name="default")
        rows.add(GuidelineVersion(project_id=project.id, version=1, text=text))
    assert open_page("guidelines").markdown[0].value == "Be kind. &#33;[x](http://a/b.png)"


def test_no_folder_is_served_past_the_navigation() -> None:
    import ui

    assert not (Path(ui.__file__).parent / "pages").exists()
