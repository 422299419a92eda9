"""Chat completions of an OpenAI-compatible server: limits, retries, deadlines, and no key told.

The key comes from the environment variable that the endpoint names and goes into one header. It is
sent to no other address (redirects are not followed), and is struck out of what a server says.
"""

import email.utils
import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import Any

from labeling.endpoint_policies import Endpoint, Usage, priced
from storage.errors import BadInput, Unavailable
from storage.printable import printable
from storage.secrets import secret_text

#: What may be different a moment later: timeouts, too many requests, a server in trouble.
PASSING = (408, 409, 425, 429, 500, 502, 503, 504, 529)
LARGEST_ANSWER = 16 * 2**20  # bytes
_AT_ONCE = 65_536
_LONGEST_WAIT = 86_400.0  # seconds
_MOST_TOKENS = 2**31 - 1  # that a column holds


class EndpointDown(Unavailable):
    """Say that a server gave no answer in time; `seconds` is how long it asks to be left alone."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        """Take the sentence for people."""
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True)
class EndpointAnswer:
    """One completion and what it cost."""

    text: str
    finish_reason: str
    usage: Usage


class _Passing(Exception):
    """A failure that may pass, and the seconds that the server asked to wait (None: it did not)."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.wait = wait


class RateLimit:
    """Spaces requests evenly over a minute, for all threads of this process."""

    def __init__(self, per_minute: float | None) -> None:
        """Take the bound; None is none."""
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait_for_turn(self, deadline: float) -> bool:
        """Sleep until a request may go out; return False, at once, where that is too late."""
        with self._lock:
            at = max(time.monotonic(), self._next)
            if at > deadline:
                return False
            self._next = at + self._gap
        time.sleep(max(0.0, at - time.monotonic()))
        return True


class EndpointClient:
    """Asks one server; may be used by several threads."""

    def __init__(self, endpoint: Endpoint, name: str) -> None:
        """Read the key from the environment; raise `BadInput` naming a variable that is not set."""
        self.endpoint = endpoint
        self.name = name
        self._key = ""
        if endpoint.key_env:
            self._key = secret_text(endpoint.key_env)
            if not self._key:
                raise BadInput(
                    f"The environment variable {endpoint.key_env}, which should hold the key of "
                    f"{name}, is not set; set it where this command or the worker runs."
                )
            if not (self._key.isascii() and self._key.isprintable()):
                raise BadInput(f"The environment variable {endpoint.key_env} holds no key.")
        self._limit = RateLimit(endpoint.requests_per_minute)
        self._opener = urllib.request.build_opener(_NoRedirect())

    def answer(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        max_tokens: int,
        temperature: float,
        top_p: float,
        seed: int,
        deadline: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> EndpointAnswer:
        """Return one completion of a conversation.

        `deadline` is of `time.monotonic`: no attempt and no wait goes past it. Raises
        `EndpointDown` where there is no answer in time, or none that can be read, `BadInput` where
        the server refuses the request as it is.
        """
        end = float("inf") if deadline is None else deadline
        body = {
            "model": self.endpoint.model,
            "messages": [dict(message) for message in messages],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "seed": seed,
        } | self.endpoint.body
        sent = json.dumps({name: value for name, value in body.items() if value is not None})
        for attempt in range(1, self.endpoint.attempts + 1):
            try:
                return self._once(sent.encode(), end)
            except _Passing as error:
                wait = self._wait(attempt) if error.wait is None else error.wait
                over = attempt == self.endpoint.attempts or time.monotonic() + wait > end
                if over or stopped():
                    raise self._down(error.what, wait) from None
                time.sleep(wait)
        raise AssertionError("an endpoint has at least one attempt")

    def _wait(self, attempt: int) -> float:
        # Full jitter, so that threads that failed together do not come back together.
        longest = self.endpoint.first_wait * 2 ** (attempt - 1)
        return random.uniform(longest / 2, longest)

    def _once(self, sent: bytes, end: float) -> EndpointAnswer:
        if not self._limit.wait_for_turn(end):
            raise self._down("its requests a minute are used up", 0.0)
        status, headers, text = self._send(sent, end)
        if status in PASSING:
            raise _Passing(f"HTTP {status}: {self._plain(text)}", _retry_after(headers))
        if status in (401, 403):
            # Its body may repeat the key.
            raise self._down(
                f"it refuses the key (HTTP {status}); check {self.endpoint.key_env or '--key-env'}",
                0.0,
            )
        if not 200 <= status < 300:
            raise BadInput(
                f"The server of {self.name} refuses the request (HTTP {status}: "
                f"{self._plain(text)}); check its address, model and body."
            )
        return self._read(text)

    def _send(self, sent: bytes, end: float) -> tuple[int, "Message[str, str]", str]:
        request = urllib.request.Request(
            f"{self.endpoint.url}/chat/completions",
            data=sent,
            headers={"Content-Type": "application/json", "User-Agent": "rankloop"},
        )
        if self._key:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        stop = min(time.monotonic() + self.endpoint.timeout, end)
        try:
            seconds = max(0.001, stop - time.monotonic())
            with self._opener.open(request, timeout=seconds) as reply:
                return reply.status, reply.headers, _body(reply, stop)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, _body(error, stop)
        except TimeoutError:
            raise _Passing("no answer in time") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise _Passing("no answer in time") from None
            raise _Passing(f"it cannot be reached ({self._plain(str(reason))})") from None

    def _read(self, text: str) -> EndpointAnswer:
        try:
            found = json.loads(text)
            choice = found["choices"][0]
            content = choice["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise _Passing("its answer is no chat completion") from None
        if not isinstance(content, str):
            raise _Passing("its answer has no text")
        reason = choice.get("finish_reason")
        return EndpointAnswer(content, "length" if reason == "length" else "stop", self._use(found))

    def _use(self, found: Mapping[str, Any]) -> Usage:
        told = found.get("usage")
        tokens = [
            told.get(name) if isinstance(told, Mapping) else None
            for name in ("prompt_tokens", "completion_tokens")
        ]
        if not all(isinstance(one, int) and 0 <= one <= _MOST_TOKENS for one in tokens):
            return Usage(requests=1, unmetered=1)
        asked, answered = (int(one or 0) for one in tokens)
        return Usage(
            requests=1,
            prompt_tokens=asked,
            completion_tokens=answered,
            cost=priced(self.endpoint, asked, answered),
        )

    def _plain(self, text: str) -> str:
        told = text.replace(self._key, "***") if self._key else text
        # It is kept in an event, and PostgreSQL takes no NUL.
        return printable(" ".join(told.split())[:200]) or "no reason given"

    def _down(self, what: str, seconds: float) -> EndpointDown:
        return EndpointDown(
            f"The server of {self.name} gave no completion: {what}; look whether it runs, or "
            "switch it off with `rankloop policies switch`.",
            seconds,
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: another address would be given prompts that it was not meant to have."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _body(reply: Any, stop: float) -> str:
    """Read a body piece by piece, so that one that trickles in ends at `stop`."""
    parts, size = [], 0
    while part := reply.read1(_AT_ONCE):
        parts.append(part)
        size += len(part)
        if size > LARGEST_ANSWER:
            raise _Passing("its answer is too large")
        if time.monotonic() > stop:
            raise _Passing("no whole answer in time")
    return b"".join(parts).decode(errors="replace")


def _retry_after(headers: "Message[str, str]") -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, section 10.2.3), or None.

    A day at the most: a number without bound is no time to sleep, and no number of JSON.
    """
    value = (headers.get("Retry-After") or "").strip()
    if value.isdecimal():
        return min(float(value), _LONGEST_WAIT)
    try:
        at = email.utils.parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, OverflowError):
        return None
    return None if at is None else min(max(0.0, at - time.time()), _LONGEST_WAIT)
