"""The whole loop before one annotator's eyes: rank, the model learns, its new completions come."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import col, select

from labeling.imports.prompts import import_prompts, staged_prompts
from labeling.labeling_settings import change_labeling
from labeling.policies import create_first_policy
from labeling.projects import create_project
from reward.generation.pool import fill_pool
from storage.engine import build_engine, reading, writing
from storage.tables import Account, Assignment, Policy, Snapshot, Task
from tests.reward.conftest import TRAINING, tiny_settings
from tests.tiny_model import make_tiny_model
from tests.ui.conftest import Home, command, environment, running_server
from tests.ui.ranking.ranking_page import (
    PATIENCE_MS,
    cards,
    drag,
    open_task,
    press,
    shown,
    stored_by_place,
    submit_and_wait,
)

PROMPTS = 60
JUDGMENTS = 30
COMMAND_SECONDS = 120
WORKER = {
    "RANKLOOP_DEVICE": "cpu",
    "RANKLOOP_THREADS": "1",
    "RANKLOOP_POOL_TASKS": "4",
    "RANKLOOP_JUDGMENTS_PER_ROUND": str(JUDGMENTS),
    "RANKLOOP_TRAINING": json.dumps(TRAINING),
}


@pytest.fixture
def tiny_home(tmp_path: Path, sqlite_template: Path) -> Iterator[Home]:
    """A home whose policy is the tiny model, with as many tasks as a round needs and a few more."""
    model = make_tiny_model(tmp_path / "model")
    settings = tiny_settings(tmp_path / "home", model)
    settings.home.mkdir()
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(
        "".join(json.dumps({"prompt": f"{n} plus {n}?"}) + "\n" for n in range(PROMPTS))
    )
    shutil.copyfile(sqlite_template, settings.home / "rankloop.db")
    engine = build_engine(settings.url)
    with staged_prompts(prompts) as staged, writing(engine) as session:
        project = create_project(session, name="default", settings=settings)
        assert project.id is not None
        import_prompts(session, project=project, prompts=staged, heldout_share=0.2)
        # No task of a superseded policy is kept: the next task is to be the new one's.
        change_labeling(
            session, project=project, by=None, section="freshness", values={"kept_share": 0.0}
        )
        create_first_policy(session, project_id=project.id, name="tiny", checkpoint_uri=str(model))
    fill_pool(engine, settings, wanted=JUDGMENTS + 4)
    yield Home(settings, engine, project.id)
    engine.dispose()


def rankloop(home: Home, *arguments: str) -> str:
    done = subprocess.run(
        command("--home", str(home.path), *arguments),
        env=environment(**WORKER), capture_output=True, text=True, timeout=COMMAND_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def last_round(home: Home) -> tuple[str, int]:
    """Return the last round's state (with its reason where it published nothing) and judgments."""
    one = json.loads(rankloop(home, "rounds", "--json"))[-1]
    state = one["state"] if one["policy_version"] else f"{one['state']}: {one['reason']}"
    return state, one["judgments"]


def policy_version(home: Home, assignment_id: int) -> int:
    """Return the version of the policy that wrote the completions of a lent task."""
    with reading(home.engine) as session:
        task = session.get_one(Task, session.get_one(Assignment, assignment_id).task_id)
        return session.get_one(Policy, task.policy_id).version


def trained_on(home: Home, name: str) -> int:
    """Return how many of the judgments that the newest round learned from are somebody's."""
    with reading(home.engine) as session:
        snapshot = session.exec(select(Snapshot).order_by(col(Snapshot.id).desc())).first()
        assert snapshot is not None
        rows = pd.read_parquet(home.path / snapshot.uri / "judgments.parquet")
        account = session.exec(select(Account).where(Account.name == name)).one()
    mine = rows[(rows["annotator_id"] == account.id) & (rows["split"] == "train")]
    return len(mine)


def words_of(page: Page) -> str:
    """Return every word on the page, those inside the component's shadow root too."""
    return page.locator("body").inner_text() + page.locator(".ranking").inner_text()


def rank_four_tasks(page: Page) -> list[list[int]]:
    """Rank three tasks by keyboard and one by drag; return the ranks by place."""
    entered = [[2, 1, 3, 4], [4, 3, 2, 1], [1, 2, 2, 3]]
    for ranks in entered:
        press(page, "".join(map(str, ranks)))
        submit_and_wait(page, lambda: page.keyboard.press("Enter"))
    for place, rank in enumerate([3, 1, 2, 1]):
        cards(page).nth(place).scroll_into_view_if_needed()
        drag(page, place, rank)
    expect(page.locator(".words")).to_have_text("B = D > C > A")
    submit_and_wait(page, lambda: page.locator(".submit").click())
    return [*entered, [3, 1, 2, 1]]


def test_the_next_task_carries_the_policy_that_learned(tiny_home: Home, browser: Browser) -> None:
    tiny_home.account("ada")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    with running_server(tiny_home.path) as server:
        page = open_task(context.new_page(), server, "ada")
        entered = rank_four_tasks(page)
        assert stored_by_place(tiny_home, "ada") == entered
        expect(page.locator(".counts")).to_have_text("4 today · 4 in all")
        expect(page.locator(".news")).to_have_count(0)
        at_hand = int(shown(page))

        missing = str(JUDGMENTS - len(entered))
        rankloop(tiny_home, "simulate", "--annotators", "2", "--judgments", missing)
        rankloop(tiny_home, "worker", "--once")
        assert last_round(tiny_home) == ("done", JUDGMENTS)

        assert int(shown(page)) == at_hand, "the task at hand stays"
        assert policy_version(tiny_home, at_hand) == 1
        press(page, "1234")
        submit_and_wait(page, lambda: page.keyboard.press("Enter"))
        cards(page).nth(1).wait_for()
        assert policy_version(tiny_home, int(shown(page))) == 2
        # What held-out prompts were answered with is no training data.
        learned = trained_on(tiny_home, "ada")
        assert learned >= 2
        expect(page.locator(".news")).to_contain_text(
            f"The model has learned from {learned} of your judgments."
        )
        expect(page.locator(".counts")).to_have_text("5 today · 5 in all")
        assert not re.search(r"version|policy|\bv ?2\b", words_of(page), re.IGNORECASE)
    context.close()
