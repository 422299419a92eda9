"""Completions from an OpenAI-compatible server, such as `vllm serve MODEL --enable-lora`.

A policy's checkpoint is a LoRA folder in peft's layout, so the server loads it as it is, through
vLLM's `/v1/load_lora_adapter` (the server needs VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and must see
the same folder). Prompts go out as token ids; the ids of the answers come back where the server
knows `return_token_ids`, else the text is tokenized. The server's log-probabilities are not asked
for: what trains computes its own.
"""

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward.generation.conversations import answer_ids
from reward.generation.sampling import Sample, SamplingSettings
from reward.language_models.backbone import Backbone
from storage.errors import BadInput, Unavailable

BUSY = (429, 503)
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
            raise Unavailable(
                f"The server {self.url} refused {path} with HTTP {found.status}: "
                f"{_first_words(found.text)}; look into its log."
            )
        try:
            return json.loads(found.text)
        except ValueError as error:
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
                return Reply(answer.status, answer.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.read().decode(errors="replace"))
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


@dataclass(frozen=True)
class ServerGenerator:
    """Samples a model or an adapter that the server has under the name `model`."""

    server: CompletionServer
    model: str
    backbone: Backbone  #: of the same model: its tokenizer and its end tokens

    def generate(
        self, prompts: Sequence[Sequence[int]], settings: SamplingSettings, *, seed: int
    ) -> list[Sample]:
        """Return one completion for each prompt; `log_probs` stay empty.

        Raises `Unavailable` where the server cannot be asked or answers with something else.
        """
        rows: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for row, prompt in enumerate(prompts):
            rows[tuple(prompt)].append(row)
        found: dict[int, Sample] = {}
        with ThreadPoolExecutor(self.server.settings.requests_at_once) as pool:
            jobs = [
                (own, pool.submit(self._ask, prompt, len(own), settings, seed_of(seed, own[0])))
                for prompt, own in rows.items()
            ]
            for own, job in jobs:
                found.update(zip(own, job.result(), strict=True))
        return [found[row] for row in range(len(prompts))]

    def _ask(
        self, prompt: Sequence[int], count: int, settings: SamplingSettings, seed: int
    ) -> list[Sample]:
        choices = self.server.complete(
            {
                "model": self.model,
                "prompt": list(prompt),
                "n": count,
                "max_tokens": settings.max_new_tokens,
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                "seed": seed,
                "return_token_ids": True,
            }
        )
        if len(choices) != count:
            raise self.server.wrong(f"returned {len(choices)} completions instead of {count}")
        return [self._sample(one, settings.max_new_tokens) for one in choices]

    def _sample(self, choice: Mapping[str, Any], limit: int) -> Sample:
        ended = choice.get("finish_reason") == "stop"
        ids, ends = choice.get("token_ids"), self.backbone.end_tokens
        if isinstance(ids, list) and all(isinstance(one, int) for one in ids):
            whole = ids if not ended or (ids and ids[-1] in ends) else [*ids, ends[-1]]
            return Sample(whole, ended)
        text = choice.get("text")
        if not isinstance(text, str):
            raise self.server.wrong("returned a completion without text")
        found = answer_ids(self.backbone.tokenizer, text, ended=ended, end_token=ends[-1])
        # A text may be tokenized into more pieces than it was drawn in.
        return Sample(found[:limit] if not ended else found, ended)


@contextmanager
def served_policy(
    server: CompletionServer, backbone: Backbone, folder: Path | None
) -> Iterator[ServerGenerator]:
    """Yield a generator of a policy's folder, or of the bare model; unload the folder after."""
    if folder is None:
        yield ServerGenerator(server, server.base_model(), backbone)
        return
    name = adapter_name(folder)
    server.load_adapter(name, folder)
    try:
        yield ServerGenerator(server, name, backbone)
    finally:
        server.unload_adapter(name)


def adapter_name(folder: Path) -> str:
    """Return the name that a policy's folder goes by on a server; another folder has another."""
    digest = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()
    return f"rankloop-{folder.name}-{digest[:8]}"


def seed_of(seed: int, row: int) -> int:
    """Return a request's seed (31 bits), so that prompts of one call draw apart."""
    digest = hashlib.sha256(f"{seed}/{row}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


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
