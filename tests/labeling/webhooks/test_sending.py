import socket
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

from labeling.webhooks.addresses import addresses_of, checked_url
from labeling.webhooks.sending import Answer, send
from storage.errors import BadInput
from tests.labeling.webhooks.receiver import Receiver


def post(url: str, *, timeout: float = 5.0, private: bool = True) -> Answer:
    return send(url, body=b"{}", headers={"webhook-id": "1"}, timeout=timeout, private=private)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.9",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "[::1]",
        "[fe80::1]",
        "[fc00::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "2130706433",
        "127.1",
        "0x7f000001",
    ],
)
def test_addresses_of_the_own_network_are_refused(host: str) -> None:
    with pytest.raises(BadInput, match="not of the public internet"):
        checked_url(f"https://{host}/", private=False)
    with pytest.raises(BadInput, match="not of the public internet"):
        addresses_of(checked_url(f"https://{host}/", private=True), private=False)
    answer = post(f"https://{host}/", private=False)
    assert answer.status is None
    assert "WEBHOOK_PRIVATE_ADDRESSES" in answer.error


@pytest.mark.parametrize("host", ["localhost.", "LOCALHOST..", "any.localhost.", "127.0.0.1."])
def test_a_dot_at_the_end_makes_no_other_name(host: str) -> None:
    with pytest.raises(BadInput, match="not of the public internet"):
        checked_url(f"https://{host}/", private=False)


@pytest.mark.parametrize("host", ["93.184.215.14", "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]"])
def test_public_addresses_are_taken(host: str) -> None:
    assert addresses_of(checked_url(f"https://{host}/", private=False), private=False)


def test_one_private_address_of_many_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", (host, 443)) for host in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(BadInput, match=r"10\.0\.0\.1"):
        addresses_of(checked_url("https://example.org/", private=False), private=False)


def test_a_name_is_looked_up_once_so_that_a_second_answer_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    port = int(receiver.url.split(":")[2].split("/")[0])
    asked: list[str] = []

    def rebinding(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        public = len(asked) == 1
        return [(2, 1, 6, "", ("203.0.113.9" if not public else "127.0.0.1", port))]

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **kwargs: (
        rebinding(host) if host == "rebind.example" else real(host, *args, **kwargs)))  # fmt: skip
    assert post(f"http://rebind.example:{port}/").accepted
    assert asked == ["rebind.example"]
    assert receiver.got[0][0]["host"] == f"rebind.example:{port}"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https://user:word@example.org/",
        "https://example.org/#part",
        "https://example.org/a b",
        "https://example.org/\x00",
        "https://example.org/\x1b[2J",
        "https://exam\nple.org/",
        "\x00https://example.org/",
        "https://example.org/\x7f",
        "https://example.org/a\u202eb",
        "https://example.org/" + "x" * 2000,
        "https://example.org:99999/",
        "https://[::1",
        "nothing",
    ],
)
def test_what_is_no_address_of_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        checked_url(url, private=False)


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [302], {"location": receiver.url}
    answer = post(receiver.url)
    assert (answer.status, answer.accepted, len(receiver.got)) == (302, False, 1)


def test_what_the_receiver_says_is_kept_short(receiver: Receiver) -> None:
    def shout(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(500)
        handler.end_headers()
        handler.wfile.write(b"\x00\x1b[31m" + b"x" * 1_000_000)

    receiver.respond = shout
    answer = post(receiver.url)
    assert (answer.status, answer.error) == (500, "[31m" + "x" * 194)


def test_an_answer_that_drips_ends_at_the_deadline(receiver: Receiver) -> None:
    release = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not release.wait(0.1):
            try:
                handler.wfile.write(b"x: y\r\n")
                handler.wfile.flush()
            except OSError:
                return

    receiver.respond = drip
    began = time.monotonic()
    answer = post(receiver.url, timeout=0.5)
    took = time.monotonic() - began
    release.set()
    assert answer.status is None
    assert "no answer within 0.5 seconds" in answer.error
    assert took < 3


def test_nobody_there_is_an_answer_too() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        answer = post(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert answer.status is None
    assert "ConnectionRefused" in answer.error


def test_tls_is_verified(receiver: Receiver) -> None:
    answer = post(receiver.url.replace("http://", "https://"), timeout=3)
    assert answer.status is None
    assert "SSL" in answer.error
    assert receiver.got == []
