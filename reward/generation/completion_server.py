"""One OpenAI-compatible server over HTTP: requests, retries, one sentence for every failure."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import BadInput, Unavailable

BUSY = (429, 503)
LARGEST_REPLY = 1 << 26  # bytes that are read; what goes on is no JSON then
PASSING = (408, 425, 429)  # of 4xx, what another server may not say
LORA_HINT = (
    "start vllm with --enable-lora, --max-lora-rank of the policies' rank and "
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, where it sees the same folders"
)


@dataclass(frozen=True)
class ServerSettings:
    """Say how a server is asked."""

    timeout_seconds: float = 600.0  #: without a byte of an answer
    attempts: int = 4  #: of a request that meets a busy server or no connection
    pause_seconds: float = 1.0  #: before the second attempt; twice as long before each that follows
    requests_at_once: int = 16  #: prompts under way
    left_out_seconds: float = 5.0  #: of a fleet's server that failed; twice as long each time


class Refused(Unavailable):
    """Say that a server would not do what it was asked (HTTP 4xx)."""

    def __init__(self, message: str, status: int) -> None:
        """Take the sentence for people, and HTTP's status."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    text: str

    @property
    def is_success(self) -> bool:
        """Say whether it did what it was asked."""
        return 200 <= self.status < 300


class CompletionServer:
    """A server's HTTP interface; every failure is one sentence that names the server."""

    def __init__(
        self, url: str, settings: ServerSettings | None = None, *, api_key: str = ""
    ) -> None:
        """Keep the URL; `/v1` at its end is optional. Raises `BadInput` where it is none.

        `api_key` goes out as a bearer token, and to no address that the server redirects to.
        """
        if not url.startswith(("http://", "https://")):
            raise BadInput(
                f"Setting generator {url!r} is neither transformers nor a server's URL; set it to "
                "one such as http://127.0.0.1:8000."
            )
        self.url = url.rstrip("/").removesuffix("/v1")
        self.settings = settings or ServerSettings()
        self._api_key = api_key

    @property
    def requests_at_once(self) -> int:
        """Return how many prompts may be under way."""
        return self.settings.requests_at_once

    def models(self) -> list[str]:
        """Return the names of everything that the server has."""
        rows = _rows(self._json("GET", "/v1/models"), "data")
        return [str(one["id"]) for one in rows if "id" in one]

    def base_model(self) -> str:
        """Return the name of the model that the server was started with."""
        found = self._json("GET", "/v1/models")
        # An adapter names the model that it is of as its parent.
        names = [
            str(one["id"]) for one in _rows(found, "data") if "id" in one and not one.get("parent")
        ]
        if not names:
            raise self.wrong("named no model")
        return names[0]

    def complete(self, request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the choices of a completion request, by their index."""
        choices = _rows(self._json("POST", "/v1/completions", request), "choices")
        if not choices:
            raise self.wrong("answered /v1/completions without choices")
        wanted = request.get("n", 1)
        if len(choices) != wanted:
            raise self.wrong(f"returned {len(choices)} completions instead of {wanted}")
        return sorted(choices, key=_index)

    def chat(self, request: Mapping[str, Any]) -> str:
        """Return the text that a chat model answers with."""
        choices = _rows(self._json("POST", "/v1/chat/completions", request), "choices")
        message = choices[0].get("message") if choices else None
        text = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(text, str):
            raise self.wrong("answered /v1/chat/completions without text")
        return text

    def load_adapter(self, name: str, folder: Path) -> None:
        """Let the server load an adapter's folder under a name; one that it has already is kept."""
        body = {"lora_name": name, "lora_path": str(folder.absolute())}
        found = self._send("POST", "/v1/load_lora_adapter", body)
        if found.is_success or "already" in found.text:
            return
        raise Unavailable(
            f"The server {self.url} cannot load the policy {folder} (HTTP {found.status}: "
            f"{_first_words(found.text)}); {LORA_HINT}."
        )

    def unload_adapter(self, name: str) -> None:
        """Let the server forget an adapter; one that it does not have is as good."""
        self._send("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        found = self._send(method, path, body)
        if not found.is_success:
            said = (
                f"The server {self.url} refused {path} with HTTP {found.status}: "
                f"{_first_words(found.text)}; look into its log."
            )
            if 400 <= found.status < 500 and found.status not in PASSING:
                raise Refused(said, found.status)
            raise Unavailable(said)
        try:
            return json.loads(found.text)
        except (ValueError, RecursionError) as error:
            raise self.wrong(f"answered {path} with what is not JSON") from error

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Send a request, again after a pause where the server is busy or cannot be reached."""
        settings = self.settings
        for attempt in range(1, settings.attempts):
            try:
                found = self._send_once(method, path, body)
                if found.status not in BUSY:
                    return found
            except ConnectionError:
                pass
            time.sleep(settings.pause_seconds * 2 ** (attempt - 1))
        try:
            return self._send_once(method, path, body)
        except ConnectionError as error:
            raise Unavailable(
                f"The server {self.url} cannot be reached ({error}); start it, or set generator "
                "to transformers."
            ) from error

    def _send_once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        """Send a request; raise `ConnectionError` where the server cannot be reached."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        if self._api_key:
            request.add_unredirected_header("Authorization", f"Bearer {self._api_key}")
        try:
            with urllib.request.urlopen(request, timeout=self.settings.timeout_seconds) as answer:
                return Reply(answer.status, answer.read(LARGEST_REPLY).decode(errors="replace"))
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.read(LARGEST_REPLY).decode(errors="replace"))
        except TimeoutError as error:
            raise self._late(path) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise self._late(path) from error
            raise ConnectionError(str(reason)) from error

    def _late(self, path: str) -> Unavailable:
        return Unavailable(
            f"The server {self.url} did not answer {path} within "
            f"{self.settings.timeout_seconds:.0f} s; ask for fewer tokens, or look if it hangs."
        )

    def wrong(self, what: str) -> Unavailable:
        """Return the error of an answer that no completions API gives."""
        return Unavailable(
            f"The server {self.url} {what}; check that it speaks OpenAI's completions API."
        )


def _rows(found: Any, field: str) -> list[Mapping[str, Any]]:
    """Return the objects in a field of an answer; none where it is no list of objects."""
    value = found.get(field) if isinstance(found, Mapping) else None
    rows = value if isinstance(value, list) else []
    return rows if all(isinstance(one, Mapping) for one in rows) else []


def _index(choice: Mapping[str, Any]) -> int:
    found = choice.get("index")
    return found if isinstance(found, int) else 0


def _first_words(text: str) -> str:
    words = " ".join(text.split())
    return words[:200] or "no reason given"
