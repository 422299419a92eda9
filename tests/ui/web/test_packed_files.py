"""Streamlit's own files go out packed to who takes it, and are the same when they are unpacked."""

import gzip

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ui.web import packed_files
from ui.web.packed_files import LEAST_BYTES, PackedFiles
from ui.web.script_files import served_files


@pytest.fixture
def client() -> TestClient:
    async def through(_request: object) -> PlainTextResponse:
        return PlainTextResponse("went through")

    routes = [Route("/{path:path}", through, methods=["GET", "POST"])]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(PackedFiles)]))


def largest(kind: str) -> str:
    files = served_files()
    return max(
        (path for path in files if path.endswith(kind)), key=lambda p: files[p].stat().st_size
    )


@pytest.mark.parametrize(("kind", "media"), [(".js", "text/javascript"), (".css", "text/css")])
def test_a_file_is_the_same_and_a_third_of_the_bytes(
    client: TestClient, kind: str, media: str
) -> None:
    path = largest(kind)
    for _ in range(2):
        answer = client.get(path, headers={"accept-encoding": "gzip, deflate, br"})
        assert answer.content == served_files()[path].read_bytes()
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["content-type"].startswith(media)
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["vary"] == "Accept-Encoding"
        assert int(answer.headers["content-length"]) < len(answer.content) / 2.5


def test_a_file_is_packed_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    times = []
    monkeypatch.setattr(
        packed_files, "_packed", lambda file: times.append(file) or gzip.compress(b"x")
    )
    for _ in range(3):
        client.get(largest(".js"), headers={"accept-encoding": "gzip"})
    assert len(times) == 1


def test_all_else_goes_through(client: TestClient) -> None:
    path, packs = largest(".js"), {"accept-encoding": "gzip"}
    small = next(path for path, file in served_files().items() if file.stat().st_size < LEAST_BYTES)
    assert client.get(path, headers={"accept-encoding": "identity"}).text == "went through"
    assert client.get(path, headers=packs | {"range": "bytes=0-9"}).text == "went through"
    assert client.post(path, headers=packs).text == "went through"
    for other in (small, "/static/js/none.js", "/static/js/../../index.html", "/rank/events"):
        assert client.get(other, headers=packs).text == "went through", other
