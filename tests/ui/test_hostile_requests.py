"""A real server against requests that no page of it makes; its script and one route always fail."""

import http.client
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.ui.conftest import Home, Server, environment, free_port, wait_for_page
from tests.ui.small_home import small_home
from tests.ui.web.test_server import ask, sign_in
from ui.cookie import COOKIE
from ui.entrance.join import routes as join_routes
from ui.entrance.oidc import routes as oidc_routes
from ui.entrance.sign_in import routes as sign_in_routes

LEAK = "hunter2-in-the-traceback"
# The same server as `rankloop serve`, but for a page and a route that fail.
FAILING = f"""
import sys
from pathlib import Path
from starlette.routing import Route
from ui.entrance import sign_in
from ui.web import server
script = Path(sys.argv[1])
script.write_text("raise RuntimeError({LEAK!r})")
server.SCRIPT = script
ours = sign_in.routes
async def fail(request):
    raise RuntimeError({LEAK!r})
sign_in.routes = lambda: [*ours(), Route("/fails", fail)]
from storage.settings import load_settings
server.serve(load_settings(message_megabytes=0.25), announce=print)
"""
MESSAGE_BYTES = 2**18


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Home]:
    made = small_home(tmp_path_factory.mktemp("home") / "data", sqlite_template)
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def failing(small: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    script = tmp_path_factory.mktemp("script") / "fails.py"
    process = subprocess.Popen(
        [sys.executable, "-c", FAILING, str(script)],
        env=environment(RANKLOOP_PORT=str(port), RANKLOOP_HOME=str(small.path)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_page(url, process)
        yield Server(url, process, 0.0)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def cookie(failing: Server, small: Home) -> str:
    small.account("mallory")
    return sign_in(failing, "mallory")[1]["set-cookie"].split(";")[0]


def rerun() -> bytes:
    message = BackMsg()
    message.rerun_script.query_string = ""
    found: bytes = message.SerializeToString()
    return found


def frames(server: Server, cookie: str, sent: bytes) -> tuple[bytes, int | None]:
    """Return what the page's websocket says until it is done, and the code that closed it."""
    url = server.url.replace("http", "ws") + "/_stcore/stream"
    found = b""
    with connect(url, additional_headers={"Cookie": cookie}, subprotocols=["streamlit"]) as page:  # type: ignore[list-item]
        try:
            page.send(sent)
            while True:
                frame = page.recv(timeout=5)
                assert isinstance(frame, bytes)
                found += frame
                if ForwardMsg.FromString(frame).WhichOneof("type") == "script_finished":
                    break
        except TimeoutError:
            return found, None
        except ConnectionClosed as end:
            return found, end.rcvd.code if end.rcvd else None
    return found, None


def test_a_page_that_fails_shows_no_detail(failing: Server, cookie: str) -> None:
    found, _ = frames(failing, cookie, rerun())
    assert b"error" in found.lower(), "the page says that there was one"
    for secret in (LEAK, "RuntimeError", "Traceback", "site-packages"):
        assert secret.encode() not in found, secret


def test_a_route_that_fails_shows_no_detail(failing: Server, cookie: str) -> None:
    status, headers, text = ask(failing, "GET", "/fails", Cookie=cookie)
    assert (status, text) == (500, "This went wrong; the server's log says where.\n")
    assert headers["x-content-type-options"] == "nosniff"


def test_no_answer_names_the_server(failing: Server, cookie: str) -> None:
    for path in ("/", "/login", "/healthz", "/nothing", "/_stcore/health", "/fails"):
        _, headers, _ = ask(failing, "GET", path, Cookie=cookie)
        assert not {"server", "x-powered-by"} & set(headers), path


def test_a_message_over_the_limit_closes_the_page(failing: Server, cookie: str) -> None:
    url = failing.url.replace("http", "ws") + "/_stcore/stream"
    with connect(
        url,
        additional_headers={"Cookie": cookie},
        subprotocols=["streamlit"],
        compression=None,  # type: ignore[list-item]
    ) as page:
        page.send(b"x" * (MESSAGE_BYTES + 1))
        with pytest.raises(ConnectionClosed) as end:
            while True:
                page.recv(timeout=5)
    assert end.value.rcvd is not None and end.value.rcvd.code == 1009


def test_a_message_that_grows_when_it_is_unpacked_is_refused_too(
    failing: Server, cookie: str
) -> None:
    found, code = frames(failing, cookie, bytes(200 * MESSAGE_BYTES))
    assert code == 1009, found[:100]


def test_a_websocket_of_another_site_is_refused(failing: Server, cookie: str) -> None:
    for origin in ("https://evil.example", "http://localhost:3000", "null"):
        status, _, _ = ask(
            failing, "GET", "/_stcore/stream", Cookie=cookie, Connection="Upgrade",
            Upgrade="websocket", Sec_WebSocket_Version="13", Origin=origin,
            Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        )  # fmt: skip
        assert status == 403, origin


def test_a_forged_cookie_opens_no_page_and_an_ended_one_is_led_on(
    failing: Server, small: Home
) -> None:
    small.account("ended")
    ended = sign_in(failing, "ended")[1]["set-cookie"].split(";")[0]
    assert ask(failing, "POST", "/logout", {}, Cookie=ended)[0] == 303
    statuses = [
        ask(
            failing, "GET", "/_stcore/stream", Cookie=one, Connection="Upgrade",
            Upgrade="websocket", Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        )[0]
        for one in (f"{COOKIE}=forged", f"{COOKIE}=%00", f"{COOKIE}=")
    ]  # fmt: skip
    assert statuses == [403] * 3
    assert frames(failing, ended, rerun())[0], "the page's script says where to go"


STREAMLIT_ROUTES = [
    ("GET", "/_stcore/stream"), ("GET", "/_stcore/metrics"), ("GET", "/_stcore/message"),
    ("PUT", "/_stcore/upload_file/a/b"), ("POST", "/_stcore/upload_file/a/b"),
    ("DELETE", "/_stcore/upload_file/a/b"), ("GET", "/media/abc.png"), ("GET", "/component/a.b/c"),
    ("GET", "/_stcore/bidi-components/a/b.js"), ("GET", "/_stcore/script-health-check"),
    ("GET", "/_stcore/agent/openapi.json"), ("POST", "/_stcore/agent/interact"),
    ("POST", "/_stcore/agent/mcp"), ("GET", "/app/static/x"), ("GET", "/fails"),
    ("GET", "/static/../fails"), ("GET", "/static/%2e%2e/fails"), ("GET", "//fails"),
    ("GET", "/components/ranking-x.js"), ("GET", "/auth/login"), ("GET", "/oauth2callback"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), STREAMLIT_ROUTES)
def test_a_stranger_reaches_none_of_them(failing: Server, method: str, path: str) -> None:
    status, _, text = ask(failing, method, path, Accept="*/*")
    # 404 and 400: nothing is at such an address under /static/, or it is refused as it is.
    assert status == 401 or (path.startswith("/static/") and status in (400, 404)), (status, text)
    assert LEAK not in text


@pytest.mark.parametrize("file", ["../index.html", "..%2f..%2f..%2fetc/passwd", "%2e%2e/x", "\\x"])
def test_no_file_outside_of_the_assets_is_served(failing: Server, cookie: str, file: str) -> None:
    for folder in ("static", "media", "component", "_stcore/bidi-components"):
        status, _, text = ask(failing, "GET", f"/{folder}/{file}", Cookie=cookie, Accept="*/*")
        # An unknown asset is answered with the one page, as any address of the app is.
        assert status in (400, 403, 404) or "<title>Streamlit</title>" in text, (folder, status)


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_every_form_of_ours_refuses_another_site(failing: Server, cookie: str, origin: str) -> None:
    paths = [
        re.sub(r"{[^}]*}", "x", route.path)
        for route in [*sign_in_routes(), *join_routes(), *oidc_routes()]
        if "POST" in (route.methods or ())
    ]
    assert {"/login", "/logout", "/join"} <= set(paths)
    for path in paths:
        for more in ({"Origin": origin}, {"Sec_Fetch_Site": "cross-site"}):
            status, headers, _ = ask(failing, "POST", path, {"name": "x"}, Cookie=cookie, **more)
            assert status == 403, path
            assert "set-cookie" not in headers


def test_the_agent_interface_is_off(failing: Server, cookie: str) -> None:
    for path in ("/_stcore/agent/interact", "/_stcore/agent/mcp"):
        status, _, text = ask(failing, "POST", path, Cookie=cookie)
        assert status >= 400, (path, text)


def test_a_larger_form_and_upload_are_refused_with_the_limit(failing: Server, cookie: str) -> None:
    for path, size, chunked, most in (
        ("/login", 25_000, True, "16 KiB"),
        ("/login", 25_000, False, "16 KiB"),
        ("/_stcore/upload_file/a/b", 2**21, False, "1.0 MiB"),
    ):
        status, said = send(failing, path, size, cookie, chunked)
        assert status == 413, (path, chunked)
        assert said == f"The request is too large; {most} are the most that this server takes."


def send(server: Server, path: str, size: int, cookie: str, chunked: bool) -> tuple[int, str]:
    form = path == "/login"
    kind = "application/x-www-form-urlencoded" if form else "multipart/form-data; boundary=x"
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    connection.putrequest("POST" if form else "PUT", path)
    for name, value in (("Content-Type", kind), ("Cookie", cookie)):
        connection.putheader(name, value)
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    else:
        connection.putheader("Content-Length", str(size))
    connection.endheaders()
    try:
        block = b"x" * 8192
        for _ in range(size // len(block)):
            connection.send(b"2000\r\n" + block + b"\r\n" if chunked else block)
        connection.send(b"0\r\n\r\n" if chunked else b"x" * (size % len(block)))
    except (BrokenPipeError, ConnectionResetError):
        pass  # The answer came before all of it was sent.
    answer = connection.getresponse()
    said = answer.read().decode().strip()
    connection.close()
    return answer.status, said


ELSEWHERE = [
    "https://evil.example/", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil",
    "/\t/evil.example", "/\n/evil.example", "/\x00/evil.example", "javascript:alert(1)",
    "data:text/html,x", "/%0d%0aSet-Cookie:x=1", "/%2f/evil.example", "/%5cevil.example",
    "/\u2028/evil.example", "/\uff0fevil.example", "/\u3002evil.example", "http:evil.example",
    "/login/../logout", " //evil.example", "/ /evil.example", "/..//evil.example",
    "/./\\evil.example", "x" * 5000, "/" + "x" * 5000, "/\u202e/moc.elpmaxe",
]  # fmt: skip


@pytest.mark.parametrize("target", ELSEWHERE)
def test_no_target_after_signing_in_leads_elsewhere(
    failing: Server, cookie: str, target: str
) -> None:
    status, headers, _ = ask(failing, "GET", f"/login?next={quote(target)}", Cookie=cookie)
    assert status == 303
    assert leads_here(headers["location"]), headers["location"]
    assert "set-cookie" not in headers


def leads_here(location: str) -> bool:
    """Say whether a browser stays on this server (WHATWG URL: \\ is /, tabs and lines vanish)."""
    seen = re.sub(r"[\t\r\n]", "", location).replace("\\", "/").strip("\x00 ")
    return seen.startswith("/") and not seen.startswith("//")


def test_a_header_cannot_be_split_nor_a_log_line(failing: Server, cookie: str) -> None:
    raw = (
        b"GET /login?next=%2Frounds%0d%0aX-Injected:%201 HTTP/1.1\r\nHost: x\r\n"
        b"X-Request-ID: a\r\nCookie: " + cookie.encode() + b"\r\nConnection: close\r\n\r\n"
    )
    host, port = urlsplit(failing.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(raw)
        answer = b""
        while block := wire.recv(65536):
            answer += block
    assert b"x-injected" not in answer.split(b"\r\n\r\n")[0].lower()
