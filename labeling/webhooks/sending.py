"""Send one message: a POST to addresses that were looked at, without redirects, with a deadline."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult

from labeling.webhooks.addresses import addresses_of, checked_url, port_of
from storage.errors import RankloopError

_READ_AT_MOST = 4096
_TOLD_AT_MOST = 200


@dataclass(frozen=True)
class Answer:
    """Say what came back: an HTTP status, or why there is none.

    `retry_after` is the seconds that the receiver asked to be left alone.
    """

    status: int | None
    error: str = ""
    retry_after: float = 0.0

    @property
    def accepted(self) -> bool:
        """Say whether the receiver took the message: any 2xx, and no redirect."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Say whether the receiver wants no more messages (410, as Standard Webhooks has it)."""
        return self.status == http.client.GONE


def send(
    url: str, *, body: bytes, headers: Mapping[str, str], timeout: float, private: bool
) -> Answer:
    """POST the body and return the answer; whatever goes wrong is an answer too.

    All of it, but for looking the name up, ends within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    try:
        parts = checked_url(url, private=private)
        addresses = addresses_of(parts, private=private)
        connection = _Connection(parts, addresses, deadline)
        with _ending(connection):
            return _exchange(connection, parts, body, headers)
    except RankloopError as error:
        return Answer(None, str(error))
    except TimeoutError:
        return Answer(None, f"There was no answer within {timeout:g} seconds.")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(None, _printable(f"{type(error).__name__}: {error}"))


class _Connection(http.client.HTTPConnection):
    """Connect to addresses that are known already; all of it ends at the deadline."""

    def __init__(self, parts: SplitResult, addresses: list[str], deadline: float) -> None:
        super().__init__(parts.hostname or "", port_of(parts))
        self._addresses, self._deadline = addresses, deadline
        self._tls = parts.scheme == "https"

    def connect(self) -> None:
        """Open the socket to the first address that answers."""
        for place, address in enumerate(self._addresses, start=1):
            try:
                self.sock = socket.create_connection((address, self.port), self.left())
            except OSError:
                if place == len(self._addresses):
                    raise
            else:
                break
        if self._tls:
            context = ssl.create_default_context()
            encrypted = context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock = encrypted
            encrypted.do_handshake()

    def cut(self) -> None:
        """Wake whoever waits for the other side; theirs to see that the time is over."""
        if self.sock is not None:
            with suppress(OSError):
                # Not the one of TLS, which may not be called beside a reader.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def left(self) -> float:
        """Return the seconds until the deadline; raise `TimeoutError` where it has passed."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


@contextmanager
def _ending(connection: _Connection) -> Iterator[None]:
    """Cut the connection at its deadline: a socket's own timeout begins anew with each byte."""
    timer = threading.Timer(connection.left(), connection.cut)
    timer.daemon = True
    timer.start()
    try:
        yield
        # An answer that was cut off may read as a whole one.
        connection.left()
    except (OSError, http.client.HTTPException):
        connection.left()
        raise
    finally:
        timer.cancel()
        connection.close()


def _exchange(
    connection: _Connection, parts: SplitResult, body: bytes, headers: Mapping[str, str]
) -> Answer:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    own = {"content-type": "application/json", "user-agent": "rankloop-webhooks"}
    connection.request("POST", target, body, {**own, **headers})
    response = connection.getresponse()
    said = ""
    if not 200 <= response.status < 300:
        said = _printable(response.read1(_READ_AT_MOST).decode("utf-8", "replace"))
    after = response.headers.get("retry-after", "")
    return Answer(response.status, said, float(after) if after.isdecimal() else 0.0)


def _printable(text: str) -> str:
    # What a stranger answers is shown to people, on terminals too.
    return "".join(c if c.isprintable() else " " for c in text[:_TOLD_AT_MOST]).strip()
