"""What the API offers: one row for each address and method."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ui.api import changing, reading, taking
from ui.api.asked import Asked

BASE = "/api/v1"


@dataclass(frozen=True)
class Endpoint:
    """An address, what it is for, and the function that answers (in a thread; it may block).

    `query` names its parameters in words; `takes` is what its body is.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    answer: Callable[[Asked], Any]
    query: Mapping[str, str] = field(default_factory=dict)
    takes: Literal["", "json", "rows"] = ""
    status: int = 200


_SINCE = {"since": "id after which; 0: from the first", "most": "events at the most (500)",
          "kind": "kinds, with commas; unset: all"}  # fmt: skip
_EXPORT = {
    "format": "shape of the rows (trl_preference)",
    "files": "jsonl, jsonl.gz, jsonl.zst, json, parquet, csv or arrow (jsonl)",
    "split": "train, validation or test: that file; unset: all and their card, as one tar",
    "validation_share": "share of training prompts for validation, 0 to 0.5",
}
_SOURCE = {"source": "where the data is from; keeps annotators of one name apart"}
_FORMAT = {"format": "shape of the rows (auto: found out)", "extension": "jsonl, csv … (jsonl)"}

ENDPOINTS = (
    Endpoint("GET", "/me", "Whose token this is and what it may do.", reading.me),
    Endpoint("GET", "/queue", "Tasks that wait, are leased or done, by overlap.", reading.queue),
    Endpoint("GET", "/stats", "Agreement, with intervals, and annotators.", reading.stats),
    Endpoint("GET", "/reliability", "How far each annotator can be relied on.",
             reading.reliability),
    Endpoint("GET", "/rounds", "The rounds of training, oldest first.", reading.rounds),
    Endpoint("POST", "/rounds", "Ask the worker for a round.", changing.start_round, status=201),
    Endpoint("GET", "/policies", "The versions of the policy and what people think of them.",
             reading.policies),
    Endpoint("GET", "/events", "What happened, oldest first.", reading.events, _SINCE),
    Endpoint("GET", "/snapshots", "The snapshots, oldest first.", reading.snapshots),
    Endpoint("POST", "/snapshots", "Freeze judgments: {name, query}.", changing.make_snapshot,
             takes="json", status=201),
    Endpoint("GET", "/snapshots/{which}", "A snapshot, by id or name, with its manifest.",
             reading.snapshot),
    Endpoint("GET", "/snapshots/{which}/export", "A snapshot's preferences as a file.",
             taking.export, _EXPORT),
    Endpoint("GET", "/imports", "What was imported.", reading.imports),
    Endpoint("POST", "/prompts", "Import prompts: one JSON object a line.", changing.add_prompts,
             {"tag": "tags, with commas", "language": "of rows that name none",
              "extension": "jsonl, csv … (jsonl)"}, takes="rows", status=201),
    Endpoint("POST", "/completions", "Import completions to rank.", changing.add_completions,
             {**_SOURCE, "model": "of rows that name none", "extension": "jsonl, csv … (jsonl)"},
             takes="rows", status=201),
    Endpoint("POST", "/preferences", "Import judgments, labels or demonstrations.",
             changing.add_preferences, {**_SOURCE, **_FORMAT}, takes="rows", status=201),
    Endpoint("GET", "/webhooks", "The webhooks and how their deliveries went.", reading.webhooks),
    Endpoint("POST", "/webhooks", "Tell an address: {url, kinds, secret_env}.",
             changing.add_webhook, takes="json", status=201),
    Endpoint("DELETE", "/webhooks/{id}", "Tell a webhook nothing more.", changing.remove_webhook),
)  # fmt: skip


def openapi() -> dict[str, Any]:
    """Return the list as OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for one in ENDPOINTS:
        paths.setdefault(BASE + one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rankloop", "version": "1"},
        "security": [{"token": []}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "paths": paths,
    }


def _operation(one: Endpoint) -> dict[str, Any]:
    in_path = [part[1:-1] for part in one.path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in in_path
    ] + [
        {"name": name, "in": "query", "description": words, "schema": {"type": "string"}}
        for name, words in one.query.items()
    ]
    said: dict[str, Any] = {
        "summary": one.summary,
        "parameters": parameters,
        "responses": {
            str(one.status): {"description": "Done."},
            "default": {"description": "{error: what is wrong, in one sentence}"},
        },
    }
    kinds = {"json": "application/json", "rows": "application/x-ndjson"}
    if one.takes:
        said["requestBody"] = {"required": True, "content": {kinds[one.takes]: {}}}
    return said
