"""Two replicas behind nginx on one PostgreSQL: one is killed in the midst of a draft."""

import asyncio
import random
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine
from sqlmodel import col, select

from benchmarks.labeling_load import send_draft, submission
from benchmarks.labeling_stage import fill
from benchmarks.page_session import PageLost, PageSession, sign_in
from benchmarks.pages import PASSWORD
from benchmarks.replicas import nginx, nginx_program
from storage.engine import reading
from storage.settings import load_settings
from storage.tables import Assignment, AssignmentState, Judgment
from tests.requirement import missing
from tests.ui.conftest import Server, running_server

pytestmark = pytest.mark.slow


@pytest.fixture
def replicas(postgres_engine: Engine, tmp_path: Path) -> Iterator[list[Server]]:
    url = postgres_engine.url.render_as_string(hide_password=False)
    settings = load_settings(home=tmp_path / "home", database_url=url)
    fill(settings, annotators=4, tasks=20, overlap=2)
    with (
        running_server(tmp_path / "home", RANKLOOP_DATABASE_URL=url) as first,
        running_server(tmp_path / "home", RANKLOOP_DATABASE_URL=url) as second,
    ):
        yield [first, second]


@pytest.fixture
def proxy(replicas: list[Server], tmp_path: Path) -> Iterator[str]:
    """Run nginx with the config that is shipped; only its ports are others."""
    if nginx_program() is None:
        missing("nginx", "install the package nginx")
    tmp_path.chmod(0o755)
    ports = [int(server.url.rpartition(":")[2]) for server in replicas]
    with nginx(ports, tmp_path / "nginx") as url:
        yield url


def get(url: str, **headers: str) -> tuple[int, Message, str]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, ""


def open_pages(server: Server) -> int:
    _, _, text = get(f"{server.url}/metrics")
    found = {each.name: each for each in text_string_to_metric_families(text)}
    return int(found["rankloop_open_pages"].samples[0].value)


def test_a_draft_goes_on_at_the_other_replica(
    replicas: list[Server], proxy: str, postgres_engine: Engine
) -> None:
    asyncio.run(kill_one_mid_draft(replicas, proxy))
    with reading(postgres_engine) as session:
        judgments = session.exec(select(Judgment)).all()
        assignments = session.exec(select(Assignment).order_by(col(Assignment.id))).all()
    assert len(judgments) == 1
    assert judgments[0].assignment_id == assignments[0].id
    assert [each.state for each in assignments] == [
        AssignmentState.SUBMITTED,
        AssignmentState.LEASED,
    ]


async def kill_one_mid_draft(replicas: list[Server], proxy: str) -> None:
    async with aiohttp.ClientSession() as http:
        cookie = await sign_in(http, proxy, "ann-1", PASSWORD)
        async with PageSession(http, proxy, cookie) as page:
            assert page.data is not None
            before = page.data
            await send_draft(page, random.Random(1))
            counts = [open_pages(server) for server in replicas]
            assert sorted(counts) == [0, 1]
            # The page was reloaded here: the same browser stays with the same replica.
            async with PageSession(http, proxy, cookie) as again:
                assert again.data is not None
                draft = again.data["draft"]
                assert draft is not None
                assert [open_pages(server) for server in replicas] == [2 * one for one in counts]
            broken = replicas[counts.index(1)]
            broken.process.send_signal(signal.SIGKILL)
            with pytest.raises(PageLost):
                await page.submit(submission(before, [1, 2, 3, 4], 1000))
        began = time.monotonic()
        async with PageSession(http, proxy, cookie) as moved:
            assert time.monotonic() - began < 30
            assert moved.data is not None
            assert moved.data["assignment"] == before["assignment"]
            assert moved.data["completions"] == before["completions"]
            assert moved.data["draft"] == draft
            await moved.submit(submission(moved.data, [1, 2, 3, 4], 1000))
            assert moved.data is not None
            assert moved.data["assignment"] != before["assignment"]


def test_metrics_are_not_for_the_outside(replicas: list[Server], proxy: str) -> None:
    assert get(f"{proxy}/metrics")[0] == 404
    assert get(f"{replicas[0].url}/metrics")[0] == 200
    status, headers, _ = get(f"{proxy}/login", **{"X-Request-ID": "forged by a browser"})
    assert status == 200
    assert len(headers["x-request-id"]) == 32
