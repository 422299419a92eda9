"""A lead's page names the scripts of its charts in its headers; nothing else does."""

import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from ui.charts_ahead import PAGES, ChartsAhead, links
from ui.entrance import fetched_ahead
from ui.script_files import served_files


@pytest.fixture
def client() -> TestClient:
    async def answer(request: Request) -> Response:
        status = int(request.query_params.get("status", "200"))
        kind = PlainTextResponse if "plain" in request.query_params else HTMLResponse
        return kind("<html>", status)

    routes = [Route("/{path:path}", answer, methods=["GET", "POST"])]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(ChartsAhead)]))


def test_the_scripts_are_those_that_charts_and_tables_need_beside_the_first_page() -> None:
    paths = re.findall(r"<([^>]+)>; rel=modulepreload", links())
    assert len(paths) > 4
    assert set(paths) <= set(served_files())
    assert not set(paths) & set(fetched_ahead.paths())
    assert any("VegaLite" in path for path in paths) and any("DataFrame" in path for path in paths)
    assert len(links()) < 1500, "a proxy takes so much beside the other headers"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_with_charts_names_them(client: TestClient, page: str) -> None:
    assert client.get(page).headers["link"] == links()


def test_nothing_else_does(client: TestClient) -> None:
    for other in ("/", "/judgments", "/guidelines", "/agreement/more", "/static/js/index.js"):
        assert "link" not in client.get(other).headers, other
    assert "link" not in client.post("/agreement").headers
    assert "link" not in client.get("/agreement?plain=1").headers
    assert "link" not in client.get("/agreement?status=503").headers
