"""The server as a stranger and as an account meet it, over real HTTP."""

import http.client
import json
import subprocess
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psutil
import pytest

from tests.ui.conftest import (
    PASSWORD,
    Home,
    Server,
    command,
    environment,
    free_port,
    running_server,
)
from ui.cookie import COOKIE
from ui.web.nothing_here import static_paths

Answer = tuple[int, dict[str, str], str]


def ask(
    server: Server, method: str, path: str, fields: dict[str, str] | None = None, **headers: str
) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    body = urlencode(fields) if fields is not None else None
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Accept": "text/html", **sent})
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def sign_in(server: Server, name: str, password: str = PASSWORD, **more: str) -> Answer:
    return ask(server, "POST", "/login", {"name": name, "password": password, **more})


@pytest.fixture(scope="module")
def cookie(server: Server, module_home: Home) -> str:
    module_home.account("vera")
    _, headers, _ = sign_in(server, "vera")
    return headers["set-cookie"].split(";")[0]


def test_the_first_page_comes_within_five_seconds_and_without_torch(server: Server) -> None:
    assert server.seconds_to_first_page < 5
    mapped = {Path(each.path).name for each in psutil.Process(server.process.pid).memory_maps()}
    assert any("sqlite" in name for name in mapped), "the maps cannot be read"
    assert not any("torch" in name for name in mapped)


def test_a_stranger_is_sent_to_the_sign_in_page(server: Server) -> None:
    status, headers, _ = ask(server, "GET", "/rounds?x=1")
    assert status == 303
    assert headers["location"] == "/login?next=%2Frounds%3Fx%3D1"


@pytest.mark.parametrize("path", ["/media/abc.png", "/_stcore/upload_file/a/b", "/_stcore/metrics"])
def test_a_stranger_gets_nothing_else(server: Server, path: str) -> None:
    assert ask(server, "GET", path, Accept="*/*")[0] == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/logout", 405), ("HEAD", "/logout", 405), ("DELETE", "/login", 405),
        ("PUT", "/join", 405), ("POST", "/healthz", 405), ("POST", "/metrics", 405),
        ("GET", "/oidc/login", 404), ("GET", "/oidc/begin", 404), ("GET", "/oidc/callback", 404),
        ("GET", "/favicon.ico", 404), ("GET", "/static/nonexistent.js", 404),
        ("GET", "/static/", 404), ("GET", "/static/js", 404), ("GET", "/static/rounds", 404),
        ("GET", "/static/js/..%2f..%2fnonexistent", 404), ("GET", "/api/v1/nonexistent", 404),
        ("GET", "/_stcore/healthy", 303), ("GET", "/_stcore/host-configuration", 303),
    ],
)  # fmt: skip
def test_no_public_address_shows_a_stranger_the_page(
    server: Server, method: str, path: str, status: int
) -> None:
    found, headers, text = ask(server, method, path)
    assert found == status
    assert "<html" not in text and "set-cookie" not in headers
    if found == 405:
        assert method not in headers["allow"].split(", ")


@pytest.mark.parametrize(
    "path", ["/favicon.png", "/manifest.json", "/_stcore/health", "/_stcore/host-config"]
)
def test_what_streamlit_has_for_everybody_is_there(server: Server, path: str) -> None:
    status, _, text = ask(server, "GET", path, Accept="*/*")
    assert status == 200 and "<html" not in text


def test_every_file_of_streamlits_folder_is_there(server: Server) -> None:
    kinds = {Path(path).suffix: path for path in static_paths()}
    assert {".js", ".css", ".woff2"} <= set(kinds)
    for path in kinds.values():
        status, _, text = ask(server, "GET", path, Accept="*/*")
        assert status == 200 and "<html" not in text, path


def test_who_is_signed_in_gets_the_page_at_every_address_of_one(
    server: Server, cookie: str
) -> None:
    for path in ("/", "/rounds", "/rank", "/account"):
        status, _, text = ask(server, "GET", path, Cookie=cookie)
        assert status == 200 and "Streamlit" in text
    assert ask(server, "GET", "/logout", Cookie=cookie)[0] == 405


def test_the_first_page_leads_to_the_sign_in_page_whoever_asks(server: Server) -> None:
    status, headers, _ = ask(server, "GET", "/", Accept="*/*")
    assert (status, headers["location"]) == (303, "/login?next=%2F")


def test_a_websocket_without_a_cookie_is_refused(server: Server) -> None:
    status, _, _ = ask(
        server, "GET", "/_stcore/stream", Connection="Upgrade", Upgrade="websocket",
        Sec_WebSocket_Version="13", Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    assert status == 403


def test_signing_in_sets_a_guarded_cookie_and_goes_on(server: Server, module_home: Home) -> None:
    module_home.account("ida")
    status, headers, _ = sign_in(server, "ida", next="/rounds")
    assert (status, headers["location"]) == (303, "/rounds")
    name, *attributes = headers["set-cookie"].split("; ")
    assert name.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(attributes)


def test_no_way_out_of_the_server_by_next(server: Server, module_home: Home) -> None:
    module_home.account("olga")
    for target in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        assert sign_in(server, "olga", next=target)[1]["location"] == "/"


def test_a_wrong_password_and_a_wrong_name_say_the_same(server: Server, module_home: Home) -> None:
    module_home.account("carl")
    answers = [sign_in(server, name, "not this one") for name in ("carl", "nobody")]
    assert [status for status, _, _ in answers] == [401, 401]
    assert all("Name and password do not fit." in text for _, _, text in answers)
    assert not any("set-cookie" in headers for _, headers, _ in answers)


def test_guessing_is_slowed_down(server: Server, module_home: Home) -> None:
    module_home.account("gina")
    statuses = [sign_in(server, "gina", f"guess number {n}")[0] for n in range(6)]
    assert statuses == [401] * 5 + [429]
    assert sign_in(server, "gina")[0] == 429


def test_what_was_typed_comes_back_as_text(server: Server) -> None:
    text = sign_in(server, '"><script>alert(1)</script>', "x", next='/"onload="x')[2]
    assert "<script" not in text
    assert 'onload="x' not in text


def test_a_form_of_another_site_is_refused(server: Server, module_home: Home) -> None:
    module_home.account("emil")
    fields = {"name": "emil", "password": PASSWORD}
    for origin in ("https://evil.example", "null"):
        assert ask(server, "POST", "/login", fields, Origin=origin)[0] == 403
    assert ask(server, "POST", "/login", fields, Origin=server.url)[0] == 303


def test_a_signed_in_page_has_security_headers(server: Server, cookie: str) -> None:
    status, headers, text = ask(server, "GET", "/", Cookie=cookie)
    assert status == 200
    assert "Streamlit" in text
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "img-src 'self' data: blob:;" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_signing_out_ends_the_token(server: Server, module_home: Home) -> None:
    module_home.account("otto")
    own = sign_in(server, "otto")[1]["set-cookie"].split(";")[0]
    assert ask(server, "POST", "/logout", {}, Cookie=own, Origin="https://evil.example")[0] == 403
    assert ask(server, "GET", "/", Cookie=own)[0] == 200
    status, headers, _ = ask(server, "POST", "/logout", {}, Cookie=own, Origin=server.url)
    assert (status, headers["location"]) == (303, "/login")
    assert ask(server, "GET", "/", Cookie=own)[0] == 303


def test_a_forged_cookie_is_worth_nothing(server: Server) -> None:
    assert ask(server, "GET", "/", Cookie=f"{COOKIE}=forged")[0] == 303


def test_healthz_answers_strangers(server: Server) -> None:
    status, _, text = ask(server, "GET", "/healthz")
    assert (status, json.loads(text)) == (200, {"ok": True})


def test_a_taken_port_is_one_sentence(server: Server, module_home: Home) -> None:
    done = subprocess.run(
        command("--home", str(module_home.path), "serve"),
        env=environment(RANKLOOP_PORT=str(urlsplit(server.url).port)),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is taken by another program" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_home_without_database_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        command("--home", str(tmp_path / "none"), "serve"),
        env=environment(RANKLOOP_PORT=str(free_port())),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"run `rankloop --home {tmp_path / 'none'} init`" in done.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_an_idle_connection_is_kept_as_long_as_the_setting_says(
    server: Server, module_home: Home
) -> None:
    with running_server(module_home.path, RANKLOOP_KEEP_ALIVE_SECONDS="1") as hasty:
        kept, closed = (
            http.client.HTTPConnection(urlsplit(each.url).netloc, timeout=20)
            for each in (server, hasty)
        )
        for connection in (kept, closed):
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
        # Longer than uvicorn keeps one where nobody tells it how long.
        time.sleep(6)
        first = kept.sock
        kept.request("GET", "/healthz")
        assert kept.getresponse().read() and kept.sock is first
        assert closed.sock.recv(1) == b""
        kept.close()
        closed.close()
