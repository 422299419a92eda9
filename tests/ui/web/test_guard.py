"""The middleware around every request, on a small app of its own."""

import re
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from ui.cookie import COOKIE
from ui.web.guard import Guard
from ui.web.inline_scripts import hashes_of, page_hashes
from ui.web.limits import AROUND_FILE, FORM_BYTES, Limits

HERE = "http://testserver"
ELSEWHERE = ["https://evil.example", "null", "http://testserver.evil.example", "http://["]
HASH = "'sha256-abc='"


async def _length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def _raise(request: Request) -> PlainTextResponse:
    raise RuntimeError("the password of the database is swordfish")


async def _echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = Starlette(
        routes=[
            Route("/length", _length, methods=["POST", "PUT", "PATCH", "DELETE"]),
            Route("/raise", _raise),
            WebSocketRoute("/page", _echo),
        ],
        middleware=[
            Middleware(Guard, signed_in=lambda token: token == "ours", script_hashes=[HASH]),
            Middleware(Limits, upload_megabytes=0.125),
        ],
    )
    with TestClient(app, HERE, cookies={COOKIE: "ours"}, raise_server_exceptions=False) as made:
        yield made


@pytest.mark.parametrize("origin", ELSEWHERE)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_another_site_sends_is_refused(client: TestClient, method: str, origin: str) -> None:
    answer = client.request(method, "/length", headers={"Origin": origin})
    assert (answer.status_code, answer.text) == (403, "This request came from another site.\n")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_names_no_origin_still_tells_the_site(client: TestClient, site: str) -> None:
    assert client.post("/length", headers={"Sec-Fetch-Site": site}).status_code == 403


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": HERE}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
def test_our_pages_and_programs_may_send(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/length", headers=headers, content="abc").text == "3"


@pytest.mark.parametrize("origin", ELSEWHERE)
def test_a_websocket_of_another_site_is_refused(client: TestClient, origin: str) -> None:
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/page", headers={"Origin": origin}),
    ):
        pass


@pytest.mark.parametrize("headers", [{}, {"Origin": HERE}])
def test_a_websocket_of_our_page_is_taken(client: TestClient, headers: dict[str, str]) -> None:
    with client.websocket_connect("/page", headers=headers) as socket:
        assert socket.receive_text() == "hello"


def test_an_error_tells_nothing_and_has_the_headers(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/raise")
    assert (answer.status_code, answer.text) == (
        500,
        "This went wrong; the server's log says where.\n",
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "swordfish" in caplog.text, "whoever runs the server can see what it was"


def test_no_inline_script_runs_but_the_one_named(client: TestClient) -> None:
    policy = client.post("/length").headers["content-security-policy"]
    (scripts,) = re.findall(r"script-src ([^;]*)", policy)
    assert scripts == f"'self' 'unsafe-eval' blob: {HASH}"
    assert "connect-src 'self';" in policy
    assert "http:" not in policy and "https:" not in policy and "*" not in policy


def test_the_hash_is_of_each_script_without_an_address() -> None:
    page = "<script src=x></script><p>no</p><script>\n a<b && 'x' \n</script><script>1</script>"
    # printf '\n a<b && '"'x'"' \n' | openssl dgst -sha256 -binary | base64
    assert hashes_of(page) == [
        "'sha256-iPl+otxsskLqqtJJp4QGVTvY5XlKsjwVpzMv0Q4PQ5o='",
        "'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s='",
    ]
    assert hashes_of("<p>1</p>") == []
    assert len(page_hashes()) == 1


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("kind", "most", "said"),
    [
        ("application/octet-stream", 2**17 + AROUND_FILE, "144 KiB"),
        ("application/x-www-form-urlencoded", FORM_BYTES, "16 KiB"),
    ],
)
def test_a_larger_body_is_refused_with_the_limit(
    client: TestClient, kind: str, most: int, said: str, chunked: bool
) -> None:
    def sent(size: int) -> bytes | Iterator[bytes]:
        return iter([b"x" * 1000] * (size // 1000) + [b"x" * (size % 1000)])

    for size in (most, most + 1):
        body = sent(size) if chunked else b"x" * size
        answer = client.post("/length", headers={"Content-Type": kind}, content=body)
        if size == most:
            assert answer.text == str(most)
            continue
        assert answer.status_code == 413
        assert answer.text == (
            f"The request is too large; {said} are the most that this server takes.\n"
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
