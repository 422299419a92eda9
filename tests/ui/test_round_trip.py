"""Shown, given, stored and exported are one ranking, for every way of giving it.

The left side of each comparison is read off the screen: the texts in the order in which they stand
there, and the ranks that a person sees on them.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from sqlmodel import select

from labeling.datasets.export_preferences import export_preferences
from labeling.imports.prompts import content_sha256
from labeling.policies import create_first_policy
from labeling.projects import create_project, get_project
from labeling.work_queue.tasks import NewCompletion, add_task
from storage.engine import build_engine, reading, writing
from storage.settings import load_settings
from storage.tables import Completion, Judgment, Prompt, Split, TaskCompletion
from tests.ui.conftest import Home, Server, running_server
from tests.ui.ranking.ranking_page import PATIENCE_MS, open_task, submit_and_wait
from tests.ui.ranking.ranking_stage import PHONE, WIDE, Stage
from tests.ui.ranking.test_rank_inputs import by_steps, drag, mixed, tap_steps, touch_drag

COUNTS = (9, 4, 2)
Pairs = set[tuple[str, str]]


@pytest.fixture(scope="module")
def counted_home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Home]:
    """Make a home whose tasks have 9, 4 and 2 completions, in this order, and one more."""
    settings = load_settings(home=tmp_path_factory.mktemp("counted"))
    shutil.copyfile(sqlite_template, settings.home / "rankloop.db")
    engine = build_engine(settings.url)
    with writing(engine) as session:
        project = create_project(session, name="default", settings=settings)
        project.overlap = 20
        assert project.id is not None
        policy = create_first_policy(
            session, project_id=project.id, name="tiny", checkpoint_uri="models/tiny"
        )
        for number, count in enumerate([*COUNTS, 4]):
            messages = [{"role": "user", "content": f"Question {number}?"}]
            prompt = Prompt(
                project_id=project.id, messages=messages, split=Split.TRAIN,
                content_sha256=content_sha256(messages),
            )  # fmt: skip
            session.add(prompt)
            session.flush()
            add_task(
                session, project=project, prompt_id=prompt.id or 0, policy_id=policy.id or 0,
                completions=[
                    NewCompletion(f"answer {number}-{position}", {}, 0, "stop", 2)
                    for position in range(count)
                ],
            )  # fmt: skip
        project_id = project.id
    yield Home(settings, engine, project_id)
    engine.dispose()


@pytest.fixture(scope="module")
def counted_server(counted_home: Home) -> Iterator[Server]:
    with running_server(counted_home.path) as running:
        yield running


@pytest.fixture(scope="module")
def wide(browser: Browser) -> Iterator[BrowserContext]:
    yield from context_of(browser, phone=False)


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[BrowserContext]:
    yield from context_of(browser, phone=True)


def context_of(browser: Browser, *, phone: bool) -> Iterator[BrowserContext]:
    made = browser.new_context(
        viewport=PHONE if phone else WIDE,  # type: ignore[arg-type]
        has_touch=phone,
        is_mobile=phone,
    )
    made.set_default_timeout(2 * PATIENCE_MS)
    yield made
    made.close()


# ---- the ways ------------------------------------------------------------------------------------


def number_keys(stage: Stage, ranks: list[int]) -> None:
    stage.press("Shift+A", *map(str, ranks))


def arrow_keys(stage: Stage, ranks: list[int]) -> None:
    by_steps(stage, ranks, "ArrowDown", "t")


def clicks(stage: Stage, ranks: list[int]) -> None:
    for place, rank in enumerate(ranks):
        stage.card(place).locator(f'.rank[data-rank="{rank}"]').click()


def dragging(stage: Stage, ranks: list[int]) -> None:
    for place, rank in enumerate(ranks):
        stage.card(place).scroll_into_view_if_needed()
        drag(stage, place, rank)


def taps(stage: Stage, ranks: list[int]) -> None:
    for place, rank in enumerate(ranks):
        stage.card(place).locator(f'.rank[data-rank="{rank}"]').tap()


def a_finger(stage: Stage, ranks: list[int]) -> None:
    for place, rank in enumerate(ranks):
        stage.card(place).evaluate("card => card.scrollIntoView({ block: 'center' })")
        touch_drag(stage, place, rank)


def step_taps(stage: Stage, ranks: list[int]) -> None:
    tap_steps(stage, ranks)


Way = Callable[[Stage, list[int]], None]


# tests/ui/ranking/test_rank_inputs.py ranks by every way in the quick run, too.
@pytest.mark.parametrize(
    "way",
    [
        number_keys,
        pytest.param(arrow_keys, marks=pytest.mark.slow),
        pytest.param(clicks, marks=pytest.mark.slow),
        dragging,
        taps,
        pytest.param(step_taps, marks=pytest.mark.slow),
        pytest.param(a_finger, marks=pytest.mark.slow),
    ],
)
def test_one_ranking_from_the_screen_to_the_export(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    counted_home: Home,
    counted_server: Server,
    way: Way,
) -> None:
    context = request.getfixturevalue("phone" if way in (taps, step_taps, a_finger) else "wide")
    context.clear_cookies()
    counted_home.account(way.__name__)
    page = open_task(context.new_page(), counted_server, way.__name__)
    seen = []
    for count in COUNTS:
        stage = Stage(page)
        assert page.locator(".card").count() == count
        way(stage, mixed(count))
        texts, ranks = on_screen(page)
        assert ranks == mixed(count), "what was done is what is seen"
        seen.append(pairs(texts, ranks))
        submit_and_wait(page, lambda: page.locator(".submit").click())
    page.close()
    judgments = counted_home.judgments(way.__name__)
    assert [stored_pairs(counted_home, judgment) for judgment in judgments] == seen
    assert [tied_or_first(judgment.ranks) for judgment in judgments] == [True, True, True]
    exported = exported_pairs(counted_home, tmp_path / "exported")
    assert [exported[judgment.id or 0] for judgment in judgments] == seen


def on_screen(page: Page) -> tuple[list[str], list[int]]:
    """Return the texts in the order in which they stand on the page, and the ranks seen on them.

    The ranks are read twice: the pressed numbers on the cards, and the lanes of the rail.
    """
    cards = page.locator(".card")
    boxes = [cards.nth(place).bounding_box() or {} for place in range(cards.count())]
    order = sorted(range(len(boxes)), key=lambda place: (boxes[place]["y"], boxes[place]["x"]))
    assert order == list(range(len(boxes))), "cards stand in the order of their letters"
    texts = [cards.nth(place).locator(".text").inner_text() for place in order]
    letters = [cards.nth(place).locator(".handle .letter").inner_text() for place in order]
    pressed = [
        int(cards.nth(place).locator('.rank[aria-pressed="true"]').inner_text()) for place in order
    ]
    lanes = page.locator(".lane")
    chips = [lanes.nth(index).locator(".chip").all_inner_texts() for index in range(lanes.count())]
    ranks = {letter: index + 1 for index, lane in enumerate(chips) for letter in lane}
    assert [ranks[letter] for letter in letters] == pressed
    return texts, pressed


def pairs(texts: list[str], ranks: list[int]) -> Pairs:
    """Return (better, worse) for every two texts of different rank."""
    found = set()
    for one, other in combinations(range(len(texts)), 2):
        if ranks[one] != ranks[other]:
            better, worse = (one, other) if ranks[one] < ranks[other] else (other, one)
            found.add((texts[better], texts[worse]))
    return found


def stored_pairs(home: Home, judgment: Judgment) -> Pairs:
    with reading(home.engine) as session:
        texts = session.exec(
            select(Completion.text)
            .join(TaskCompletion)
            .where(TaskCompletion.task_id == judgment.task_id)
            .order_by(TaskCompletion.position)  # type: ignore[arg-type]
        ).all()
    return pairs(list(texts), judgment.ranks)


def tied_or_first(ranks: list[int]) -> bool:
    return min(ranks) == 1 and set(ranks) == set(range(1, max(ranks) + 1))


def exported_pairs(home: Home, out: Path) -> dict[int, Pairs]:
    with reading(home.engine) as session:
        project = get_project(session, name="default")
    export_preferences(
        home.engine,
        project=project,
        account=None,
        home=home.path,
        out=out,
        validation_share=0.0,
    )
    found: dict[int, Pairs] = {}
    for line in (out / "train.jsonl").read_text().splitlines():
        row = json.loads(line)
        pair = (row["chosen"][0]["content"], row["rejected"][0]["content"])
        found.setdefault(row["judgment_id"], set()).add(pair)
    return found
